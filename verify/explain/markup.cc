#include "verify/explain/markup.h"

#include <fmt/format.h>

#include <algorithm>

namespace verify::explain {

namespace {

constexpr double all_width = 270;
constexpr double all_height = 44;

std::string values(const picture& p, double left) {
  std::string g;
  const std::size_t first = p.indices.size() > 2 ? 12 : 20;
  for (std::size_t i = 0; i != p.indices.size(); ++i) {
    g += fmt::format("<text class=\"value\" x=\"{:.1f}\" y=\"{}\">{} = {}</text>", left, first + 15 * i,
                     escaped(p.indices[i].name), escaped(p.indices[i].value));
  }
  return g;
}

// In columns beside each other, and as small as that takes.
std::string many_values(const picture& p, double left) {
  constexpr double largest = 11;
  std::string g;
  const std::size_t rows = std::max<std::size_t>(4, (p.indices.size() + 2) / 3);
  const std::size_t columns = (p.indices.size() + rows - 1) / rows;
  const double height = all_height / static_cast<double>(rows);
  const double width = (all_width - left) / static_cast<double>(columns);
  for (std::size_t i = 0; i != p.indices.size(); ++i) {
    const std::string text = fmt::format("{} = {}", p.indices[i].name, p.indices[i].value);
    const double size = std::min({largest, height, width / (0.6 * static_cast<double>(width_of(text) + 1))});
    g += fmt::format("<text class=\"value\" style=\"font-size:{:.1f}px\" x=\"{:.1f}\" y=\"{:.1f}\">{}</text>", size,
                     left + width * static_cast<double>(i / rows), height * static_cast<double>(i % rows + 1) - 1,
                     escaped(text));
  }
  return g;
}

}  // namespace

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
}

std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
  std::vector<std::string> lines(1);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!lines.back().empty() && width_of(lines.back()) + 1 + width_of(word) > width) lines.emplace_back();
    if (!lines.back().empty()) lines.back() += ' ';
    lines.back() += word;
  }
  return lines;
}

std::string drawn(const picture& p, double x, double y) {
  constexpr double widest_slot = 54;
  constexpr double all_slots = 170;
  std::string g = fmt::format("<g transform=\"translate({} {})\">", x, y);
  const double slot_width =
      std::min(widest_slot, all_slots / static_cast<double>(std::max<std::size_t>(p.slots.size(), 1)));
  std::vector<std::string> pointing(p.slots.size());
  for (const picture::index& i : p.indices) {
    if (i.slot < pointing.size()) pointing[i.slot] += i.name + " ";
  }
  for (std::size_t i = 0; i != p.slots.size(); ++i) {
    const picture::slot& s = p.slots[i];
    const double left = slot_width * static_cast<double>(i);
    const double middle = left + slot_width / 2;
    const std::string_view held = s.held ? " held" : "";
    g += fmt::format("<rect class=\"slot{}{}\" x=\"{:.1f}\" y=\"17\" width=\"{:.1f}\" height=\"22\"/>", held,
                     s.fresh ? " fresh" : "", left, slot_width);
    g += fmt::format("<text class=\"name{}\" x=\"{:.1f}\" y=\"33\">{}</text>", held, middle, escaped(s.text));
    if (pointing[i].empty()) continue;
    g += fmt::format("<text class=\"index\" x=\"{:.1f}\" y=\"13\">{}▾</text>", middle, escaped(pointing[i]));
  }
  const double right = p.slots.empty() ? 0 : slot_width * static_cast<double>(p.slots.size()) + 12;
  return g + (p.indices.size() <= 3 ? values(p, right) : many_values(p, right)) + "</g>";
}

std::string legend(const trace& t) {
  const bool blames = std::ranges::any_of(t.steps, &trace_step::to_blame);
  return fmt::format("→ reads · ← writes · ⇒ does both at once{}{}", blames ? " · ✗ is to blame" : "",
                     t.start.slots.empty() ? "" : " · green: is in the ring · thick: written just now");
}

std::vector<bool> columns_in_use(const trace& t) {
  std::vector<bool> used(t.columns.size());
  for (const trace_step& s : t.steps) used[s.column] = true;
  return used;
}

}  // namespace verify::explain
