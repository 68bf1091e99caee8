// What a queue's calls cost whatever the machine does otherwise.
#ifndef MILLRACE_BENCH_INSTRUCTIONS_H_
#define MILLRACE_BENCH_INSTRUCTIONS_H_

#include <optional>

#include "bench/contender.h"

namespace millrace::bench {

// Instructions outside the kernel that a worker alone takes to push and pop a message, with what the harness does
// to make and check it; a string instruction is one, however long. By the processor's counter, or, where that may
// not be read, by single steps, of which each takes up to 100 us. Nothing: neither is possible, or it takes too many.
std::optional<double> instructions_a_pair(const contender& who, const work& job);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_INSTRUCTIONS_H_
