// Carries out a plan.
#ifndef MILLRACE_BENCH_MEASURE_H_
#define MILLRACE_BENCH_MEASURE_H_

#include <functional>
#include <string_view>
#include <vector>

#include "bench/contender.h"
#include "bench/plan.h"
#include "bench/results.h"

namespace millrace::bench {

// `who` outlives the results. Passes over all of it, in each of which every queue has another place in the order.
// `progress` is told the part that is done, and what comes next.
results measure(const std::vector<section>& sections, const std::vector<contender>& who, const effort& e,
                const std::function<void(double, std::string_view)>& progress);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_MEASURE_H_
