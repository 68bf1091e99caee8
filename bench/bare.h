// What the machine itself takes for what queues are made of.
#ifndef MILLRACE_BENCH_BARE_H_
#define MILLRACE_BENCH_BARE_H_

#include <string_view>
#include <vector>

#include "bench/results.h"

namespace millrace::bench {

std::vector<bare_figure> bare_figures();

// One of them, by its name, once: a few milliseconds.
double measure_bare(std::string_view name);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_BARE_H_
