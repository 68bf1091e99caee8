// From the steps of a failing execution to a trace.
#ifndef MILLRACE_VERIFY_EXPLAIN_TELL_H_
#define MILLRACE_VERIFY_EXPLAIN_TELL_H_

#include "verify/explain/explainable.h"
#include "verify/explain/shortest.h"
#include "verify/explain/trace.h"

namespace verify::explain {

// Runs that execution again, and tells it. Throws a std::runtime_error that says
// what is wrong if it does not fail as expected, or if it has other variables.
trace tell(const explainable& e, const failing_execution& f);

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_TELL_H_
