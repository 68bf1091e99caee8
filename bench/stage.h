// One run of one queue, in processes of its own: whatever it does, the caller lives, and is not kept waiting.
#ifndef MILLRACE_BENCH_STAGE_H_
#define MILLRACE_BENCH_STAGE_H_

#include <chrono>

#include "bench/contender.h"
#include "bench/work.h"

namespace millrace::bench {

// Producers send for `window`, consumers then take what is left. Ended from outside if
// that takes some seconds. Leaves nothing behind. For one thread of a process that has no other.
// With `realtime` it runs ahead of everything else on the machine; the caller, too, then has such a rank.
outcome perform(const contender& who, const work& job, std::chrono::milliseconds window, bool realtime);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_STAGE_H_
