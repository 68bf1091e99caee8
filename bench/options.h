// What is asked for.
#ifndef MILLRACE_BENCH_OPTIONS_H_
#define MILLRACE_BENCH_OPTIONS_H_

#include <optional>
#include <string>
#include <vector>

#include "bench/contender.h"
#include "bench/plan.h"

namespace millrace::bench {

struct request {
  effort spend;
  std::vector<section> sections;
  std::vector<contender> who;
  std::string json{};  // a file; empty: none
};

// From the command line, of the queues `all`; or the exit status, where there is nothing to do. Says on
// stderr, in one line, what is wrong.
std::optional<int> parse(int argc, const char* const* argv, const std::vector<contender>& all, request& r);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_OPTIONS_H_
