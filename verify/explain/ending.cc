#include "verify/explain/ending.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <regex>

namespace verify::explain {
namespace {

// What a thread sleeps on, if that was the last that it did.
std::optional<std::string> slept_on(const trace_step& s) {
  constexpr std::string_view asleep = ": asleep";
  if (!s.action.ends_with(asleep)) return std::nullopt;
  return s.action.substr(0, s.action.size() - asleep.size());
}

std::string deadlock(const explainable& e, std::vector<trace_step>& steps) {
  std::string text;
  for (std::size_t i = 0; i + 1 < e.threads.size(); ++i) {
    const auto last = std::find_if(steps.rbegin(), steps.rend(), [i](const trace_step& s) { return s.column == i; });
    if (last == steps.rend()) continue;
    const auto on = slept_on(*last);
    if (on || last->action == "SIGKILL") last->to_blame = true;
    const std::string where = fmt::format("{}:{}", last->file, last->line);
    if (on) text += fmt::format("{} sleeps on {} ({}), ", e.threads[i], *on, where);
    if (last->action == "SIGKILL") text += fmt::format("{} was killed at {}, ", e.threads[i], where);
  }
  return text + "and nobody is left to wake anybody.";
}

// What verify/model/linearizable.cc says of the calls, if that is the claim: in
// the names that are used here, and in one line.
std::string calls_made(const recording& r) {
  for (const step& s : r.after()) {
    std::string text = s.event == nullptr ? "" : s.event;
    if (!text.starts_with("no order of these calls")) continue;
    text = text.substr(text.find('\n') + 1);
    std::string told;
    const std::regex name("thread ([0-9]+), *([0-9]+) to *([0-9]+): |([0-9]+)\\.([0-9]+)");
    std::sregex_iterator end;
    auto from = text.cbegin();
    for (std::sregex_iterator i(text.cbegin(), text.cend(), name); i != end; ++i) {
      const std::smatch& found = *i;
      told.append(from, found[0].first);
      from = found[0].second;
      const auto letter = [&](std::size_t group) { return static_cast<char>('A' + std::stoi(found[group])); };
      told +=
          found[1].matched ? fmt::format("{} ", letter(1)) : fmt::format("{}{}", letter(4), std::stoi(found[5]) + 1);
    }
    told.append(from, text.cend());
    return " The calls, in the order in which they began: " +
           std::regex_replace(std::regex_replace(told, std::regex("^ +"), ""), std::regex("\n *"), "; ") + ".";
  }
  return {};
}

}  // namespace

std::string race(const std::vector<trace_step>& steps, std::string_view why) {
  const auto first = std::ranges::find_if(steps, &trace_step::to_blame);
  return fmt::format("Line {} and line {} touch the same memory, one of them writes, and nothing orders them: {}",
                     first->line, steps.back().line, why);
}

std::string general_ending(const explainable& e, const recording& r, std::vector<trace_step>& steps) {
  const trace_step& last = steps.back();
  const std::string why = e.why.empty() ? "" : " " + e.why;
  switch (e.expected) {
    case verdict::data_race:
      return race(steps, "a data race, so the program means nothing.") + why;
    case verdict::uninitialized:
      return fmt::format("Line {} reads what was never written.", last.line) + why;
    case verdict::assertion:
      return fmt::format("{} that {}; it does not.{}{}",
                         r.begun() ? "It must hold" : "Before the threads begin it must hold", r.last().event,
                         calls_made(r), why);
    case verdict::deadlock:
      return deadlock(e, steps) + why;
    case verdict::livelock:
      return fmt::format("The threads do this over and over, {} steps so far, and none gets anywhere.",
                         r.threads().size()) +
             why;
    case verdict::clean:
    case verdict::other:
      break;
  }
  return fmt::format("The step at line {} is not allowed.", last.line) + why;
}

}  // namespace verify::explain
