// One concrete piece of damage out of a history, and the line of code to blame for it.
#ifndef MILLRACE_VERIFY_RACES_STORY_H_
#define MILLRACE_VERIFY_RACES_STORY_H_

#include <optional>
#include <string>

#include "verify/races/broken_ring.h"
#include "verify/races/history.h"

namespace millrace::races {

struct story {
  std::string text;
  source_line blamed;
};

// The plainest that the history has to tell: a message overwritten in its slot by
// another producer's; else one taken twice; else one that never arrived.
std::optional<story> tell(const history& h, const flaw& wrong);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_STORY_H_
