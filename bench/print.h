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

// A line for each queue that lost, doubled or damaged messages in some run.
std::vector<std::string> wrongs(const results& r);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_PRINT_H_
