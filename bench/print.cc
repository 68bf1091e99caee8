#include "bench/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string_view>

#include "bench/machine.h"

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

std::string rate_text(const results& r, const series& s) {
  if (s.failed() != nullptr) return "failed";
  const auto rate = r.rate(s);
  if (!rate) return "?";
  const double million = rate->median * 1e-6;
  return fmt::format("{:.{}f}{}", million, million < 10 ? 2 : 1, s.stuck() ? " stuck" : "");
}

std::string ratio_text(const results& r, const series& base, const series& s) {
  const auto q = r.ratio(base, s);
  if (!q) return "?";
  const int digits = q->median < 10 ? 2 : q->median < 100 ? 1 : 0;
  return fmt::format("{:.{}f} ({:.{}f}-{:.{}f})", q->median, digits, q->low, digits, q->high, digits);
}

// A block of rows, each a queue, and columns, of what `text` says of a series.
template <class F>
void print_block(const table& t, std::string_view head, F text) {
  fmt::print("\n  {:<22}", head);
  for (const cell& c : t.cells) fmt::print("{:>18}", c.at.label);
  fmt::print("\n");
  for (const contender* who : rows_of(t)) {
    fmt::print("  {:<22}", who->name);
    for (const cell& c : t.cells) {
      const series* s = c.of(who->name);
      fmt::print("{:>18}", s == nullptr ? "-" : text(c, *s));
    }
    fmt::print("\n");
  }
}

void print(const results& r, const table& t) {
  fmt::print("\n{}\n", t.what.title);
  print_block(t, "million/s", [&](const cell&, const series& s) { return rate_text(r, s); });
  print_block(t, t.what.base + " to each", [&](const cell& c, const series& s) {
    const series* base = c.of(t.what.base);
    return base == nullptr ? "?" : ratio_text(r, *base, s);
  });
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
  for (const table& t : r.tables) print(r, t);
  print_notes(r);
}

void print(const std::vector<finding>& findings) {
  fmt::print("\nMust show\n");
  for (const finding& f : findings) {
    fmt::print("  {:<8} {}\n           {}\n",
               f.measured.empty() ? "not run"
               : f.met            ? "met"
                                  : "NOT MET",
               f.promise, f.measured.empty() ? "-" : f.measured);
  }
}

std::vector<std::string> wrongs(const results& r) {
  std::vector<std::string> all;
  for (const table& t : r.tables) {
    for (const cell& c : t.cells) {
      for (const series& s : c.all) {
        for (const outcome& o : s.runs) {
          if (o.right()) continue;
          all.push_back(fmt::format("{} at {} {}: {} lost, {} doubled, {} damaged of {}", s.who->name, t.what.key,
                                    c.at.label, o.lost, o.doubled, o.damaged, o.sent));
        }
      }
    }
  }
  return all;
}

}  // namespace millrace::bench
