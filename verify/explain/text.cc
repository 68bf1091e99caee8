// A trace for a terminal.
#include <fmt/format.h>

#include <algorithm>

#include "verify/explain/markup.h"
#include "verify/explain/trace.h"

namespace verify::explain {
namespace {

// Every character that a trace holds is one column wide.
std::string padded(std::string text, std::size_t to) {
  text.append(to - std::min(to, width_of(text)), ' ');
  return text;
}

std::string line_of(const picture& p) {
  std::string line;
  for (const picture::index& i : p.indices) line += fmt::format("{} {}  ", i.name, i.value);
  for (const picture::slot& s : p.slots) {
    line += s.held ? "[" + s.text + "]" : "(" + s.text + ")";
  }
  return line;
}

std::string cell(const trace_step& s) {
  std::string text = s.to_blame ? "✗ " : "";
  text += s.action;
  if (!s.remark.empty()) text += fmt::format(" ({})", s.remark);
  return text;
}

}  // namespace

std::string as_text(const trace& t) {
  std::vector<std::size_t> widths;
  const std::vector<bool> used = columns_in_use(t);
  for (std::size_t i = 0; i != used.size(); ++i) widths.push_back(used[i] ? width_of(t.columns[i]) : 0);
  constexpr std::string_view heading = "memory after it";
  std::size_t ring = std::max(heading.size(), width_of(line_of(t.start)));
  for (const trace_step& s : t.steps) {
    widths[s.column] = std::max(widths[s.column], width_of(cell(s)));
    ring = std::max(ring, width_of(line_of(s.after)));
  }

  std::string text = fmt::format("{}: {}\n\n     ", t.name, t.what);
  const auto add_row = [&](auto cell_of) {
    for (std::size_t i = 0; i != used.size(); ++i) {
      if (used[i]) text += padded(cell_of(i), widths[i] + 2);
    }
  };
  add_row([&](std::size_t i) { return t.columns[i]; });
  text += padded(std::string(heading), ring + 3) + "source\n     ";
  add_row([&](std::size_t i) { return std::string(widths[i], '-'); });
  text += std::string(ring, '-') + "   " + std::string(6, '-') + "\n     ";
  add_row([](std::size_t) { return std::string(); });
  text += line_of(t.start) + "\n";
  for (std::size_t n = 0; n != t.steps.size(); ++n) {
    const trace_step& s = t.steps[n];
    text += fmt::format("{:>3}  ", n + 1);
    add_row([&](std::size_t i) { return i == s.column ? cell(s) : std::string(); });
    text += padded(line_of(s.after), ring + 3) + fmt::format("{}:{}  {}\n", s.file, s.line, s.code);
  }
  text += fmt::format("\n{}→ reads, ← writes, ⇒ does both at once{}.\n\n{}: {}\n\n{}\n",
                      t.start.slots.empty() ? "" : "[A1] is in the ring, (A1) only in memory; ",
                      std::ranges::any_of(t.steps, &trace_step::to_blame) ? "; ✗ is to blame" : "", t.verdict, t.ending,
                      t.search);
  return text;
}

}  // namespace verify::explain
