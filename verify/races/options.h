// What the demonstration is asked to do.
#ifndef MILLRACE_VERIFY_RACES_OPTIONS_H_
#define MILLRACE_VERIFY_RACES_OPTIONS_H_

#include <optional>
#include <vector>

#include "verify/races/processes.h"
#include "verify/races/rings.h"

namespace millrace::races {

// Exit statuses, beside command_line::bad_input.
inline constexpr int as_promised = 0;
inline constexpr int not_as_promised = 1;

struct request {
  plan each;
  std::vector<const contender*> rings;
  bool list = false;
  bool json = false;
};

// From the command line; or the exit status, where there is nothing to do. Says
// on stderr, in one line, what is wrong.
std::optional<int> parse(int argc, char** argv, request& r);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_OPTIONS_H_
