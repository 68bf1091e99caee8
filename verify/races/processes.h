// Several real processes at the two ends of one ring, watched, and what they noted.
#ifndef MILLRACE_VERIFY_RACES_PROCESSES_H_
#define MILLRACE_VERIFY_RACES_PROCESSES_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "millrace/result.h"
#include "verify/races/history.h"
#include "verify/races/rings.h"

namespace millrace::races {

struct plan {
  shape ends;
  std::uint64_t items = 0;               // for each producer to send
  std::chrono::duration<double> most{};  // stop sending after this long
  std::uint64_t seed = 0;
  std::optional<std::string> name{};  // see contender
};

// Memory that the processes of one run write to and the parent judges from,
// whatever became of them. The ring under test is elsewhere.
class notebook {
 public:
  static result<notebook> create(const plan& p);
  notebook(notebook&&) noexcept;
  notebook& operator=(notebook&&) = delete;
  ~notebook();

  struct control;
  control& shared() const;
  std::atomic<std::uint64_t>& done(std::uint32_t worker) const;   // producers first; written by that worker
  std::span<departure> departures(std::uint32_t producer) const;  // room for all; sent(producer) are noted
  std::span<arrival> arrivals(std::uint32_t consumer) const;      // room for all; received(consumer) are noted
  std::uint64_t sent(std::uint32_t producer) const;
  std::uint64_t received(std::uint32_t consumer) const;
  std::uint64_t total_sent() const;
  std::uint64_t total_received() const;

  history read() const;

 private:
  notebook(void* base, std::size_t bytes, const plan& p);

  std::byte* base_;
  std::size_t bytes_;
  std::uint32_t producers_;
  std::uint32_t consumers_;
  std::uint64_t items_;
};

struct outcome {
  notebook notes;
  std::chrono::duration<double> took{};
  int interrupted = 0;  // the signal that told the parent to stop
  std::string hung{};   // who did not get on, or did not end: all were killed
  std::string died{};   // what became of a child that did not end as it should: all were killed
};

// Whether the ring can be created as planned. Leaves nothing behind.
result<done> rehearse(const contender& ring, const plan& p);

// Forks the producers and the consumers, waits for them and leaves none behind;
// they die with the caller. Calls `progress` some ten times a second.
result<outcome> run(const contender& ring, const plan& p, const std::function<void(const notebook&)>& progress);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_PROCESSES_H_
