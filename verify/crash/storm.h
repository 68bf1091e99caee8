// Producers and consumers at one ring, killed at random and replaced, and every message accounted for.
#ifndef MILLRACE_VERIFY_CRASH_STORM_H_
#define MILLRACE_VERIFY_CRASH_STORM_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "verify/crash/accounts.h"
#include "verify/crash/rings.h"

namespace millrace::crash {

struct weather {
  const ring_type* ring;
  std::chrono::duration<double> length{};
  std::uint64_t seed = 1;  // of who is killed, and when, and of what the workers do
};

struct toll {
  std::uint64_t kills = 0;
  std::uint64_t received = 0;
  balance sum{};
  // Who did not get on, or did not end: the storm on this ring ended with it.
  std::vector<std::string> hung{};
  // After each kill, the survivors' longest time without a finished call, in microseconds.
  std::vector<double> stalls{};

  bool good() const { return sum.even() && hung.empty(); }
};

// Leaves no process and no memory behind; all die with the caller. Calls
// `progress` after each kill.
toll rage(const weather& w, const std::function<void(const toll&)>& progress);

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_STORM_H_
