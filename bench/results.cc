#include "bench/results.h"

#include <algorithm>

namespace millrace::bench {
namespace {

constexpr double usual = 1.35;     // a line that takes so many times as long is another state of the machine
constexpr std::size_t enough = 3;  // steady runs

double figure_of(task what, const outcome& o) {
  switch (what) {
    case task::stream:
      return o.rate();
    case task::round_trip:
    case task::wake_up:
      return static_cast<double>(o.trips.quantile(0.5));
    case task::idle:
      return o.receivers;
    case task::alone:
      return 1e9 / o.rate();
  }
  return 0;
}

}  // namespace

const std::string* series::failed() const noexcept {
  const auto bad = std::find_if(runs.begin(), runs.end(), [](const outcome& o) { return !o.failed.empty(); });
  return bad == runs.end() ? nullptr : &bad->failed;
}

bool series::wrong(const outcome& o) const noexcept {
  return !o.right() || (o.reordered != 0 && who->answers_for_order());
}

std::string_view series::fault() const noexcept {
  if (failed() != nullptr) return "failed";
  if (std::ranges::any_of(runs, &outcome::stuck)) return "stuck";
  return std::ranges::any_of(runs, [&](const outcome& o) { return wrong(o); }) ? "wrong" : "";
}

histogram series::trips() const noexcept {
  histogram all;
  for (const outcome& o : runs) all.merge(o.trips);
  return all;
}

const series* cell::of(std::string_view name) const noexcept {
  const auto it = std::find_if(all.begin(), all.end(), [&](const series& s) { return s.who->name == name; });
  return it == all.end() ? nullptr : &*it;
}

const table* results::find(std::string_view key) const noexcept {
  const auto it = std::find_if(tables.begin(), tables.end(), [&](const table& t) { return t.what.key == key; });
  return it == tables.end() ? nullptr : &*it;
}

bool results::steady(const outcome& o) const noexcept {
  const auto near = [&](double line) { return line < usual_line * usual && line > usual_line / usual; };
  return near(o.line_before) && (o.stuck || near(o.line_after));
}

std::vector<std::optional<double>> results::figures(const series& s) const {
  const auto good = [](const outcome& o) { return o.failed.empty() && o.seconds > 0; };
  const auto kept = static_cast<std::size_t>(
      std::count_if(s.runs.begin(), s.runs.end(), [&](const outcome& o) { return good(o) && steady(o); }));
  std::vector<std::optional<double>> all;
  for (const outcome& o : s.runs) {
    const bool counts = good(o) && (kept < enough || steady(o)) && (s.what != task::alone || o.rate() > 0);
    all.push_back(counts ? std::optional(figure_of(s.what, o)) : std::nullopt);
  }
  return all;
}

std::optional<spread> results::figure(const series& s) const {
  std::vector<double> known;
  for (const auto& r : figures(s)) {
    if (r) known.push_back(*r);
  }
  return summary(std::move(known));
}

std::optional<spread> results::ratio(const series& first, const series& second) const {
  if (!first.fault().empty() || !second.fault().empty()) return std::nullopt;
  return bench::ratio(figures(first), figures(second));
}

}  // namespace millrace::bench
