// What went wrong, in words that fit any failure of that kind.
#ifndef MILLRACE_VERIFY_EXPLAIN_ENDING_H_
#define MILLRACE_VERIFY_EXPLAIN_ENDING_H_

#include <string>
#include <string_view>
#include <vector>

#include "verify/explain/explainable.h"
#include "verify/explain/recording.h"
#include "verify/explain/trace.h"

namespace verify::explain {

// Of a data race, of which the first step to blame and the last one are the ends.
std::string race(const std::vector<trace_step>& steps, std::string_view why);

// Of any failure; marks the steps that are to blame. `why` of `e` comes behind it.
std::string general_ending(const explainable& e, const recording& r, std::vector<trace_step>& steps);

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_ENDING_H_
