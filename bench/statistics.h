// Medians and ratios, with their spread.
#ifndef MILLRACE_BENCH_STATISTICS_H_
#define MILLRACE_BENCH_STATISTICS_H_

#include <cstddef>
#include <optional>
#include <vector>

namespace millrace::bench {

struct spread {
  double median;
  double low;  // quartiles; of fewer than five figures the least and the greatest
  double high;
  std::size_t count;
};

// Nothing of nothing.
std::optional<spread> summary(std::vector<double> figures);

// Of figures that were taken in the same pass: what is missing on either side is left out.
std::optional<spread> ratio(const std::vector<std::optional<double>>& first,
                            const std::vector<std::optional<double>>& second);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_STATISTICS_H_
