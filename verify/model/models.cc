#include "verify/model/models.h"

#include <fmt/format.h>

namespace verify {

std::string model::title() const { return about + (shows == property::safety ? ".safety." : ".liveness.") + name; }

namespace {

std::string bound(const search& s) {
  switch (s.how) {
    case search::kind::random:
      return fmt::format("{} at random", s.amount);
    case search::kind::bounded:
      return fmt::format("{} preemptions", s.amount);
    case search::kind::exhaustive:
      break;
  }
  return "all";
}

}  // namespace

std::string table_row(const model& m, const search& how, std::uint64_t executions) {
  std::string does;
  for (const char c : m.does) {
    if (c == '|') does += '\\';
    does += c;
  }
  return fmt::format("| {} | {} | {} | {} | {} |", m.title(), does, bound(how), executions,
                     how.how == search::kind::random ? "sampled"
                     : executions < how.most         ? "finished"
                                                     : "stopped");
}

models all_models() {
  models all;
  add_mpmc_ring_models(all);
  add_spsc_ring_models(all);
  add_mutex_ring_models(all);
  add_semaphore_ring_models(all);
  add_growing_ring_models(all);
  add_broadcast_ring_models(all);
  add_rendezvous_ring_models(all);
  add_attendance_models(all);
  add_event_count_models(all);
  add_select_models(all);
  add_pollable_models(all);
  add_semaphore_models(all);
  add_robust_mutex_models(all);
  return all;
}

}  // namespace verify
