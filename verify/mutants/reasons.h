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
    "binds the compiler alone, which a checker that runs each thread in program order does not model: it is no "
    "instruction. Where it pairs with a heavy_fence, that one is a mutant of its own";

inline constexpr std::string_view not_modelled =
    "needed: a pop that hears of the close has to find what was pushed before it. But Boost's own atomics cannot go "
    "through the platform, so no model runs boost_ring, and none can notice";

inline constexpr std::string_view not_told_apart =
    "needed where two messages were in dead hands, and a pop is told busy while another takes one of them. In a model "
    "somebody has to push or pop beside them, lest all sleep rightly where they had been taken; and that wakes it, too";

inline constexpr reason reasons[] = {
    {"event_count.h", "Platform::light_fence()", "left out", compiler_only},
    {"mutex_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"semaphore_ring.h", "Platform::light_fence()", "left out", compiler_only},
    {"mpmc_ring.h", "told busy", "left out", not_told_apart},
    {"boost_ring.h", "shared_->closed.load(", "acquire -> relaxed", not_modelled},
    {"boost_ring.h", "shared_->closed.store(", "release -> relaxed", not_modelled},
    {"mpmc_ring.h", "std::min(want, capacity())", "std::min(want, capacity() + 1)",
     "the slot of pos + capacity is that of pos, whose word can't name both: one look more finds nothing"},
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_MUTANTS_REASONS_H_
