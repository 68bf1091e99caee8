#include "bench/statistics.h"

#include <algorithm>

namespace millrace::bench {
namespace {

// Of sorted figures, between the two nearest.
double quantile(const std::vector<double>& sorted, double part) {
  const double at = part * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (at - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

}  // namespace

std::optional<spread> summary(std::vector<double> figures) {
  if (figures.empty()) return std::nullopt;
  std::sort(figures.begin(), figures.end());
  const bool few = figures.size() < 5;
  return spread{quantile(figures, 0.5), few ? figures.front() : quantile(figures, 0.25),
                few ? figures.back() : quantile(figures, 0.75), figures.size()};
}

std::optional<spread> ratio(const std::vector<std::optional<double>>& first,
                            const std::vector<std::optional<double>>& second) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i != std::min(first.size(), second.size()); ++i) {
    if (first[i] && second[i] && *second[i] > 0) ratios.push_back(*first[i] / *second[i]);
  }
  return summary(std::move(ratios));
}

}  // namespace millrace::bench
