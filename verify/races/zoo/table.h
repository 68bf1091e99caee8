// The table bug x tool: what tests assert and what is printed.
#ifndef MILLRACE_VERIFY_RACES_ZOO_TABLE_H_
#define MILLRACE_VERIFY_RACES_ZOO_TABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <ostream>
#include <span>
#include <string>
#include <string_view>

namespace millrace::races {

enum class tool : std::uint8_t {
  relacy,     // the model checker, over the bug's header
  tsan,       // ThreadSanitizer: threads over one mapping
  helgrind,   // Valgrind's: likewise, in a plain build
  processes,  // forked, judged by what arrived and by who still sleeps
};
inline constexpr std::array tools{tool::relacy, tool::tsan, tool::helgrind, tool::processes};

enum class finding : std::uint8_t {
  race,         // reports a data race, both its ends at the lines of `racing`
  damage,       // a message is lost, doubled or torn, and the tool says so
  hang,         // nobody gets on, and the tool says so
  works,        // reports nothing, and nothing goes wrong
  unseen_loss,  // reports nothing, and messages are lost in that very run
  unseen_hang,  // reports nothing, and that very run hangs
  false_alarm,  // reports a race, and likewise in the repaired ring
  all_die,      // has no such thing: threads are killed together
};

struct observation {
  finding what;
  std::string_view why = {};  // where the word alone does not say it
};

// Pieces of two source lines of one file, each in no other line of it.
struct lines {
  std::string_view file;
  std::string_view one;
  std::string_view other;
};

struct bug {
  std::string_view name;
  std::string_view what;
  std::string_view header;    // under verify/races
  std::string_view blamed;    // a piece of the line of `header` that is wrong
  std::string_view repaired;  // under include/millrace
  lines racing;               // where race detectors put the race, for those that see one
  std::array<observation, tools.size()> observed;

  const observation& by(tool t) const { return observed[static_cast<std::size_t>(t)]; }
};

std::span<const bug> bugs();

std::string_view to_string(tool t);
std::string_view to_string(finding f);
inline std::ostream& operator<<(std::ostream& out, tool t) { return out << to_string(t); }
inline std::ostream& operator<<(std::ostream& out, finding f) { return out << to_string(f); }
inline std::ostream& operator<<(std::ostream& out, const bug& b) { return out << b.name; }

std::string as_text();
std::string as_markdown();  // verify/races/README.md

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_TABLE_H_
