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
  task what;
  std::vector<outcome> runs;                    // one a pass
  std::optional<double> instructions_a_pair{};  // of one worker alone, where they can be counted

  const std::string* failed() const noexcept;  // why, in some run
  // Messages were lost, doubled or damaged, or came in another order where that is promised.
  bool wrong(const outcome& o) const noexcept;
  // What was worst in any run: "failed", "stuck" or "wrong"; or empty.
  std::string_view fault() const noexcept;
  histogram trips() const noexcept;  // of all runs
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

// What the machine itself takes for something.
struct bare_figure {
  std::string name;
  std::string unit;
  std::vector<double> passes{};
};

struct results {
  effort spent{};
  std::vector<contender> who{};  // also those that are not installed
  double usual_line = 0;         // ns: the median of all probes
  std::vector<bare_figure> bare{};
  std::vector<table> tables{};

  const table* find(std::string_view key) const noexcept;
  // Whether the line between the cores was as usual before and after the run.
  bool steady(const outcome& o) const noexcept;
  // The figure of each pass: of the runs in a steady state, or of all if those are too few. Messages a
  // second of streams, the median in ns of round trips, the receivers' CPU time in seconds of the idle, ns a push
  // and pop of one worker alone.
  std::vector<std::optional<double>> figures(const series& s) const;
  std::optional<spread> figure(const series& s) const;
  // Nothing where either has a fault.
  std::optional<spread> ratio(const series& first, const series& second) const;
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_RESULTS_H_
