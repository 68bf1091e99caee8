#include "millrace/semaphore_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_semaphore_ring_models(models& to) {
  using ring = millrace::semaphore_ring<message, relacy_platform>;
  // A permit may be in the hands of a call that is under way.
  constexpr promise promised{promise::order::causal, promise::failure::overlapping};
  add_models<ring>(to, promised, one_to_one(3));
  add_models<ring>(to, promised, many_to_many(3));
  // A holder of the lock that is killed: the next one goes on.
  add_models<ring>(to, promised,
                   {{property::safety, "owner_dies", 2, 1, 1, "mortal push? pop? | push? pop? pop?", {preemptions(2)}},
                    {property::liveness, "lock_is_had_again", 2, 1, 0, "mortal push? | push* pop*", {preemptions(2)}}});
}

}  // namespace verify
