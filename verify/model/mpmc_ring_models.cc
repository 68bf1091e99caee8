#include "millrace/mpmc_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_mpmc_ring_models(models& to) {
  using ring = millrace::mpmc_ring<message, relacy_platform>;
  // M4: empty and full held at an instant of the call.
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  add_models<ring>(to, promised, one_to_one(4));
  add_models<ring>(to, promised, many_to_many(4));
  // A try never waits, not even for somebody who will never come back.
  add_models<ring>(to, promised,
                   {{property::safety, "producer_dies", 2, 1, 0, "mortal push? push? | pop? pop?", {preemptions(3)}},
                    {property::safety, "consumer_dies", 2, 1, 2, "mortal pop? | pop? push? push?", {preemptions(3)}}});
}

}  // namespace verify
