#include "bench/chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "bench/text.h"

namespace millrace::bench {
namespace {

constexpr double row_height = 17;
constexpr double names_width = 165;
constexpr double title_height = 24;

std::string text(double x, double y, std::string_view anchor, std::string_view fill, std::string_view what) {
  return fmt::format(R"(<text x="{:.1f}" y="{:.1f}" text-anchor="{}" fill="{}">{}</text>)", x, y, anchor, fill,
                     escaped(what));
}

std::string svg(double width, double height, std::string_view inside) {
  return fmt::format(
      R"(<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0:.0f} {1:.0f}" width="{0:.0f}" height="{1:.0f}" )"
      R"(font-family="system-ui, sans-serif" font-size="11">)"
      "\n{2}</svg>\n",
      width, height, inside);
}

std::vector<std::pair<std::string, std::string>> rows_of(const std::vector<panel>& panels) {
  std::vector<std::pair<std::string, std::string>> rows;
  for (const panel& p : panels) {
    for (const bar& b : p.bars) {
      const std::pair row{b.name, b.from};
      if (std::ranges::find(rows, row) == rows.end()) rows.push_back(row);
    }
  }
  return rows;
}

std::string one_bar(const bar& b, double x, double y, double width, double most) {
  const auto along = [&](double value) { return x + width * std::min(1.0, value / most); };
  const std::string_view colour = colour_of(b.from);
  std::string all = fmt::format(
      R"(<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" {}><title>{}: {} ({} to {}) {}</title></rect>)", x,
      y + 2, along(b.value) - x, row_height - 5,
      b.fault.empty() ? fmt::format(R"(fill="{}")", colour)
                      : fmt::format(R"(fill="none" stroke="{}" stroke-dasharray="2")", colour),
      escaped(b.name), number_text(b.value), number_text(b.low), number_text(b.high), b.fault);
  if (!b.fault.empty()) {
    return all + text(along(b.value) + 4, y + row_height - 5, "start", "#b3261e", b.fault);
  }
  all += fmt::format(R"(<path d="M{0:.1f} {2:.1f}H{1:.1f}" stroke="#222" stroke-width="1"/>)", along(b.low),
                     along(b.high), y + row_height / 2 - 0.5);
  return all + text(along(std::max(b.value, b.high)) + 4, y + row_height - 5, "start", "#333", number_text(b.value));
}

// A curve as a path through points of the drawing, named where the pointer rests on it.
std::string drawn(const curve& c, std::string_view path) {
  return fmt::format(R"(<path d="{}" fill="none" stroke="{}" stroke-width="{}"><title>{}</title></path>)", path,
                     colour_of(c.from), c.from == "ours" || c.from == "limit" ? 2.2 : 1.2, escaped(c.name));
}

// The names of curves at the right, at the height where each ends, moved apart where those are close together.
std::string names_beside(double right, double top, double bottom, std::vector<std::pair<double, const curve*>> ends) {
  std::ranges::sort(ends);
  double free = top;
  for (auto& [y, c] : ends) free = y = std::max(free + 11, y);
  const double excess = std::max(0.0, free - (bottom + 10));
  double limit = bottom + 10;
  for (auto e = ends.rbegin(); excess > 0 && e != ends.rend(); ++e, limit -= 11) e->first = std::min(e->first, limit);
  std::string all;
  for (const auto& [y, c] : ends) {
    all += text(right + 8, y + 4, "start", c->from == "peer" ? "#666" : colour_of(c->from), c->name);
  }
  return all;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string all;
  for (const char c : text) {
    switch (c) {
      case '&':
        all += "&amp;";
        break;
      case '<':
        all += "&lt;";
        break;
      case '>':
        all += "&gt;";
        break;
      case '"':
        all += "&quot;";
        break;
      default:
        all += c;
    }
  }
  return all;
}

std::string_view colour_of(std::string_view from) {
  if (from == "ours") return "#0b6e99";
  if (from == "reference") return "#c77f1a";
  if (from == "limit") return "#b3261e";
  if (from == "kernel") return "#8a8f98";
  return "#b9bfc8";
}

std::string bar_chart(const std::vector<panel>& panels, std::string_view unit) {
  constexpr double whole = 1180;
  const auto rows = rows_of(panels);
  const double each = (whole - names_width) / static_cast<double>(panels.size());
  const double height = title_height + row_height * static_cast<double>(rows.size()) + 8;
  std::string all;
  for (std::size_t i = 0; i != rows.size(); ++i) {
    const auto& [name, from] = rows[i];
    all += text(names_width - 8, title_height + row_height * static_cast<double>(i + 1) - 5, "end",
                from == "ours" ? colour_of(from) : "#333", name);
  }
  for (std::size_t p = 0; p != panels.size(); ++p) {
    const double x = names_width + each * static_cast<double>(p);
    double most = 0;
    for (const bar& b : panels[p].bars) most = std::max({most, b.value, b.high});
    all += text(x, title_height - 10, "start", "#000", fmt::format("{}, {}", panels[p].title, unit));
    all += fmt::format(R"(<path d="M{:.1f} {:.1f}V{:.1f}" stroke="#999"/>)", x, title_height - 2, height - 6);
    for (const bar& b : panels[p].bars) {
      const auto row = std::ranges::find(rows, std::pair{b.name, b.from}) - rows.begin();
      all += one_bar(b, x, title_height + row_height * static_cast<double>(row), each - 52, most);
    }
    all += '\n';
  }
  return svg(whole, height, all);
}

std::string latency_chart(const std::vector<curve>& curves) {
  constexpr double width = 780;
  constexpr double height = 380;
  constexpr double left = 62;
  constexpr double right = width - 175;
  constexpr double top = 12;
  constexpr double bottom = height - 34;
  constexpr double rarest = 1e-4;
  double least = 1e9;
  double most = 10;
  for (const curve& c : curves) {
    for (const auto& [part, ns] : c.points) {
      if (part == 0 || 1 - part < rarest) continue;
      least = std::min(least, std::max(1.0, ns));
      most = std::max(most, ns);
    }
  }
  const double from = std::floor(std::log10(least));
  const double to = std::ceil(std::log10(most));
  const auto across = [&](double part) { return left + (right - left) * std::log10(1 - part) / std::log10(rarest); };
  const auto up = [&](double ns) {
    return bottom - (bottom - top) * (std::log10(std::max(1.0, ns)) - from) / std::max(1.0, to - from);
  };
  std::string all;
  for (double decade = from; decade <= to; ++decade) {
    const double y = up(std::pow(10, decade));
    all += fmt::format(R"(<path d="M{:.1f} {:.1f}H{:.1f}" stroke="#ddd"/>)", left, y, right);
    all += text(left - 6, y + 4, "end", "#333", time_text(std::pow(10, decade)));
  }
  for (const auto& [part, label] : std::vector<std::pair<double, const char*>>{
           {0.0, "0"}, {0.5, "p50"}, {0.9, "p90"}, {0.99, "p99"}, {0.999, "p99.9"}, {0.9999, "p99.99"}}) {
    all += fmt::format(R"(<path d="M{0:.1f} {1:.1f}V{2:.1f}" stroke="#eee"/>)", across(part), top, bottom);
    all += text(across(part), bottom + 16, "middle", "#333", label);
  }
  std::vector<std::pair<double, const curve*>> ends;
  for (const curve& c : curves) {
    std::string path;
    double last = 0;
    for (const auto& [part, ns] : c.points) {
      if (1 - part < rarest * 0.99) continue;
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", across(part), up(ns));
      last = ns;
    }
    if (path.empty()) continue;
    all += drawn(c, path);
    ends.push_back({up(last), &c});
  }
  all += names_beside(right, top, bottom, std::move(ends));
  return svg(width, height, all);
}

std::string line_chart(const std::vector<std::string>& labels, const std::vector<curve>& curves,
                       std::string_view unit) {
  constexpr double width = 780;
  constexpr double height = 300;
  constexpr double left = 62;
  constexpr double right = width - 175;
  constexpr double top = 24;
  constexpr double bottom = height - 34;
  double most = 0;
  for (const curve& c : curves) {
    for (const auto& [_, value] : c.points) most = std::max(most, value);
  }
  const auto across = [&](double i) {
    return left + (right - left) * i / static_cast<double>(std::max<std::size_t>(labels.size(), 2) - 1);
  };
  const auto up = [&](double value) { return bottom - (bottom - top) * value / std::max(most, 1e-9); };
  std::string all = text(left, top - 10, "start", "#000", unit);
  for (const double part : {0.0, 0.25, 0.5, 0.75, 1.0}) {
    all += fmt::format(R"(<path d="M{:.1f} {:.1f}H{:.1f}" stroke="#ddd"/>)", left, up(part * most), right);
    all += text(left - 6, up(part * most) + 4, "end", "#333", number_text(part * most));
  }
  for (std::size_t i = 0; i != labels.size(); ++i) {
    all += text(across(static_cast<double>(i)), bottom + 16, "middle", "#333", labels[i]);
  }
  std::vector<std::pair<double, const curve*>> ends;
  for (const curve& c : curves) {
    std::string path;
    for (const auto& [i, value] : c.points) {
      path += fmt::format("{}{:.1f} {:.1f}", path.empty() ? "M" : "L", across(i), up(value));
    }
    all += drawn(c, path);
    ends.push_back({up(c.points.back().second), &c});
  }
  return svg(width, height, all + names_beside(right, top, bottom, std::move(ends)));
}

}  // namespace millrace::bench
