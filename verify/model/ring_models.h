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
  bool bereft = false;
  bool drops = false;
  unsigned held = 0;
  unsigned asking = 0;
  unsigned begun = 0;
  bool late = false;
};

inline std::string description(const scenario_text& t) {
  const auto counted = [](unsigned count, const char* what) {
    return count != 0 ? ", " + std::to_string(count) + what : std::string();
  };
  return "capacity " + std::to_string(t.capacity) + counted(t.stored, t.capacity == 0 ? " offered" : " stored") +
         counted(t.asking, " asked for") + counted(t.held, " in dead hands") +
         counted(t.begun, " half pushed by the dead") + (t.late ? ", the first one killed at last" : "") +
         (t.bereft ? ", after a death" : "") + (t.drops ? ", dropping" : "") + ": " + t.text;
}

template <class Ring>
void add_models(models& to, promise p, const std::vector<scenario_text>& texts) {
  for (const scenario_text& t : texts) {
    const typename programs<Ring>::setting setting{t.capacity, t.laps,   t.stored, t.bereft, t.drops,
                                                   t.held,     t.asking, t.begun,  t.late};
    const auto make = [=] { return std::make_unique<programs<Ring>>(setting, t.text, p); };
    to.push_back({std::string(Ring::kind), t.shows, t.name, description(t), make, t.searches, t.capacity,
                  t.held + t.begun + t.asking + (t.capacity == 0 ? t.stored : 0)});
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
      {safety, "closed_refuses_batches", 4, 0, 0, "push2? close push2? | pop? pop?", {preemptions(3)}},
      // As far as the caller knows there is room for one, or one to pop; there is more.
      {safety,
       "batches_take_all_there_is",
       4,
       0,
       0,
       "push2? pop? push? pop3? push3? push2? pop? push? pop3? pop3? |",
       {exhaustive()}},

      {liveness, "one_slot", 1, 0, 0, "push push push | pop pop pop", {preemptions(1), some}},
      {liveness, "two_slots", 2, 0, 0, "push push push push push | pop pop pop pop pop", {some}},
      {liveness, "odd_capacity", odd, 2, 0, "push push push push push | pop pop pop pop pop", {some}},
      {liveness, "batches", 2, 0, 0, "push3 push2 | pop2 pop2 pop", {some}},
      {liveness, "closing_wakes", 1, 0, 0, "push push close | pop pop pop", {preemptions(2), some}},
      {liveness, "closing_wakes_the_producer", 1, 0, 0, "push push | close", {preemptions(3)}},
      {liveness, "timeout_races_push", 1, 0, 0, "push push~ close | pop~ pop", {preemptions(2), some}},
      {liveness, "other_side_stopped", 1, 0, 0, "stopped push? push? push? | pop~ pop~ pop2~", {preemptions(1), some}},
      {liveness, "retrying", 1, 0, 0, "push* push* push* push* | pop* pop* pop* pop*", {some}},
  };
}

inline std::vector<scenario_text> many_to_many(std::uint64_t odd) {
  using enum property;
  const search some = random_executions(60'000);
  const search more = random_executions(300'000, 6'000'000);
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

      // What one that is stopped holds, its slot or its lock, keeps nobody after the deadline.
      {liveness, "stopped", 1, 1, 1, "stopped pop? push? | push~ pop~ push2~ pop2~ close", {preemptions(1), some}},
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

// For rings with a lock, whose waiting makes too many schedules for the bounds above.
inline std::vector<scenario_text> lighter(std::vector<scenario_text> texts, bool to_the_end) {
  for (scenario_text& t : texts) {
    std::vector<search> lighter;
    for (search s : t.searches) {
      if (s.how == search::kind::exhaustive && !to_the_end) s = preemptions(3);
      if (s.how == search::kind::random) s.amount /= 2, s.deep = 0;
      if (s.how != search::kind::bounded) {
        lighter.push_back(s);
        continue;
      }
      if (t.shows == property::safety && s.amount > 2)
        lighter.push_back(preemptions(static_cast<unsigned>(s.amount) - 2));
      lighter.push_back(random_executions(20'000));
    }
    t.searches = lighter;
  }
  return texts;
}

// Messages written and read where they lie. `many`: slots are claimed one by one, so that others
// find them in somebody's hands, and skipped where nothing came of it.
inline std::vector<scenario_text> in_place(bool many) {
  using enum property;
  const search some = random_executions(20'000);
  std::vector<scenario_text> texts = {
      {safety, "in_place", 1, 1, 0, "reserve? reserve? | peek? peek?", {preemptions(3)}},
      {safety, "in_place_and_copied", 2, 1, 0, "push? reserve? push? | peek? pop? peek?", {preemptions(2)}},
      {safety, "withdrawn", 2, 1, 0, "withdraw? push? withdraw? reserve? | peek? pop? peek?", {preemptions(2)}},
      {safety, "in_place_closing", 2, 0, 0, "reserve? reserve? close reserve? | peek? peek? peek?", {preemptions(2)}},
      {safety, "reserver_killed", 2, 1, 1, "mortal reserve? reserve? | peek? peek? peek?", {preemptions(1), some}},
      {safety, "peeker_killed", 2, 1, 1, "push? push? push? | mortal peek? peek?", {preemptions(1), some}},
      {liveness, "in_place", 1, 0, 0, "reserve reserve reserve | peek peek peek", {preemptions(1), some}},
      {liveness, "in_place_deadlines", 1, 0, 0, "reserve reserve~ close | peek~ peek", {preemptions(2)}},
      {liveness, "in_place_times_out", 1, 0, 0, "reserve~ reserve~ peek~ peek~ |", {exhaustive()}},
      {liveness, "in_place_retrying", 1, 0, 0, "reserve* reserve* | peek* peek*", {some}},
  };
  if (!many) return texts;
  const std::vector<scenario_text> of_many = {
      {safety, "two_reserve", 2, 1, 0, "reserve? | reserve? | pop? pop?", {preemptions(2)}},
      {safety, "two_peek", 2, 1, 2, "peek? | peek? | push? push?", {preemptions(2)}},
      {safety, "two_and_two_in_place", 1, 1, 0, "reserve? push? | withdraw? reserve? | peek? pop? | peek?", {some}},
      {safety, "reserver_killed_among_others", 2, 1, 0, "mortal reserve? | push? pop? pop?", {preemptions(2)}},
      // Its slot names who held the one before.
      {safety, "reserved_behind_the_dead", 2, 1, 0, "reserve? pop? pop? | mortal push?", {preemptions(1), some}},
      {safety, "withdrawn_behind_the_dead", 2, 1, 0, "withdraw? pop? push? | mortal push?", {preemptions(1), some}},
      {safety, "withdrawer_killed", 1, 1, 0, "mortal withdraw? | push? pop? push?", {preemptions(1), some}},
      {safety, "peeker_killed_among_others", 2, 1, 2, "mortal peek? | pop? push? push?", {preemptions(2)}},
      {safety, "dropped_in_place", 2, 1, 2, "mortal peek? peek? | pop? push? push?", {preemptions(1)}, false, true},
      {safety, "redelivered_in_place", 2, 1, 2, "peek? push? | peek? peek?", {preemptions(1), some}, false, false, 1},
      {safety, "killed_at_a_redelivered_one", 2, 1, 2, "mortal peek? peek? | pop? peek?", {some}, false, false, 1},
      // Who was told busy is woken.
      {liveness, "withdrawn_before_another", 2, 0, 0, "withdraw | push | pop", {preemptions(1), some}},
      {liveness, "withdrawn_from_a_full_ring", 1, 0, 0, "withdraw? | push", {preemptions(3)}},
      {liveness, "two_redelivered_in_place", 2, 0, 2, "peek | peek", {preemptions(1), some}, false, false, 2},
      {liveness, "reserver_killed", 1, 1, 0, "mortal reserve | push | pop", {some}},
      {liveness, "withdrawer_killed", 1, 1, 0, "mortal withdraw | push | pop", {some}},
      {liveness, "peeker_killed", 1, 1, 1, "mortal peek | push | peek", {some}},
  };
  texts.insert(texts.end(), of_many.begin(), of_many.end());
  return texts;
}

// Members that are killed before any of their steps, payload writes included. Locks
// make too many schedules to search these within a bound.
inline std::vector<scenario_text> killed(bool lock_free) {
  using enum property;
  const auto within = [&](unsigned bound) { return lock_free ? preemptions(bound) : random_executions(20'000); };
  const search some = random_executions(lock_free ? 60'000 : 30'000);
  return {
      {safety, "pusher_killed", 2, 1, 0, "mortal push? | push? pop? pop?", {within(2)}},
      {safety, "popper_killed", 2, 1, 2, "mortal pop? | pop? push? push?", {within(2)}},
      {safety, "pusher_in_another_place_killed", 2, 1, 0, "push? pop? pop? | mortal push?", {within(1), some}},
      {safety, "role_switcher_killed", 2, 1, 1, "mortal push? pop? push? | pop? push? pop?", {within(1), some}},
      // The one behind its claim goes on to others, and its record with it.
      {safety, "pusher_killed_early", 4, 1, 0, "mortal push? | push? push? pop? pop?", {some}},
      {safety, "popper_killed_early", 4, 1, 4, "mortal pop? | pop? pop? push? push?", {some}},
      {safety, "two_pushers_killed", 2, 1, 0, "mortal push? | mortal push? | push? pop?", {some}},
      {safety, "two_poppers_killed", 2, 1, 2, "mortal pop? | mortal pop? | push? pop?", {some}},
      {safety, "batches_killed", 2, 1, 1, "mortal push2? pop2? | push2? pop2?", {within(1), some}},
      // Both recover from the first one; one of them is killed, too.
      {safety, "recoverer_killed", 1, 1, 0, "mortal push? | mortal pop? push? | pop? push?", {some}},
      {safety, "redeliverer_killed", 2, 1, 2, "mortal pop? | mortal pop? pop? | pop? push?", {some}},
      // Its mark is seen, and it runs on: who finds it so awaits its end.
      {safety, "lingering_pusher", 2, 1, 0, "lingering push? | push? pop? pop?", {within(1), some}, true},
      {safety, "lingering_popper", 2, 1, 2, "lingering pop? | pop? push? push?", {within(1), some}, true},
      // Some of the survivors know it by the mark, and some by what the others made of it.
      {safety, "pusher_killed_unheard_of", 1, 1, 0, "mortal push? | pop? pop? push? | pop?", {some}, true},
      {safety, "popper_killed_unheard_of", 1, 1, 1, "mortal pop? | pop? pop? push? | push? pop?", {some}, true},
      {safety, "passed_by", 1, 1, 0, "mortal push? | pop? | push?", {some}, true},
      // The next in the place of the dead is not held to its claims.
      {safety, "pushers_heir", 1, 1, 0, "mortal push? heir pop? push? | pop? push?", {some}},
      {safety, "poppers_heir", 2, 1, 2, "mortal pop? heir pop? push? | pop? pop? push?", {some}},
      {safety, "redeliverers_heir", 2, 1, 2, "mortal pop? | mortal pop? pop? heir pop? | pop? pop?", {some}, true},
      {safety, "one_of_two_poppers_killed", 2, 1, 2, "mortal pop? | pop? | pop? pop? pop?", {some}, true},
      {safety, "popper_killed_dropping", 2, 1, 2, "mortal pop? pop? | pop? push? push?", {some}, false, true},
      // Nothing comes back once a pop has said closed.
      {safety, "popper_killed_at_the_end", 2, 1, 1, "mortal pop? | close pop? pop?", {within(2)}},
      // Two look who is dead, one after the other: what the first notes, the second reads.
      {safety, "pusher_killed_behind_another", 2, 1, 0, "push? | mortal push? | pop? | pop?", {some}},

      // Who goes on with its next claim is not taken for the one that died.
      {liveness, "pusher_killed_among_others", 4, 1, 0, "mortal push | push push | pop pop", {within(1), some}},
      {liveness, "popper_killed_among_others", 4, 1, 4, "mortal pop | pop pop pop pop pop | push push", {some}},
      {liveness, "pusher_killed_before_batch", 4, 1, 0, "mortal push | push2 | pop2", {within(1)}},
      {liveness, "popper_killed_before_batch", 4, 1, 4, "mortal pop | pop3 pop2 | push push", {some}},
      // Committed, and killed before anybody was woken.
      {liveness, "pusher_killed_untold", 1, 1, 0, "mortal push heir push* | pop", {within(1), some}},
      {liveness, "popper_killed_untold", 1, 1, 1, "mortal pop heir pop* | push", {within(1), some}},
      {liveness, "passed_by_others", 4, 1, 0, "mortal push | push push pop | pop", {some}},
      {liveness, "popper_killed_dropping", 1, 1, 1, "mortal pop | push | pop", {some}, false, true},
      {liveness, "both_sides_killed", 4, 1, 3, "mortal pop | mortal push | pop pop pop~ push", {some}, false, true},
      {liveness, "pusher_killed", 1, 1, 0, "mortal push | push | pop", {preemptions(lock_free ? 1 : 0), some}},
      {liveness, "popper_killed", 1, 1, 1, "mortal pop | push | pop", {preemptions(0), some}},
      {liveness, "pushers_killed", 1, 1, 0, "mortal push | push push | pop pop", {some}},
      {liveness, "two_killed", 2, 1, 0, "mortal push | mortal push | push | pop", {some}},
  };
}

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_RING_MODELS_H_
