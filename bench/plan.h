// What is measured: sections, each with one axis and the same queues along it.
#ifndef MILLRACE_BENCH_PLAN_H_
#define MILLRACE_BENCH_PLAN_H_

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "bench/contender.h"
#include "bench/work.h"

namespace millrace::bench {

struct column {
  std::string label;
  work job;
};

struct section {
  std::string key;  // for --only and JSON
  std::string title;
  std::string base;  // whose ratio to each is given
  std::vector<column> columns;
  bool brief = true;                    // also with --quick
  std::vector<std::string_view> who{};  // empty: all that can, and are not apart
};

struct effort {
  unsigned passes = 9;
  std::chrono::milliseconds window{100};       // of one run with no more workers than cores
  std::chrono::milliseconds idleness{10'000};  // of a run in which nothing is sent
  bool realtime = false;                       // the rest of the machine waits while a run is under way
};

inline constexpr effort thorough{};
inline constexpr effort quick{2, std::chrono::milliseconds(8), std::chrono::milliseconds(2000)};

std::vector<section> plan();

// The window of a run: longer where workers wait for one another's cores.
std::chrono::milliseconds window_of(const work& job, const effort& e);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_PLAN_H_
