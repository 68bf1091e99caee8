#include "millrace/semaphore_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_semaphore_ring_models(models& to) {
  using ring = millrace::semaphore_ring<message, relacy_platform>;
  // A permit may be in the hands of a call that is under way.
  constexpr promise promised{promise::order::causal, promise::failure::overlapping};
  add_models<ring>(to, promised, lighter(one_to_one(3), true));
  add_models<ring>(to, promised, lighter(many_to_many(3), false));
  add_models<ring>(to, promised, killed(false));
  const std::vector<scenario_text> recovering = {
      // Before it could close the semaphores, too.
      {property::liveness, "closer_killed", 1, 1, 0, "mortal close | push pop", {preemptions(2)}},
      {property::safety, "drainer_killed", 2, 1, 1, "mortal pop? | close | pop? pop?", {random_executions(30'000)}},
      // It has the lock, and there are permits for others to go on to wait for that.
      {property::liveness,
       "stopped_with_the_lock",
       3,
       1,
       2,
       "stopped pop? push? | push~ pop~ push2~ pop2~ close",
       {random_executions(20'000)}},
      // A death is done with only as far as it had been reported when permits were looked for.
      {property::liveness, "another_death", 1, 0, 1, "mortal pop | push | pop", {random_executions(30'000)}, true},
  };
  add_models<ring>(to, promised, recovering);
}

}  // namespace verify
