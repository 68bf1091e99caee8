#include "millrace/mutex_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_mutex_ring_models(models& to) {
  using ring = millrace::mutex_ring<message, relacy_platform>;
  // Everything is decided under the lock.
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  add_models<ring>(to, promised, lighter(one_to_one(3), true));
  add_models<ring>(to, promised, lighter(many_to_many(3), true));
  add_models<ring>(to, promised, killed(false));
}

}  // namespace verify
