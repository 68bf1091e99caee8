// Which mutant of the source runs: the headers that schemata makes ask it.
#ifndef MILLRACE_VERIFY_MUTANTS_SELECTOR_H_
#define MILLRACE_VERIFY_MUTANTS_SELECTOR_H_

#include <cstddef>

namespace verify {

inline constexpr std::size_t no_mutant = ~std::size_t{0};
inline std::size_t active_source_mutant = no_mutant;

inline bool mutated(std::size_t number) noexcept { return active_source_mutant == number; }

}  // namespace verify

#endif  // MILLRACE_VERIFY_MUTANTS_SELECTOR_H_
