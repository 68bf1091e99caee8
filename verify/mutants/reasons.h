// Why a mutant that no model notices does no harm.
#ifndef MILLRACE_VERIFY_MUTANTS_REASONS_H_
#define MILLRACE_VERIFY_MUTANTS_REASONS_H_

#include <string_view>

namespace verify {

// Of the mutants of `file` whose text holds `text` and whose change is `change`.
struct reason {
  std::string_view file;
  std::string_view text;
  std::string_view change;
  std::string_view why;
};

inline constexpr std::string_view compiler_only =
    "no instruction: it binds the compiler alone, and a checker that runs each thread in program order has none. That "
    "the shipped binary keeps the order, a process killed between any two instructions of it shows "
    "(//verify/crash:matrix)";

inline constexpr std::string_view not_modelled =
    "not shown by a model: Boost's own atomics cannot go through the platform, so none runs boost_ring. It is the "
    "baseline; the order is that of a flag which says that all before it has been pushed (a release and an acquire)";

inline constexpr std::string_view a_courtesy =
    "a courtesy to who is woken as its deadline passes: whatever is refused then could have come a moment later. Time "
    "itself is not modelled";

inline constexpr std::string_view polls =
    "its own next try notifies the event that it sleeps on, the lock's or the permits', and so wakes it: it polls, and "
    "nothing is lost. That it sleeps, //tests:select_test shows";

inline constexpr reason reasons[] = {
    {"event_count.h", "Platform::light_fence()", "left out", compiler_only},
    {"broadcast_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"growing_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"mutex_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"semaphore_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"rendezvous_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"spsc_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"event_count.h", "attempt()", "status::empty", a_courtesy},
    {"select.h", "would_block(last.why)", "true", a_courtesy},
    {"semaphore_ring.h", "why == status::busy", "false", polls},
    {"mutex_ring.h", "why == status::busy", "true", polls},
    {"mpmc_ring.h", "m == found_dead", "false",
     "it only spares a barrier for each further slot of the same dead member"},
    {"boost_ring.h", "shared_->closed.load(", "acquire -> relaxed", not_modelled},
    {"boost_ring.h", "shared_->closed.store(", "release -> relaxed", not_modelled},
    {"mpmc_ring.h", "n > mask_", "n > mask_ + 1",
     "looks once more at the first slot. If that has gone on by a lap meanwhile the claim is for one too many, but "
     "then "
     "head or tail has moved, too, and its CAS fails"},
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_MUTANTS_REASONS_H_
