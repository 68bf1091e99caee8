#include "bench/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "bench/machine.h"
#include "bench/text.h"

namespace millrace::bench {
namespace {

std::vector<const contender*> rows_of(const table& t) {
  std::vector<const contender*> rows;
  for (const cell& c : t.cells) {
    for (const series& s : c.all) {
      if (std::ranges::find(rows, s.who) == rows.end()) rows.push_back(s.who);
    }
  }
  std::ranges::sort(rows);  // as in the one table that all are from
  return rows;
}

std::string figure_text(const results& r, const series& s, double factor) {
  if (s.failed() != nullptr) return "failed";
  const auto figure = r.figure(s);
  if (!figure) return "?";
  return fmt::format("{}{}{}", number_text(figure->median * factor), s.fault().empty() ? "" : " ", s.fault());
}

std::string ratio_text(const results& r, const series& base, const series& s) {
  const auto q = r.ratio(base, s);
  if (!q) return "?";
  const int digits = decimals_of(q->median);
  return fmt::format("{:.{}f} ({:.{}f}-{:.{}f})", q->median, digits, q->low, digits, q->high, digits);
}

// A block of rows, each a queue, and columns, of what `text` says of a series.
template <class F>
void print_block(const table& t, std::string_view head, F text) {
  fmt::print("\n  {:<26}", head);
  for (const cell& c : t.cells) fmt::print("{:>18}", c.at.label);
  fmt::print("\n");
  for (const contender* who : rows_of(t)) {
    fmt::print("  {:<26}", who->name);
    for (const cell& c : t.cells) {
      const series* s = c.of(who->name);
      fmt::print("{:>18}", s == nullptr ? "-" : text(c, *s));
    }
    fmt::print("\n");
  }
}

void print_trips(const results& r, const table& t) {
  for (const cell& c : t.cells) {
    fmt::print("\n  {:<26}{:>11}{:>11}{:>11}{:>11}{:>20}\n", c.at.label, "p50", "p99", "p99.9", "most",
               t.what.base + "'s p50");
    const series* base = c.of(t.what.base);
    for (const series& s : c.all) {
      const histogram h = s.trips();
      const auto part = [&](double q) { return h.count() == 0 ? "?" : time_text(static_cast<double>(h.quantile(q))); };
      fmt::print("  {:<26}{:>11}{:>11}{:>11}{:>11}{:>20}\n", s.who->name, part(0.5), part(0.99), part(0.999), part(1),
                 base == nullptr ? "?" : ratio_text(r, *base, s));
    }
  }
}

void print_idle(const cell& c) {
  fmt::print("\n  {:<26}{:>18}\n", "", "CPU time");
  for (const series& s : c.all) {
    if (s.runs.empty() || s.failed() != nullptr) continue;
    fmt::print("  {:<26}{:>18}\n", s.who->name,
               fmt::format("{:.2f} ms in {:.0f} s", 1e3 * s.runs.front().receivers, s.runs.front().seconds));
  }
}

// Of a cell's first run, where it is known.
std::string bytes_text(const cell& c, const series& s) {
  if (s.runs.empty() || s.runs.front().bytes == 0) return "?";
  return fmt::format("{:.1f}", static_cast<double>(s.runs.front().bytes) / static_cast<double>(c.at.job.capacity));
}

void print_bare(const results& r) {
  fmt::print("\nThe machine\n\n");
  for (const bare_figure& b : r.bare) {
    const auto s = summary(b.passes);
    if (s) fmt::print("  {:<52}{:>10.1f} {} ({:.1f}-{:.1f})\n", b.name, s->median, b.unit, s->low, s->high);
  }
}

void print(const results& r, const table& t) {
  fmt::print("\n{}\n", t.what.title);
  const task what = t.cells.front().at.job.what;
  if (what == task::idle) return print_idle(t.cells.front());
  if (what == task::round_trip || what == task::wake_up) return print_trips(r, t);
  if (what == task::alone) {
    print_block(t, "ns a push and pop", [&](const cell&, const series& s) { return figure_text(r, s, 1); });
    print_block(t, "instructions", [](const cell&, const series& s) {
      return s.instructions_a_pair ? fmt::format("{:.1f}", *s.instructions_a_pair) : "?";
    });
  } else {
    print_block(t, "million/s", [&](const cell&, const series& s) { return figure_text(r, s, 1e-6); });
  }
  print_block(t, t.what.base + " to each", [&](const cell& c, const series& s) {
    const series* base = c.of(t.what.base);
    return base == nullptr ? "?" : ratio_text(r, *base, s);
  });
  if (t.what.key == "capacities" || t.what.key == "sizes") print_block(t, "bytes a slot", bytes_text);
}

void print_notes(const results& r) {
  std::set<std::string> notes;
  std::size_t runs = 0;
  std::size_t unsteady = 0;
  std::size_t disturbed = 0;
  for (const table& t : r.tables) {
    for (const cell& c : t.cells) {
      for (const series& s : c.all) {
        if (!s.who->note.empty()) notes.insert(fmt::format("{}: {}", s.who->name, s.who->note));
        if (s.failed() != nullptr) {
          notes.insert(fmt::format("{} failed at {} {}: {}", s.who->name, t.what.key, c.at.label, *s.failed()));
        }
        for (const outcome& o : s.runs) {
          ++runs;
          unsteady += o.failed.empty() && !r.steady(o) ? 1 : 0;
          disturbed += o.failed.empty() && c.at.job.how != waiting::block && o.busy < 0.9 ? 1 : 0;
          if (o.reordered != 0) notes.insert(fmt::format("{} reordered a producer's messages", s.who->name));
        }
      }
    }
  }
  for (const contender& c : r.who) {
    if (!c.installed())
      notes.insert(fmt::format("{}: skipped, as {} is not installed (tools/setup --bench)", c.name, c.package));
    if (c.installed() && !c.between_processes)
      notes.insert(fmt::format("{}: threads only, it cannot live in shared memory", c.name));
  }
  fmt::print("\n");
  for (const std::string& n : notes) fmt::print("{}\n", n);
  fmt::print(
      "{} runs; a line's round trip between two cores took {:.0f} ns, and in {} runs something else, which do not "
      "count\nwhere three others are left; in {} others had a tenth of the cores or more\n",
      runs, r.usual_line, unsteady, disturbed);
}

}  // namespace

void print(const results& r) {
  fmt::print(
      "{}\n{} passes of {} ms; medians, and ratios within a pass with their quartiles (of fewer than five, "
      "least and greatest)\n",
      describe_machine(), r.spent.passes, r.spent.window.count());
  print_bare(r);
  for (const table& t : r.tables) print(r, t);
  print_notes(r);
}

void print(const std::vector<finding>& findings) {
  fmt::print("\nMust show\n");
  for (const finding& f : findings) {
    fmt::print("  {:<12} {}\n               {}\n", to_string(f.is), f.promise, f.measured.empty() ? "-" : f.measured);
  }
}

std::vector<std::string> wrongs(const results& r) {
  std::vector<std::string> all;
  for (const table& t : r.tables) {
    for (const cell& c : t.cells) {
      for (const series& s : c.all) {
        for (const outcome& o : s.runs) {
          if (!s.wrong(o)) continue;
          all.push_back(fmt::format("{} at {} {}: {} lost, {} doubled, {} damaged, {} reordered of {}", s.who->name,
                                    t.what.key, c.at.label, o.lost, o.doubled, o.damaged, o.reordered, o.sent));
        }
      }
    }
  }
  return all;
}

}  // namespace millrace::bench
