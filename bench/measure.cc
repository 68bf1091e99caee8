#include "bench/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "bench/bare.h"
#include "bench/contender.h"
#include "bench/instructions.h"
#include "bench/stage.h"

namespace millrace::bench {
namespace {

table seats(const section& s, const std::vector<contender>& all, std::size_t& runs) {
  table t{s, {}};
  for (const column& c : s.columns) {
    cell& made = t.cells.emplace_back(cell{c, {}});
    for (const contender& who : all) {
      const bool named = std::ranges::find(s.who, who.name) != s.who.end();
      const bool restless = c.job.what == task::idle && who.waits_inside;
      if ((s.who.empty() ? !who.apart : named) && !restless && who.can(c.job)) {
        made.all.push_back({&who, c.job.what, {}, {}});
      }
    }
    runs += made.all.size();
  }
  return t;
}

double usual_line(const results& r) {
  std::vector<double> probes;
  for (const table& t : r.tables) {
    for (const cell& c : t.cells) {
      for (const series& s : c.all) {
        for (const outcome& o : s.runs) {
          if (o.line_before > 0) probes.push_back(o.line_before);
          if (o.line_after > 0) probes.push_back(o.line_after);
        }
      }
    }
  }
  const auto all = summary(std::move(probes));
  return all ? all->median : 0;
}

// Those who do nothing do not disturb one another.
void all_at_once(cell& c, const effort& e, const std::function<void()>& begins) {
  std::vector<std::unique_ptr<performance>> all;
  begins();
  for (const series& s : c.all) {
    all.push_back(std::make_unique<performance>(*s.who, c.at.job, window_of(c.at.job, e), e.realtime));
  }
  for (std::size_t i = 0; i != all.size(); ++i) c.all[i].runs.push_back(all[i]->finish());
}

}  // namespace

results measure(const std::vector<section>& sections, const std::vector<contender>& who, const effort& e,
                const std::function<void(double, std::string_view)>& progress) {
  results r;
  r.spent = e;
  r.who = who;
  std::size_t runs = 0;
  for (const section& s : sections) r.tables.push_back(seats(s, who, runs));
  std::size_t done = 0;
  const auto next = [&](const table& t, const cell& c, std::string_view what) {
    progress(static_cast<double>(done++) / static_cast<double>(runs * e.passes),
             fmt::format("{}, {}: {}", t.what.key, c.at.label, what));
  };
  r.bare = bare_figures();
  for (unsigned pass = 0; pass != e.passes; ++pass) {
    for (bare_figure& b : r.bare) b.passes.push_back(measure_bare(b.name));
    for (table& t : r.tables) {
      for (cell& c : t.cells) {
        if (c.at.job.what == task::idle) {
          if (pass == 0) all_at_once(c, e, [&] { next(t, c, "all at once"); });
          continue;
        }
        for (std::size_t i = 0; i != c.all.size(); ++i) {
          series& s = c.all[(pass + i) % c.all.size()];
          next(t, c, s.who->name);
          s.runs.push_back(perform(*s.who, c.at.job, window_of(c.at.job, e), e.realtime));
          if (c.at.job.what == task::alone && pass == 0 && s.fault().empty()) {
            s.instructions_a_pair = instructions_a_pair(*s.who, c.at.job);
          }
        }
      }
    }
  }
  r.usual_line = usual_line(r);
  return r;
}

}  // namespace millrace::bench
