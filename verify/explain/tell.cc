#include "verify/explain/tell.h"

#include <fmt/format.h>

#include <algorithm>
#include <sstream>
#include <stdexcept>

#include "verify/explain/ending.h"
#include "verify/explain/recording.h"
#include "verify/explain/source.h"

namespace verify::explain {
namespace {

constexpr std::size_t most_of_a_livelock = 60;

std::string in_words(verdict v) { return (std::ostringstream() << v).str(); }

std::string_view in_words(std::memory_order order) {
  constexpr std::string_view names[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
  return names[static_cast<std::size_t>(order)];
}

// The steps told so far, folded into what memory holds.
class memory {
 public:
  memory(const explainable& e, recording& r) : explainable_(e), objects_(r.objects()), values_(objects_.size()) {
    if (objects_.size() != e.memory.variables.size()) {
      throw std::runtime_error(fmt::format("{}: the scenario has {} variables, expected {}: correct their list", e.name,
                                           objects_.size(), e.memory.variables.size()));
    }
    for (const step& s : r.before()) apply(s);
  }

  std::size_t variable_of(const step& s) const {
    return static_cast<std::size_t>(std::ranges::lower_bound(objects_, s.object, std::less<>()) - objects_.begin());
  }
  void apply(const step& s) {
    using enum step::kind;
    if (s.what == store || s.what == update || s.what == write) values_[variable_of(s)] = s.left;
  }
  picture draw() const { return explainable_.memory.draw(values_); }

 private:
  const explainable& explainable_;
  std::span<const void* const> objects_;
  std::vector<bits> values_;
};

trace_step at_its_line(const step& s) {
  trace_step t;
  t.file = s.where.file();
  t.line = s.where.line;
  t.code = source_line(t.file, t.line);
  return t;
}

trace_step told(const explainable& e, const memory& m, const step& s) {
  using enum step::kind;
  trace_step t = at_its_line(s);
  t.column = s.thread;
  if (s.what == event) {
    t.action = s.event;
    for (const std::string_view kernel : {"futex wait for several: ", "futex wait: ", "futex "}) {
      if (t.action.starts_with(kernel)) t.action.erase(0, kernel.size());
    }
    if (s.object == nullptr) return t;
    t.action = fmt::format("{}: {}", e.memory.variables[m.variable_of(s)].name, t.action);
    return t;
  }
  const variable& v = e.memory.variables[m.variable_of(s)];
  const std::string found = v.show(s.found);
  const std::string left = v.show(s.left);
  switch (s.what) {
    case load:
      t.stale = s.found != s.left;
      if (t.stale) t.remark = fmt::format("stale: it is {}", left);
      [[fallthrough]];
    case read:
    case failed_compare:
      t.what = trace_step::kind::reads;
      t.action = fmt::format("{} → {}{}", v.name, found, s.what == failed_compare ? ", no exchange" : "");
      break;
    case store:
    case write:
      t.what = trace_step::kind::writes;
      t.action = fmt::format("{} ← {}", v.name, left);
      break;
    case update:
      t.what = trace_step::kind::updates;
      t.action = fmt::format("{} {} ⇒ {}", v.name, found, left);
      break;
    case event:
      break;
  }
  if (e.change.at(mutation::kind::order, s.where)) t.remark = fmt::format("mutant: {}", in_words(e.change.weakened));
  return t;
}

// What after() did, as one step: what it took out of the slots, and its claim.
trace_step told_afterwards(const explainable& e, const memory& m, std::span<const step> steps) {
  trace_step t = at_its_line(steps.back());
  t.column = e.threads.size() - 1;
  t.what = trace_step::kind::reads;
  for (const step& s : steps) {
    if (s.what != step::kind::load && s.what != step::kind::read) continue;
    const variable& v = e.memory.variables[m.variable_of(s)];
    if (v.is_slot) t.action += fmt::format("{}{} → {}", t.action.empty() ? "" : ", ", v.name, v.show(s.found));
  }
  if (t.action.empty()) t.action = "checks";
  if (e.expected == verdict::assertion) t.remark = fmt::format("“{}” fails", steps.back().event);
  return t;
}

// The access that the last step races with: the last one of another thread, of
// which at least one writes.
std::size_t other_side_of_the_race(std::span<const step> steps) {
  const step& last = steps.back();
  for (std::size_t i = steps.size() - 1; i-- != 0;) {
    const step& s = steps[i];
    const bool writes = s.what == step::kind::write || last.what == step::kind::write;
    if (s.object == last.object && s.thread != last.thread && writes) return i;
  }
  return steps.size() - 1;
}

void mark_fresh(picture& now, const picture& before) {
  for (std::size_t i = 0; i != now.slots.size(); ++i) now.slots[i].fresh = now.slots[i].text != before.slots[i].text;
}

// Where memory is words, those that never change. What they hold is in the steps that read them.
void leave_out_what_stays(trace& t) {
  if (!t.start.slots.empty()) return;
  for (std::size_t i = t.start.indices.size(); i-- != 0;) {
    const auto as_at_first = [&](const trace_step& s) { return s.after.indices[i] == t.start.indices[i]; };
    if (!std::ranges::all_of(t.steps, as_at_first)) continue;
    const auto at = static_cast<std::ptrdiff_t>(i);
    for (trace_step& s : t.steps) s.after.indices.erase(s.after.indices.begin() + at);
    t.start.indices.erase(t.start.indices.begin() + at);
  }
}

}  // namespace

trace tell(const explainable& e, const failing_execution& f) {
  const std::unique_ptr<scenario> s = e.make();
  const mutated_header changed(e.change, e.change_in_source);
  recording r;
  const stop stopped = run_on(*s, f.how, f.at);
  if (!is_the_failure(e, r, stopped.what)) {
    throw std::runtime_error(fmt::format("{}: replayed, the execution ends with '{}', expected '{}' {}; find it anew",
                                         e.name, in_words(stopped.what), in_words(e.expected), e.claim));
  }
  memory m(e, r);
  trace t{e.name, e.what, in_words(e.expected), e.threads, m.draw(), {}, {}, f.found};
  const auto add = [&](trace_step next) {
    next.after = m.draw();
    mark_fresh(next.after, t.steps.empty() ? t.start : t.steps.back().after);
    t.steps.push_back(std::move(next));
  };
  // A livelock goes on as it began.
  const std::size_t told_steps = e.expected == verdict::livelock ? most_of_a_livelock : SIZE_MAX;
  for (const step& now : r.threads().first(std::min(told_steps, r.threads().size()))) {
    trace_step next = told(e, m, now);
    m.apply(now);
    add(std::move(next));
  }
  // Where it ends is where it fails; but to a deadlock or livelock the last who could go on only adds a step.
  t.steps.back().to_blame = e.expected != verdict::deadlock && e.expected != verdict::livelock;
  if (e.expected == verdict::data_race) {
    t.steps[other_side_of_the_race(r.threads())].to_blame = true;
    // Relacy stops before the value is read.
    if (t.steps.back().what == trace_step::kind::reads) {
      t.steps.back().action = fmt::format("{} → ?", e.memory.variables[m.variable_of(r.last())].name);
    }
  }
  if (!r.after().empty()) {
    t.steps.back().to_blame = false;
    trace_step next = told_afterwards(e, m, r.after());
    next.to_blame = true;
    for (const step& done : r.after()) m.apply(done);
    add(std::move(next));
  }
  leave_out_what_stays(t);
  t.ending = e.ending ? e.ending(t.steps) : general_ending(e, r, t.steps);
  return t;
}

}  // namespace verify::explain
