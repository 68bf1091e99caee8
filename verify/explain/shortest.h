// The shortest failing execution, and what is known about shorter ones.
#ifndef MILLRACE_VERIFY_EXPLAIN_SHORTEST_H_
#define MILLRACE_VERIFY_EXPLAIN_SHORTEST_H_

#include <cstdint>
#include <optional>
#include <string>

#include "verify/explain/explainable.h"
#include "verify/explain/recording.h"

namespace verify::explain {

struct failing_execution {
  search how;
  std::string at;  // for run_on
  cost price;
  std::string found;  // how, in a sentence
};

// The fewest preemptions first, of those the fewest steps, of those the fewest
// stale reads. Every execution with no preemption is run, then every one with one,
// and so on up to four; from the first failure on, an execution is given up where
// it gets as long as the best one, and with it all that begin in the same way.
// After `most_executions` the best one so far has to do. If there is none, the
// best of so many random executions; or the first in the search that is known to
// have one. `found` says which it was.
std::optional<failing_execution> shortest(const explainable& e, std::uint64_t most_executions = 100'000);

// Whether what was recorded is what is to be explained.
bool is_the_failure(const explainable& e, const recording& r, verdict v);

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_SHORTEST_H_
