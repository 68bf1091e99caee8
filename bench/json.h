// Results for other programs.
#ifndef MILLRACE_BENCH_JSON_H_
#define MILLRACE_BENCH_JSON_H_

#include <string>
#include <vector>

#include "bench/must_show.h"
#include "bench/results.h"

namespace millrace::bench {

// One object: the machine, the effort, the bare figures, each section with every run, and the
// findings. Times in ns unless the key says otherwise, rates in messages a second.
std::string to_json(const results& r, const std::vector<finding>& findings);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_JSON_H_
