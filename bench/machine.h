// The cores that may be used, and the line between two of them.
#ifndef MILLRACE_BENCH_MACHINE_H_
#define MILLRACE_BENCH_MACHINE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace millrace::bench {

const std::vector<unsigned>& cores();  // that this process was started on

// Left to itself the scheduler puts producers and consumers together or apart as chance has it, which makes a
// factor of eight.
void stay_on_first_half(std::uint32_t number);
void stay_on_second_half(std::uint32_t number);
void stay_on_any(std::uint32_t number);

// Whoever has a higher rank runs first, and before all that has none. False: not allowed to.
bool take_rank(int rank);

// ns for a cache line, or two that take turns, to go to another core and come back: the median
// of many short stretches, as a hypervisor moves the cores about.
double line_round_trip(unsigned lines, std::chrono::microseconds duration);

// One line: processor, cores, caches, kernel, compiler, and the date.
std::string describe_machine();

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_MACHINE_H_
