// What //bench:compare has written, as one page that needs nothing else.
#include <fmt/format.h>

#include <algorithm>
#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <exception>
#include <filesystem>
#include <fstream>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bench/chart.h"
#include "bench/text.h"
#include "bench/users_path.h"
#include "tools/command_line.h"

namespace millrace::bench {
namespace {

using tree = boost::property_tree::ptree;
namespace fs = std::filesystem;

void write(const fs::path& to, const std::string& text) {
  std::ofstream out(to);
  if (!(out << text << std::flush))
    throw std::runtime_error(fmt::format("cannot write to {}: {}", to.string(), std::strerror(errno)));
}

std::string text_of(const tree& t, const char* key) { return t.get<std::string>(key); }
bool is_null(const tree& t, const char* key) { return text_of(t, key) == "null"; }

// A chart goes into the page, and into a file of its own where that is asked for.
class charts {
 public:
  explicit charts(fs::path directory) : directory_(std::move(directory)) {
    if (!directory_.empty()) fs::create_directories(directory_);
  }
  std::string add(const std::string& name, std::string svg) const {
    if (!directory_.empty()) write(directory_ / (name + ".svg"), svg);
    return "<figure>" + std::move(svg) + "</figure>\n";
  }

 private:
  fs::path directory_;
};

panel panel_of(const tree& column, double factor) {
  panel p{text_of(column, "label"), {}};
  for (const auto& [_, q] : column.get_child("queues")) {
    bar b{text_of(q, "queue"), text_of(q, "from"), 0, 0, 0, text_of(q, "fault")};
    if (is_null(q, "figure")) {
      if (b.fault.empty()) b.fault = "?";
    } else {
      b.value = factor * q.get<double>("figure.median");
      b.low = factor * q.get<double>("figure.low");
      b.high = factor * q.get<double>("figure.high");
    }
    p.bars.push_back(std::move(b));
  }
  return p;
}

std::vector<panel> instructions(const tree& columns) {
  std::vector<panel> panels;
  for (const auto& [_, c] : columns) {
    panel& p = panels.emplace_back(panel{text_of(c, "label"), {}});
    for (const auto& [__, q] : c.get_child("queues")) {
      if (is_null(q, "instructions")) continue;
      const auto n = q.get<double>("instructions");
      p.bars.push_back({text_of(q, "queue"), text_of(q, "from"), n, n, n, {}});
    }
  }
  return panels;
}

// Names down, columns across, and in each what `text` says of a queue, if anything.
template <class F>
std::string grid(const tree& section, std::string_view head, F text) {
  std::vector<std::string> names;
  std::string page = fmt::format("<details><summary>{}</summary><table><tr><th></th>", escaped(head));
  for (const auto& [_, c] : section.get_child("columns")) {
    page += fmt::format("<th>{}</th>", escaped(text_of(c, "label")));
    for (const auto& [__, q] : c.get_child("queues")) {
      if (std::ranges::find(names, text_of(q, "queue")) == names.end()) names.push_back(text_of(q, "queue"));
    }
  }
  page += "</tr>\n";
  for (const std::string& name : names) {
    page += fmt::format("<tr><td>{}</td>", escaped(name));
    for (const auto& [_, c] : section.get_child("columns")) {
      std::string said;
      for (const auto& [__, q] : c.get_child("queues")) {
        if (text_of(q, "queue") == name) said = text(c, q);
      }
      page += fmt::format("<td>{}</td>", said.empty() ? "–" : said);
    }
    page += "</tr>\n";
  }
  return page + "</table></details>\n";
}

std::string ratio_text(const tree& q) {
  if (is_null(q, "base_to_it")) return {};
  return fmt::format("{} <small>({}–{})</small>", number_text(q.get<double>("base_to_it.median")),
                     number_text(q.get<double>("base_to_it.low")), number_text(q.get<double>("base_to_it.high")));
}

std::string ratios(const tree& section) {
  return grid(section, text_of(section, "base") + " to each: median (quartiles)",
              [](const tree&, const tree& q) { return ratio_text(q); });
}

std::string bytes_a_slot(const tree& section) {
  return grid(section, "bytes a slot", [](const tree& c, const tree& q) {
    const auto bytes = q.get<double>("bytes");
    return bytes == 0 ? std::string() : fmt::format("{:.1f}", bytes / c.get<double>("capacity"));
  });
}

std::string trips(const tree& section, const charts& into) {
  std::string page;
  int number_of_chart = 0;
  for (const auto& [_, c] : section.get_child("columns")) {
    std::vector<curve> curves;
    std::string table = "<table><tr><th></th><th>p50</th><th>p99</th><th>p99.9</th><th>most</th>";
    table += fmt::format("<th>{}'s p50 to it</th></tr>\n", escaped(text_of(section, "base")));
    for (const auto& [__, q] : c.get_child("queues")) {
      curve one{text_of(q, "queue"), text_of(q, "from"), {}};
      std::string fault = text_of(q, "fault");
      if (fault.empty() && is_null(q, "trips")) fault = "?";
      if (!fault.empty()) {
        table += fmt::format("<tr class=\"{}\"><td>{}</td><td class=\"bad\">{}</td></tr>\n", one.from,
                             escaped(one.name), fault);
        continue;
      }
      for (const auto& [___, point] : q.get_child("trips")) {
        one.points.push_back({point.front().second.get_value<double>(), point.back().second.get_value<double>()});
      }
      table += fmt::format("<tr class=\"{}\"><td>{}</td>", one.from, escaped(one.name));
      for (const double part : {0.5, 0.99, 0.999, 1.0}) {
        const auto at = std::ranges::find(one.points, part, &std::pair<double, double>::first);
        table += fmt::format("<td>{}</td>", at == one.points.end() ? "?" : time_text(at->second));
      }
      table += fmt::format("<td>{}</td></tr>\n", ratio_text(q));
      curves.push_back(std::move(one));
    }
    page += fmt::format("<h3>{}</h3>\n<div class=\"beside\">{}{}</table></div>\n", escaped(text_of(c, "label")),
                        into.add(fmt::format("round-trip-{}", ++number_of_chart), latency_chart(curves)), table);
  }
  return page;
}

// Over topologies: ours, what they are measured against, and the three best of the others.
std::string scaling(const tree& section, const charts& into) {
  std::vector<std::string> labels;
  std::vector<curve> all;
  for (const auto& [_, c] : section.get_child("columns")) {
    for (const auto& [__, q] : c.get_child("queues")) {
      if (is_null(q, "figure") || !text_of(q, "fault").empty()) continue;
      auto it = std::ranges::find(all, text_of(q, "queue"), &curve::name);
      if (it == all.end()) it = all.insert(it, curve{text_of(q, "queue"), text_of(q, "from"), {}});
      it->points.push_back({static_cast<double>(labels.size()), 1e-6 * q.get<double>("figure.median")});
    }
    labels.push_back(text_of(c, "label"));
  }
  std::erase_if(all, [&](const curve& c) { return c.points.size() != labels.size(); });
  const auto others =
      std::ranges::stable_partition(all, [](const curve& c) { return c.from == "ours" || c.from == "reference"; });
  const auto rate = [](const curve& c) {  // geometric mean
    double sum = 0;
    for (const auto& [_, value] : c.points) sum += std::log(value);
    return sum;
  };
  std::ranges::sort(others, std::greater(), rate);
  if (others.size() > 3) all.erase(others.begin() + 3, all.end());
  if (all.empty()) return {};
  return into.add(text_of(section, "key") + "-scaling", line_chart(labels, all, "million/s"));
}

std::string section_page(const tree& section, const charts& into) {
  const tree& columns = section.get_child("columns");
  const std::string task = text_of(columns.front().second, "task");
  std::string page = fmt::format("<h2>{}</h2>\n", escaped(text_of(section, "title")));
  if (task == "round trip" || task == "wake-up") return page + trips(section, into);
  const std::string key = text_of(section, "key");
  const auto [factor, unit] = task == "idle"    ? std::pair(1e3, "ms of CPU time")
                              : task == "alone" ? std::pair(1.0, "ns a push and pop")
                                                : std::pair(1e-6, "million/s");
  std::vector<panel> panels;
  for (const auto& [_, c] : columns) panels.push_back(panel_of(c, factor));
  page += into.add(key, bar_chart(panels, unit));
  if (task == "alone") page += into.add(key + "-instructions", bar_chart(instructions(columns), "instructions"));
  if (task == "idle") return page;
  if (text_of(columns.front().second, "producers") != text_of(columns.back().second, "producers")) {
    page += scaling(section, into);
  }
  page += ratios(section);
  return key == "sizes" || key == "capacities" ? page + bytes_a_slot(section) : page;
}

std::string must_show(const tree& all) {
  std::string page = "<h2>Must show</h2>\n<table class=\"left\">\n";
  for (const auto& [_, f] : all.get_child("must_show")) {
    const std::string verdict = text_of(f, "verdict");
    page += fmt::format("<tr><td class=\"{}\">{}</td><td>{}</td><td>{}</td></tr>\n",
                        verdict == "not met" ? "bad" : verdict, verdict, escaped(text_of(f, "promise")),
                        is_null(f, "measured") ? "" : escaped(text_of(f, "measured")));
  }
  return page + "</table>\n";
}

std::string bare(const tree& all) {
  std::string page = "<h2>The machine</h2>\n<table>\n";
  for (const auto& [_, b] : all.get_child("bare")) {
    if (is_null(b, "figure")) continue;
    page += fmt::format("<tr><td>{}</td><td>{:.1f} {} <small>({:.1f}–{:.1f})</small></td></tr>\n",
                        escaped(text_of(b, "name")), b.get<double>("figure.median"), escaped(text_of(b, "unit")),
                        b.get<double>("figure.low"), b.get<double>("figure.high"));
  }
  return page + "</table>\n";
}

std::string contenders(const tree& all) {
  std::string page =
      "<h2>The queues</h2>\n<table class=\"left\"><tr><th></th><th></th><th>package</th><th>between processes</th>"
      "<th>first in, first out</th><th></th></tr>\n";
  const auto yes = [](bool b) { return b ? "yes" : "no"; };
  for (const auto& [_, c] : all.get_child("contenders")) {
    page += fmt::format("<tr><td>{}</td><td>{}</td><td>{}{}</td><td>{}</td><td>{}</td><td>{}{}</td></tr>\n",
                        escaped(text_of(c, "name")), escaped(text_of(c, "from")), escaped(text_of(c, "package")),
                        c.get<bool>("installed") ? "" : " (not installed: skipped)",
                        yes(c.get<bool>("between_processes")), yes(c.get<bool>("fifo")),
                        c.get<bool>("one_to_one") ? "one to one; " : "", escaped(text_of(c, "note")));
  }
  return page + "</table>\n";
}

constexpr std::string_view style = R"(
body { font: 15px/1.45 system-ui, sans-serif; max-width: 1200px; margin: 24px auto; padding: 0 20px; color: #1c1c1c }
h1 { margin-bottom: 4px } h2 { margin-top: 36px } h3 { margin: 18px 0 4px; font-size: 15px }
figure { margin: 8px 0; overflow-x: auto } table { border-collapse: collapse; font-size: 13px }
td, th { padding: 2px 10px 2px 0; text-align: right; white-space: nowrap; vertical-align: top } td:first-child, th:first-child { text-align: left }
.left td, .left th { text-align: left; white-space: normal } small { color: #666 } tr.ours td:first-child { color: #0b6e99; font-weight: 600 }
tr.limit td:first-child { color: #b3261e } .beside { display: flex; gap: 12px; align-items: flex-start; flex-wrap: wrap }
td.met { color: #1b7f3b; font-weight: 600 } td.bad { color: #b3261e; font-weight: 600 } .left td:first-child { white-space: nowrap }
summary { cursor: pointer; color: #555 }
.key span { display: inline-block; width: 11px; height: 11px; margin: 0 5px 0 14px }
)";

std::string legend() {
  std::string page = "<p class=\"key\">";
  for (const auto& [from, words] :
       std::vector<std::pair<std::string_view, std::string_view>>{{"ours", "ours, crash safety on"},
                                                                  {"reference", "plain textbook rings"},
                                                                  {"peer", "peers"},
                                                                  {"kernel", "the kernel's own"},
                                                                  {"limit", "what the machine does at all"}}) {
    page += fmt::format("<span style=\"background:{}\"></span>{}", colour_of(from), words);
  }
  return page + "</p>\n";
}

std::string page_of(const tree& all, const charts& into) {
  std::string page = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>millrace: measurements</title>\n"
      "<style>{}</style>\n<h1>millrace beside other queues</h1>\n<p>{}<br>{} passes of {} ms, interleaved; medians, "
      "the "
      "line in each bar spans the quartiles; every message of every run that came to its end was checked: a hollow bar "
      "is of a queue that failed, was stuck, or did wrong by its messages.{}</p>\n",
      style, escaped(text_of(all, "machine")), text_of(all, "passes"), text_of(all, "window_ms"),
      all.get<bool>("realtime") ? " The rest of the machine waited while a run was under way." : "");
  page += legend() + must_show(all);
  for (const auto& [_, section] : all.get_child("sections")) page += section_page(section, into);
  return page + bare(all) + contenders(all) + "</html>\n";
}

int report(int argc, char** argv) {
  command_line line("report", "Makes a page of what //bench:compare -- --json FILE has written.");
  std::string json;
  std::string page = "report.html";
  std::string svg;
  line.required("json", json, "FILE", "the file that compare has written");
  line.text("page", page, "FILE", "the page to write");
  line.text("--svg", svg, "DIRECTORY", "write each chart there, too");
  if (const auto status = line.parse(argc, argv)) return *status;
  tree all;
  boost::property_tree::read_json(users_path(json).string(), all);
  write(users_path(page), page_of(all, charts(svg.empty() ? fs::path() : users_path(svg))));
  fmt::print("{}\n", users_path(page).string());
  return 0;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) try { return millrace::bench::report(argc, argv); } catch (const std::exception& e) {
  std::fprintf(stderr, "report: %s\n", e.what());
  return 2;
}
