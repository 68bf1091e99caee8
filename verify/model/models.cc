#include "verify/model/models.h"

namespace verify {

std::string model::title() const { return about + (shows == property::safety ? ".safety." : ".liveness.") + name; }

models all_models() {
  models all;
  add_mpmc_ring_models(all);
  add_spsc_ring_models(all);
  add_mutex_ring_models(all);
  add_semaphore_ring_models(all);
  add_event_count_models(all);
  add_semaphore_models(all);
  add_robust_mutex_models(all);
  return all;
}

}  // namespace verify
