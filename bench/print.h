// Results as tables for people.
#ifndef MILLRACE_BENCH_PRINT_H_
#define MILLRACE_BENCH_PRINT_H_

#include <string>
#include <vector>

#include "bench/must_show.h"
#include "bench/results.h"

namespace millrace::bench {

void print(const results& r);
void print(const std::vector<finding>& findings);

// A line for each run in which a queue lost, doubled or damaged messages, or one of ours reordered them.
std::vector<std::string> wrongs(const results& r);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_PRINT_H_
