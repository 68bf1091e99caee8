// What the library promises of its speed, and what a run says about it.
#ifndef MILLRACE_BENCH_MUST_SHOW_H_
#define MILLRACE_BENCH_MUST_SHOW_H_

#include <string>
#include <vector>

#include "bench/results.h"

namespace millrace::bench {

struct finding {
  std::string promise;
  std::string measured;  // empty: not in this run
  bool met = false;
};

std::vector<finding> judge(const results& r);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_MUST_SHOW_H_
