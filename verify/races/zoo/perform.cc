// Acts out one bug, for a test to run under a tool:
//
//   perform NAME wrong|repaired threads|processes
//
// Says on one line how it ended. Exit status: 0 fine, 1 damaged, 3 hung, 2 else.
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "verify/races/zoo/play.h"

int main(int argc, char** argv) {
  using namespace millrace::races;
  if (argc != 4) {
    std::fprintf(stderr, "usage: %s NAME wrong|repaired threads|processes\n", argv[0]);
    return 2;
  }
  const auto which = std::string_view(argv[2]) == "repaired" ? ring_kind::repaired : ring_kind::wrong;
  const auto who = std::string_view(argv[3]) == "threads" ? actors::threads : actors::processes;
  const performance seen = perform(argv[1], which, who);
  std::printf("%s\n", to_string(seen).c_str());
  std::fflush(stdout);
  // Not by return: threads may hang in the ring.
  switch (seen.what) {
    case fate::fine:
      _exit(0);
    case fate::damaged:
      _exit(1);
    case fate::hung:
      _exit(3);
    default:
      _exit(2);
  }
}
