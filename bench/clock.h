// Times, in nanoseconds.
#ifndef MILLRACE_BENCH_CLOCK_H_
#define MILLRACE_BENCH_CLOCK_H_

#include <cstdint>
#include <ctime>

namespace millrace::bench {

inline std::int64_t nanoseconds_on(clockid_t clock) noexcept {
  timespec t{};
  ::clock_gettime(clock, &t);
  return std::int64_t{t.tv_sec} * 1'000'000'000 + t.tv_nsec;
}

inline std::int64_t monotonic_ns() noexcept { return nanoseconds_on(CLOCK_MONOTONIC); }
inline std::int64_t own_cpu_ns() noexcept { return nanoseconds_on(CLOCK_THREAD_CPUTIME_ID); }
inline std::int64_t process_cpu_ns() noexcept { return nanoseconds_on(CLOCK_PROCESS_CPUTIME_ID); }

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_CLOCK_H_
