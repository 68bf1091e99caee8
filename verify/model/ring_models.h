// The scenarios that every ring goes through.
#ifndef MILLRACE_VERIFY_MODEL_RING_MODELS_H_
#define MILLRACE_VERIFY_MODEL_RING_MODELS_H_

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "verify/model/models.h"
#include "verify/model/programs.h"

namespace verify {

struct scenario_text {
  property shows;
  const char* name;
  std::uint64_t capacity;
  unsigned laps;
  unsigned stored;
  const char* text;
  std::vector<search> searches;
};

template <class Ring>
void add_models(models& to, promise p, const std::vector<scenario_text>& texts) {
  for (const scenario_text& t : texts) {
    const typename programs<Ring>::setting setting{t.capacity, t.laps, t.stored};
    to.push_back({std::string(Ring::kind), t.shows, t.name,
                  "capacity " + std::to_string(t.capacity) +
                      (t.stored != 0 ? ", " + std::to_string(t.stored) + " stored" : "") + ": " + t.text,
                  [=] { return std::make_unique<programs<Ring>>(setting, t.text, p); }, t.searches, t.capacity});
  }
}

// One producer, one consumer. `odd`: a capacity that is no power of two, where
// the ring has such.
inline std::vector<scenario_text> one_to_one(std::uint64_t odd) {
  using enum property;
  const search some = random_executions(60'000);
  return {
      {safety, "to_the_end", 1, 0, 0, "push? | pop?", {exhaustive()}},
      {safety, "reused_slot", 1, 1, 0, "push? push? | pop? pop?", {preemptions(4)}},
      {safety, "one_slot", 1, 1, 0, "push? push? push? | pop? pop? pop?", {preemptions(3)}},
      {safety, "two_slots", 2, 1, 0, "push? push? push? | pop? pop? pop?", {preemptions(3)}},
      {safety, "odd_capacity", odd, 2, 1, "push? push? push? push? | pop? pop? pop? pop?", {preemptions(2)}},
      {safety, "batches", 2, 1, 0, "push2? push3? | pop2? pop3?", {preemptions(3)}},
      {safety, "batches_wrap", odd, 2, 1, "push3? push2? | pop3? pop? pop2?", {preemptions(2)}},
      {safety, "from_full", 2, 1, 2, "push? push? | pop? pop?", {preemptions(4)}},
      {safety, "closing", 2, 0, 0, "push? push? close | pop? pop? pop?", {preemptions(3)}},
      {safety, "full_or_closed", 1, 0, 1, "push? push? | close", {preemptions(4)}},
      {safety, "closed_refuses", 2, 0, 0, "push? close push? | pop? pop?", {preemptions(3)}},

      {liveness, "one_slot", 1, 0, 0, "push push push | pop pop pop", {preemptions(1), some}},
      {liveness, "two_slots", 2, 0, 0, "push push push push push | pop pop pop pop pop", {some}},
      {liveness, "odd_capacity", odd, 2, 0, "push push push push push | pop pop pop pop pop", {some}},
      {liveness, "batches", 2, 0, 0, "push3 push2 | pop2 pop2 pop", {some}},
      {liveness, "closing_wakes", 1, 0, 0, "push push close | pop pop pop", {preemptions(2), some}},
      {liveness, "closing_wakes_the_producer", 1, 0, 0, "push push | close", {preemptions(3)}},
      {liveness, "timeout_races_push", 1, 0, 0, "push push~ close | pop~ pop", {preemptions(2), some}},
      {liveness, "retrying", 1, 0, 0, "push* push* push* push* | pop* pop* pop* pop*", {some}},
  };
}

inline std::vector<scenario_text> many_to_many(std::uint64_t odd) {
  using enum property;
  const search some = random_executions(60'000);
  const search more = random_executions(200'000);  // and ten million in deep searches
  return {
      {safety, "two_producers_to_the_end", 2, 0, 0, "push? | push?", {exhaustive()}},
      {safety, "two_consumers_to_the_end", 2, 0, 2, "pop? | pop?", {exhaustive()}},
      {safety, "two_producers", 2, 1, 0, "push? push? | push? | pop? pop?", {preemptions(2)}},
      {safety, "two_producers_one_slot", 1, 1, 0, "push? push? | push? | pop? pop?", {preemptions(2)}},
      {safety, "two_consumers", 2, 1, 1, "push? push? | pop? pop? | pop?", {preemptions(2)}},
      {safety, "two_and_two", 2, 1, 1, "push? | push? | pop? | pop?", {preemptions(2)}},
      {safety, "two_and_two_twice", 2, 1, 0, "push? push? | push? push? | pop? pop? | pop? pop?", {more}},
      {safety, "two_and_two_one_slot", 1, 1, 0, "push? push? | push? | pop? pop? | pop?", {some}},
      {safety, "two_and_two_odd_capacity", odd, 2, 1, "push? push? | push? push? | pop? pop? | pop? pop?", {some}},
      {safety, "empty_is_exact", 2, 1, 0, "push? pop? push? | push? pop?", {preemptions(3)}},
      {safety, "full_is_exact", 2, 1, 2, "pop? push? pop? | pop? push?", {preemptions(3)}},
      {safety, "three_switch_roles", 2, 1, 1, "push? pop? | pop? push? | push? pop?", {preemptions(1), some}},
      {safety, "batches_of_two", 2, 1, 0, "push2? | push2? | pop2? pop2?", {preemptions(2)}},
      {safety, "batches_two_and_two", odd, 2, 1, "push2? | push3? | pop3? | pop2?", {some}},
      {safety, "closing_by_another", 2, 1, 0, "push? push? | close | pop? pop? pop?", {preemptions(1), some}},

      {liveness, "two_producers", 1, 0, 0, "push push | push push | pop pop pop pop", {some}},
      {liveness, "two_consumers", 2, 0, 0, "push push push push | pop pop | pop pop", {some}},
      {liveness, "two_and_two", 2, 0, 0, "push push | push push | pop pop | pop pop", {more}},
      {liveness, "two_and_two_one_slot", 1, 0, 0, "push push | push push | pop pop | pop pop", {some}},
      {liveness, "switching_roles", 2, 0, 0, "push pop push pop | push pop push pop", {some}},
      {liveness, "three_switch_roles", odd, 0, 0, "push pop push pop | push pop | push pop push pop", {some}},
      {liveness, "batches_of_three", 2, 0, 0, "push3 | push3 | pop2 pop | pop2 pop", {some}},
      {liveness, "closing_wakes_all", 2, 0, 0, "push push push close | pop pop pop pop | pop pop pop pop", {some}},
      {liveness, "closing_wakes_producers", 1, 0, 1, "push | push | close", {preemptions(1), some}},
      {liveness, "timeouts_race_push", 1, 0, 0, "push push~ close | pop~ pop~ | pop~ pop", {some}},
      {liveness, "two_and_two_retrying", 1, 0, 0, "push* push* | push* push* | pop* pop* | pop* pop*", {some}},
  };
}

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_RING_MODELS_H_
