#include "millrace/mutex_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_mutex_ring_models(models& to) {
  using ring = millrace::mutex_ring<message, relacy_platform>;
  // Everything is decided under the lock.
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  add_models<ring>(to, promised, one_to_one(3));
  add_models<ring>(to, promised, many_to_many(3));
  // A holder that is killed: the next one goes on (tries only: nobody wakes for the dead).
  add_models<ring>(
      to, promised,
      {{property::safety, "owner_dies", 2, 1, 1, "mortal push? pop? | push? pop? pop?", {preemptions(2)}},
       {property::safety, "owner_dies_batch", 3, 2, 1, "mortal push2? | pop2? push? | pop?", {preemptions(1)}},
       {property::liveness, "lock_is_had_again", 2, 1, 0, "mortal push? | push* pop*", {preemptions(2)}}});
}

}  // namespace verify
