// The models, by name: what `bazel test`, the mutation gate and the table in verify/README.md run.
#ifndef MILLRACE_VERIFY_MODEL_MODELS_H_
#define MILLRACE_VERIFY_MODEL_MODELS_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "verify/model/simulate.h"

namespace verify {

// Safety: nothing wrong ever happens. Liveness: something right happens at last
// (no deadlock, no lost wake-up, no livelock), as far as bounds allow.
enum class property { safety, liveness };

struct model {
  std::string about;  // the header under test, without ".h"
  property shows;
  std::string name;  // unique among those of `about`
  std::string does;  // threads, |, operations
  std::function<std::unique_ptr<scenario>()> make;
  std::vector<search> searches;  // seconds in all; see `sooner` and `deeper`
  std::uint64_t capacity = 0;    // of the ring, if there is one
  unsigned held = 0;             // places of members that are killed before it begins, or only wait or receive
  std::string kind{};            // of its rings, where `about` does not say

  std::string title() const;  // "mpmc_ring.safety.two_producers"
};

using models = std::vector<model>;

void add_mpmc_ring_models(models& to);
void add_spsc_ring_models(models& to);
void add_mutex_ring_models(models& to);
void add_semaphore_ring_models(models& to);
void add_growing_ring_models(models& to);
void add_broadcast_ring_models(models& to);
void add_rendezvous_ring_models(models& to);
void add_attendance_models(models& to);
void add_event_count_models(models& to);
void add_select_models(models& to);
void add_pollable_models(models& to);
void add_semaphore_models(models& to);
void add_robust_mutex_models(models& to);

models all_models();

// The line of verify/README.md about one search of a model, which took so many executions.
std::string table_row(const model& m, const search& how, std::uint64_t executions);

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_MODELS_H_
