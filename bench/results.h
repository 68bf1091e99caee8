// What came of a plan, and which figures count.
#ifndef MILLRACE_BENCH_RESULTS_H_
#define MILLRACE_BENCH_RESULTS_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/contender.h"
#include "bench/plan.h"
#include "bench/statistics.h"
#include "bench/work.h"

namespace millrace::bench {

struct series {
  const contender* who;
  std::vector<outcome> runs;  // one a pass

  bool stuck() const noexcept;  // in any run
  const std::string* failed() const noexcept;
};

struct cell {
  column at;
  std::vector<series> all;

  const series* of(std::string_view name) const noexcept;
};

struct table {
  section what;
  std::vector<cell> cells;
};

struct results {
  effort spent{};
  double usual_line = 0;  // ns: the median of all probes
  std::vector<table> tables{};

  const table* find(std::string_view key) const noexcept;
  // Whether the line between the cores was as usual before and after the run.
  bool steady(const outcome& o) const noexcept;
  // The rate of each pass: of the runs in a steady state, or of all if those are too few.
  std::vector<std::optional<double>> rates(const series& s) const;
  std::optional<spread> rate(const series& s) const;
  std::optional<spread> ratio(const series& first, const series& second) const;
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_RESULTS_H_
