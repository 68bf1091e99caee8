// What a run showed, as a table for people and as JSON.
#ifndef MILLRACE_VERIFY_RACES_REPORT_H_
#define MILLRACE_VERIFY_RACES_REPORT_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "verify/races/history.h"
#include "verify/races/options.h"
#include "verify/races/rings.h"
#include "verify/races/story.h"
#include "verify/races/zoo/play.h"
#include "verify/races/zoo/table.h"

namespace millrace::races {

struct verdict {
  const contender* ring;
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  double ns_per_message = 0;
  damage found{};
  std::string hung{};  // see outcome
  std::string died{};
  std::optional<story> example{};  // of the damage, for a broken ring

  bool damaged() const { return found.any() || !hung.empty(); }
};

// One bug of the zoo, acted out between processes, and so on the ring that repairs it.
struct scene {
  const bug* shown;
  performance wrong{};
  performance repaired{};
};

// Whether that is what the table of the zoo says.
bool as_expected(const scene& s);

// Whether that is what the ring promises: nothing is promised of a broken ring
// between one producer and one consumer.
bool as_expected(const verdict& v, const plan& p);

void print_list(bool json);

// The table: its head, a row as each ring is done, and what follows from all.
void print_head(const request& r);
void print_row(const verdict& v);
void print_end(const request& r, const std::vector<verdict>& all);
void print_zoo(const std::vector<scene>& zoo);

void print_json(const request& r, const std::vector<verdict>& all, const std::vector<scene>& zoo);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_REPORT_H_
