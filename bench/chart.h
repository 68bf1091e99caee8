// Charts as SVG text.
#ifndef MILLRACE_BENCH_CHART_H_
#define MILLRACE_BENCH_CHART_H_

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace millrace::bench {

std::string escaped(std::string_view text);  // for HTML and SVG

// One of ours stands out, a reference or a limit less so, the others are alike.
std::string_view colour_of(std::string_view from);

struct bar {
  std::string name;
  std::string from;  // ours, reference, peer, kernel, limit
  double value;
  double low;
  double high;
  std::string fault{};  // instead of which there should be a figure: then the bar is hollow
};

struct panel {
  std::string title;
  std::vector<bar> bars;
};

// Panels side by side, in each the same rows, and a row empty where a panel has no such bar.
std::string bar_chart(const std::vector<panel>& panels, std::string_view unit);

struct curve {
  std::string name;
  std::string from;
  std::vector<std::pair<double, double>> points;  // part of all, ns; or which label, value
};

// Times over the part that takes no longer, both on logarithmic axes.
std::string latency_chart(const std::vector<curve>& curves);

// Values over labels, from 0 on.
std::string line_chart(const std::vector<std::string>& labels, const std::vector<curve>& curves, std::string_view unit);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_CHART_H_
