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
}

}  // namespace verify
