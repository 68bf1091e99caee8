#include "millrace/spsc_ring.h"
#include "verify/model/ring_models.h"

namespace verify {

void add_spsc_ring_models(models& to) {
  using ring = millrace::spsc_ring<message, relacy_platform>;
  // An answer is exact of what happened before the call; the two sides' need not
  // fit together, as a store on its way to memory is seen by one of them only.
  constexpr promise promised{promise::order::causal, promise::failure::each_alone};
  add_models<ring>(to, promised, one_to_one(3));
  add_models<ring>(to, promised, in_place(false));
  // A side that is killed: the other goes on with what was committed.
  add_models<ring>(to, promised,
                   {{property::safety,
                     "producer_dies",
                     2,
                     1,
                     1,
                     "mortal push? push? | pop? pop? pop?",
                     {preemptions(2), random_executions(60'000)}},
                    {property::safety,
                     "consumer_dies",
                     2,
                     1,
                     1,
                     "push? push? push? | mortal pop? pop?",
                     {preemptions(2), random_executions(60'000)}},
                    // Committed, and killed before anybody was woken.
                    {property::liveness,
                     "producer_dies_untold",
                     1,
                     1,
                     0,
                     "mortal push heir push* | pop",
                     {preemptions(2), random_executions(60'000)}},
                    {property::liveness,
                     "consumer_dies_untold",
                     1,
                     1,
                     1,
                     "mortal pop heir pop* | push",
                     {preemptions(2), random_executions(60'000)}}});
}

}  // namespace verify
