#include "millrace/mpmc_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_mpmc_ring_models(models& to) {
  using enum property;
  using ring = millrace::mpmc_ring<message, relacy_platform>;
  // M4: empty and full held at an instant of the call.
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  const search some = random_executions(60'000);
  const search many = random_executions(400'000);
  add_models<ring>(to, promised, killed(true));
  const std::vector<scenario_text> recovering = {
      // What its heir lets go of, and what it had freed: in one execution of hundreds of thousands
      // it dies just between the two, and a third is late to see it.
      {safety, "redeliverers_heir_lets_go", 1, 1, 1, "mortal pop? | mortal pop? heir pop? | pop?", {many}, true},
      // In the middle of a run: its third claim is the first that does not look at the end.
      {safety, "pusher_killed_in_a_run", 4, 1, 0, "mortal push? push? push? | push? pop?", {some}},
      {safety, "popper_killed_in_a_run", 4, 1, 4, "mortal pop? pop? pop? | pop? push?", {some}},
      {safety, "batch_killed_in_a_run", 4, 1, 0, "mortal push? push? push2? | push? pop2?", {some}},
      {safety, "reserver_killed_in_a_run", 4, 1, 0, "mortal reserve? reserve? reserve? | push? pop?", {some}},
      // What has been settled names who held the one before.
      {safety, "behind_a_skipped_slot", 4, 0, 0, "mortal push? | mortal push? heir push? push? | pop?", {some}},
      // So does the slot of one that has been redelivered: that holder is killed only now.
      {safety, "behind_a_redelivered", 2, 0, 2, "pop? pop? |", {exhaustive()}, false, false, 2, 0, 0, true},
      {safety, "behind_an_orphan", 4, 0, 4, "mortal pop? | mortal pop? heir pop? | pop? push?", {some}},
      // What its heir has made an orphan is there before its death is reported.
      {safety, "heir_at_the_end", 2, 1, 1, "mortal pop? heir pop? | close pop? pop?", {preemptions(1), some}},
      // A death is done with only as far as it had been reported when the orphans were looked for.
      {liveness, "another_death", 1, 0, 1, "mortal pop? heir push* | pop", {preemptions(1), some}, true},
      // Who was told busy, as another redelivered, is woken when that one lets go.
      {liveness, "two_in_dead_hands", 2, 0, 2, "pop | pop", {preemptions(2)}, false, false, 2},
      // Who waits for the end is told of each slot that is freed, by whoever takes the announcement away.
      {liveness, "end_beside_a_pop", 2, 0, 2, "pop | close pop pop", {preemptions(3)}},
      {liveness, "end_beside_pops", 2, 0, 2, "pop pop | pop pop | close", {preemptions(2), some}},
      {liveness, "end_beside_a_batch", 2, 0, 2, "pop2 | close pop pop", {preemptions(3)}},
      {liveness, "end_beside_a_peek", 2, 0, 2, "peek | close pop pop", {preemptions(3)}},
      {liveness, "end_beside_a_withdrawal", 2, 0, 1, "withdraw | close pop pop | pop", {preemptions(2), some}},
      {liveness, "end_beside_a_death", 2, 0, 2, "mortal pop | close pop pop pop", {preemptions(2), some}},
      {liveness, "end_beside_a_redelivery", 2, 0, 1, "pop | pop | close", {preemptions(2)}, false, false, 1},
      // A push that needs the slot clears it itself: nobody pops.
      {liveness, "two_half_pushed", 2, 0, 0, "push | push", {preemptions(2)}, false, false, 0, 0, 2},
  };
  add_models<ring>(to, promised, recovering);
  add_models<ring>(to, promised, one_to_one(4));
  add_models<ring>(to, promised, many_to_many(4));
  add_models<ring>(to, promised, in_place(true));
}

}  // namespace verify
