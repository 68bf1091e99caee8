#include "millrace/mpmc_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_mpmc_ring_models(models& to) {
  using ring = millrace::mpmc_ring<message, relacy_platform>;
  // M4: empty and full held at an instant of the call.
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  add_models<ring>(to, promised, killed(true));
  // What its heir lets go of, and what it had freed: in one execution of hundreds of thousands
  // it dies just between the two, and a third is late to see it.
  add_models<ring>(to, promised,
                   {{property::safety,
                     "redeliverers_heir_lets_go",
                     1,
                     1,
                     1,
                     "mortal pop? | mortal pop? heir pop? | pop?",
                     {random_executions(400'000)},
                     true}});
  add_models<ring>(to, promised, one_to_one(4));
  add_models<ring>(to, promised, many_to_many(4));
}

}  // namespace verify
