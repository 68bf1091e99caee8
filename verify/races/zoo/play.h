// How each bug of the zoo is acted out, and by whom.
#ifndef MILLRACE_VERIFY_RACES_ZOO_PLAY_H_
#define MILLRACE_VERIFY_RACES_ZOO_PLAY_H_

#include <cstdint>
#include <string>
#include <string_view>

#include "verify/races/history.h"

namespace millrace::races {

enum class actors : std::uint8_t {
  threads,    // of this process, over one mapping: for race detectors
  processes,  // forked
};

enum class ring_kind : std::uint8_t { wrong, repaired };

enum class fate : std::uint8_t {
  fine,     // everyone finished, and what was sent arrived once, whole and in order
  damaged,  // everyone finished
  hung,     // everyone left sleeps, and nobody is there to wake them
  stuck,    // neither, for a minute: a play that does not end is a mistake in the zoo
};

struct performance {
  fate what = fate::stuck;
  damage found{};
};

// Acts out the bug `name` of the table. Forked actors are gone afterwards;
// threads may be left hanging in the ring, so leave by _exit. A play in which an
// actor is killed ends a process whose actors are threads.
performance perform(std::string_view name, ring_kind which, actors who);

std::string to_string(const performance& p);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_PLAY_H_
