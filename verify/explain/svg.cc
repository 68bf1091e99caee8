// A trace as a sequence diagram, 1280 wide, for a slide.
#include <fmt/format.h>

#include <algorithm>

#include "verify/explain/markup.h"
#include "verify/explain/trace.h"

namespace verify::explain {
namespace {

constexpr double page = 1280;
constexpr double margin = 32;
constexpr double row = 44;
constexpr double first_row = 132;
constexpr double memory_at = 1010;
constexpr double code_at = 190;
constexpr double code_size = 11;
constexpr double action_size = 14;
constexpr double smallest_action = 11;
constexpr double remark_size = 11;
constexpr double code_character = code_size * 0.602;  // of any common monospace font

constexpr std::string_view style = R"(
    text { font-family: 'Liberation Sans', Arial, Helvetica, sans-serif; fill: #1f2933 }
    .page { fill: #ffffff }
    .title { font-weight: bold }
    .column { font-size: 16px; font-weight: bold; text-anchor: middle }
    .left { text-anchor: start }
    .verdict { font-size: 16px; fill: #b91c1c; font-weight: bold }
    .ending { font-size: 16px }
    .search { font-size: 12px; fill: #52606d }
    .stripe { fill: #f5f7fa }
    .lifeline { stroke: #9aa5b1; stroke-width: 2 }
    .number { font-size: 12px; fill: #52606d; text-anchor: end }
    .place, .code { font-family: 'DejaVu Sans Mono', Consolas, Menlo, monospace; font-size: 11px; white-space: pre }
    .place { fill: #52606d; text-anchor: end }
    .box { fill: #e6f0fa; stroke: #2563a8; stroke-width: 1.5 }
    .box.odd { fill: #fef3c7; stroke: #b45309 }
    .box.blame { fill: #fee2e2; stroke: #b91c1c; stroke-width: 2.5 }
    .action { text-anchor: middle }
    .remark { text-anchor: middle; fill: #92400e; font-weight: bold }
    .arrow { stroke: #2563a8; stroke-width: 1.5; fill: none }
    .arrow.reads { stroke-dasharray: 5 4 }
    .arrow.blame { stroke: #b91c1c }
    .head { fill: #2563a8 }
    .head.blame { fill: #b91c1c }
    .slot { fill: #ffffff; stroke: #52606d }
    .slot.held { fill: #c6e6c8 }
    .slot.fresh { stroke: #1f2933; stroke-width: 3 }
    .name { font-size: 13px; text-anchor: middle; fill: #7b8794 }
    .name.held { fill: #1f2933; font-weight: bold }
    .index { font-size: 11px; text-anchor: middle }
    .value { font-size: 12px }
)";

std::string text(std::string_view css, double x, double y, std::string_view what) {
  return fmt::format("  <text class=\"{}\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", css, x, y, escaped(what));
}

// At most: of a character's mean share of the size, in the sans-serif fonts above.
double width_in(double size, std::string_view what) { return 0.62 * size * static_cast<double>(width_of(what)); }

// In a smaller size where `size` would be wider than `width`.
std::string fitting(std::string_view css, double size, double width, double x, double y, std::string_view what) {
  return fmt::format("  <text class=\"{}\" style=\"font-size:{:.1f}px\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>\n", css,
                     size * std::min(1.0, width / width_in(size, what)), x, y, escaped(what));
}

std::string arrow(double from, double to, double y, bool reads, std::string_view blame) {
  const double tip = reads ? from : to;
  const double back = reads ? 8 : -8;
  return fmt::format("  <path class=\"arrow{}{}\" d=\"M{:.1f} {:.1f}H{:.1f}\"/>\n", reads ? " reads" : "", blame, from,
                     y, to) +
         fmt::format("  <path class=\"head{}\" d=\"M{:.1f} {:.1f}l{} -4.5v9z\"/>\n", blame, tip, y, back);
}

// One step: its line, what its thread does, and what memory holds then.
std::string drawn(const trace_step& s, std::size_t number, double y, double threads_at, double right, double narrow) {
  std::string out;
  const double centre = y + row / 2;
  const double code_width = threads_at - code_at - 14;
  // What is long may take the room of the columns to the left, of which none does anything now.
  const double wanted = std::max(width_in(remark_size, s.remark), width_in(smallest_action, s.action)) + 10;
  const double width = std::clamp(wanted, narrow, std::max(narrow, right - threads_at));
  const double middle = right - width / 2;
  out += text("number", margin + 14, centre + 4, std::to_string(number));
  const std::string place = fmt::format("{}:{}", s.file, s.line);
  out += fitting("place", code_size, code_at - 10 - margin - 24, code_at - 10, centre + 4, place);
  auto code = wrapped(s.code, static_cast<std::size_t>(code_width / code_character));
  if (code.size() > 2) {
    code.resize(2);
    code.back() += " …";
  }
  for (std::size_t i = 0; i != code.size(); ++i) {
    out += text("code", code_at,
                centre + 4 + 14 * (static_cast<double>(i) - 0.5 * static_cast<double>(code.size() - 1)), code[i]);
  }

  const std::string_view blame = s.to_blame ? " blame" : "";
  if (s.what != trace_step::kind::other) {
    out += arrow(right, memory_at - 14, centre, s.what == trace_step::kind::reads, blame);
  }
  const std::string action = (s.to_blame ? "✗ " : "") + s.action;
  out += fmt::format("  <rect class=\"box{}{}\" x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"32\" rx=\"5\"/>\n",
                     s.remark.empty() ? "" : " odd", blame, right - width, centre - 16, width);
  out += fitting("action", action_size, width - 10, middle, s.remark.empty() ? centre + 5 : centre - 1, action);
  if (!s.remark.empty()) out += fitting("remark", remark_size, width - 10, middle, centre + 12, s.remark);
  return out + "  " + explain::drawn(s.after, memory_at, y) + "\n";
}

}  // namespace

std::string as_svg(const trace& t) {
  const std::vector<bool> used = columns_in_use(t);
  const auto columns = static_cast<double>(std::ranges::count(used, true));
  const double threads_at = columns > 2 ? 530 : 600;
  const double column_width = (memory_at - 40 - threads_at) / columns;
  std::vector<double> middle;
  double next = threads_at + column_width / 2;
  for (const bool u : used) {
    middle.push_back(next);
    if (u) next += column_width;
  }

  const double last_row = first_row + row * static_cast<double>(t.steps.size() + 1);
  const std::vector<std::string> ending = wrapped(t.ending, 132);
  const std::vector<std::string> search = wrapped(t.search, 170);
  const double height =
      last_row + 64 + 22 * static_cast<double>(ending.size()) + 16 * static_cast<double>(search.size());

  std::string out = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} {1}\" "
      "style=\"max-width:100%;height:auto\" role=\"img\" "
      "aria-labelledby=\"title ending\">\n  <title id=\"title\">{2}</title>\n  <desc id=\"ending\">{3}</desc>\n"
      "  <style>{4}  </style>\n  <rect class=\"page\" width=\"{0}\" height=\"{1}\"/>\n",
      page, height, escaped(t.what), escaped(t.verdict + ": " + t.ending), style);
  out += fitting("title", 22, page - 2 * margin, margin, 48, t.what);
  out += text("search", margin, 72, legend(t));
  out += text("column left", code_at, first_row - 22, "source");
  out += text("column left", memory_at, first_row - 22, "memory");
  for (std::size_t i = 0; i != used.size(); ++i) {
    if (!used[i]) continue;
    out += text("column", middle[i], first_row - 22, t.columns[i]);
  }
  for (std::size_t i = 1; i < t.steps.size(); i += 2) {
    out += fmt::format("  <rect class=\"stripe\" y=\"{}\" width=\"{}\" height=\"{}\"/>\n",
                       first_row + row * static_cast<double>(i + 1), page, row);
  }
  for (std::size_t i = 0; i != used.size(); ++i) {
    if (!used[i]) continue;
    out += fmt::format("  <path class=\"lifeline\" d=\"M{:.1f} {}V{}\"/>\n", middle[i], first_row - 12, last_row);
  }
  out += text("search", code_at, first_row + row / 2 + 4, "at first");
  out += "  " + explain::drawn(t.start, memory_at, first_row) + "\n";
  for (std::size_t i = 0; i != t.steps.size(); ++i) {
    out += drawn(t.steps[i], i + 1, first_row + row * static_cast<double>(i + 1), threads_at,
                 middle[t.steps[i].column] + column_width / 2 - 7, column_width - 14);
  }
  double y = last_row + 34;
  out += text("verdict", margin, y, t.verdict);
  for (const std::string& line : ending) out += text("ending", margin, y += 22, line);
  y += 6;
  for (const std::string& line : search) out += text("search", margin, y += 16, line);
  return out + "</svg>\n";
}

}  // namespace verify::explain
