#include "millrace/mpmc_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_mpmc_ring_models(models& to) {
  using ring = millrace::mpmc_ring<message, relacy_platform>;
  // M4: empty and full held at an instant of the call.
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  add_models<ring>(to, promised, killed(true));
  add_models<ring>(to, promised, one_to_one(4));
  add_models<ring>(to, promised, many_to_many(4));
}

}  // namespace verify
