#include "verify/explain/ending.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <regex>
#include <set>

namespace verify::explain {
namespace {

constexpr std::string_view asleep_on = ": asleep";
constexpr std::string_view asleep_on_several = "asleep";
constexpr std::string_view unchanged = ": unchanged";

// The steps of one thread, the last one first.
std::vector<trace_step*> backwards(std::vector<trace_step>& steps, std::size_t thread) {
  std::vector<trace_step*> its;
  for (auto s = steps.rbegin(); s != steps.rend(); ++s) {
    if (s->column == thread) its.push_back(&*s);
  }
  return its;
}

std::string place(const trace_step& s) { return fmt::format("{}:{}", s.file, s.line); }

// What a thread sleeps on, if that was the last that it did: a word, or all that it has looked at just before.
std::vector<std::string> slept_on(const std::vector<trace_step*>& its) {
  const std::string& last = its.front()->action;
  if (last.ends_with(asleep_on)) return {last.substr(0, last.size() - asleep_on.size())};
  if (last != asleep_on_several) return {};
  std::vector<std::string> words;
  for (std::size_t i = 1; i != its.size() && its[i]->action.ends_with(unchanged); ++i) {
    words.push_back(its[i]->action.substr(0, its[i]->action.size() - unchanged.size()));
  }
  std::ranges::reverse(words);
  return words;
}

// Who would have woken a sleeper, and read an older value of its event count: that nobody sleeps. Marks those reads.
std::string missed(const explainable& e, std::vector<trace_step>& steps, const std::string& word) {
  std::string text;
  for (trace_step& s : steps) {
    if (!s.stale || !s.action.starts_with(word + " →")) continue;
    if (s.action.ends_with("sleepers") || !s.remark.ends_with("sleepers")) continue;
    s.to_blame = true;
    const std::string told = fmt::format("{} does not see it ({}), ", e.threads[s.column], place(s));
    if (!text.ends_with(told)) text += told;
  }
  return text;
}

std::string deadlock(const explainable& e, std::vector<trace_step>& steps) {
  std::string text;
  std::set<std::string> slept;
  for (std::size_t i = 0; i + 1 < e.threads.size(); ++i) {
    const std::vector<trace_step*> its = backwards(steps, i);
    if (its.empty()) continue;
    const auto killed = std::ranges::find(its, "SIGKILL", &trace_step::action);
    if (killed != its.end()) text += fmt::format("{} was killed at {}, ", e.threads[i], place(**killed));
    const std::vector<std::string> words = slept_on(its);
    slept.insert(words.begin(), words.end());
    if (!words.empty()) {
      text += fmt::format("{} sleeps on {} ({}), ", e.threads[i], fmt::join(words, " and "), place(*its.front()));
    }
    if (!words.empty() || killed == its.begin()) its.front()->to_blame = true;
  }
  for (const std::string& word : slept) text += missed(e, steps, word);
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
      if (steps.size() == r.threads().size()) {
        return "Behind these steps somebody goes round for ever, and touches nothing that is shared." + why;
      }
      return fmt::format("The threads do this over and over, {} steps so far, and none gets anywhere.",
                         r.threads().size()) +
             why;
    case verdict::clean:
    case verdict::other:
      break;
  }
  return fmt::format("What comes behind the step at {} is not allowed: it uses what was never made.", place(last)) +
         why;
}

}  // namespace verify::explain
