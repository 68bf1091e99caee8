#include "verify/explain/shortest.h"

#include <fmt/format.h>

#include <memory>

namespace verify::explain {
namespace {

constexpr unsigned most_preemptions = 4;

// Most failures are within these. A thread that is woken for no reason sleeps
// again, and so on: without a limit the first executions are very long.
constexpr std::size_t few_steps = 100;

// Runs the executions of one search, the cheapest failure so far being `best`.
void improve(const explainable& e, scenario& s, const search& how, recording& r,
             std::optional<failing_execution>& best) {
  std::string from;
  do {
    const stop stopped = run_on(s, how, from);
    if (stopped.what == verdict::clean || r.exhausted()) return;
    if (is_the_failure(e, r, stopped.what)) {
      best = {how, stopped.at, r.price(), {}};
      if (e.expected == verdict::livelock) return;  // they are all as long as they may be
      r.give_up_at(r.price());
    }
    from = execution_after(stopped.at);
  } while (!from.empty());
}

std::string plural(std::uint64_t n, const char* noun) { return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s"); }

}  // namespace

bool is_the_failure(const explainable& e, const recording& r, verdict v) {
  if (r.gave_up() || v != e.expected) return false;
  return e.claim.empty() || (r.last().event != nullptr && r.last().event == e.claim);
}

std::optional<failing_execution> shortest(const explainable& e, std::uint64_t most_executions) {
  const std::unique_ptr<scenario> s = e.make();
  const mutated_header changed(e.change, e.change_in_source);
  recording r;
  std::optional<failing_execution> best;
  r.stop_after(most_executions);
  for (const std::size_t most_steps : {few_steps, recording::most_steps}) {
    if (e.expected == verdict::livelock && most_steps == few_steps) continue;
    if (!best) r.give_up_at({most_steps, 0});
    for (unsigned bound = 0; bound <= most_preemptions && !best && !r.exhausted(); ++bound) {
      improve(e, *s, preemptions(bound), r, best);
    }
  }
  if (best && best->price.steps == 0) {
    best->found = "Every execution fails so, before its threads begin.";
    return best;
  }
  if (best && e.expected == verdict::livelock) {
    best->found = fmt::format("The first that was found, with {}.", plural(best->how.amount, "preemption"));
    return best;
  }
  if (best) {
    best->found = fmt::format("{} of the threads with {}", plural(best->price.steps, "step"),
                              plural(best->how.amount, "preemption"));
    best->found +=
        r.exhausted() ? fmt::format(", the shortest in {} executions; a shorter one may exist.", most_executions)
                      : fmt::format(
                            "; no execution with as many or fewer preemptions fails so in fewer steps ({} run, and all "
                            "others ruled out).",
                            plural(r.executions(), "execution"));
    return best;
  }
  r.stop_after(r.executions() + most_executions);
  improve(e, *s, {search::kind::random, most_executions}, r, best);
  if (best) {
    best->found = fmt::format("{} of the threads, the shortest of {} random executions; a shorter one may exist.",
                              plural(best->price.steps, "step"), most_executions);
  }
  if (best || !e.fails_in) return best;
  r.stop_after(UINT64_MAX);
  const stop stopped = run_on(*s, *e.fails_in, {});
  if (!is_the_failure(e, r, stopped.what)) return {};
  return {
      {*e.fails_in, stopped.at, r.price(),
       fmt::format("{} of the threads: the first failure of the model's own search, in execution {}; a shorter one may "
                   "exist.",
                   plural(r.price().steps, "step"), stopped.executions)}};
}

}  // namespace verify::explain
