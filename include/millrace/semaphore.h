// A counting semaphore for several processes.
#ifndef MILLRACE_SEMAPHORE_H_
#define MILLRACE_SEMAPHORE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "millrace/deadline.h"
#include "millrace/event_count.h"
#include "millrace/platform.h"
#include "millrace/status.h"

namespace millrace {

// Dijkstra's P and V (1965) over a futex of our own: std::counting_semaphore
// waits on a private futex and cannot wake another process, and sem_t cannot be
// closed. Lives in shared memory; any number of threads of any processes may
// call everything at once.
//
//   permits   [ closed : 1 | count : 31 ]
//
// acquire takes (acquire) what release gave (release): whatever happened before
// the release happens before the return of the acquire. A process killed while
// it holds permits keeps them: they are lost until somebody releases them.
template <class Platform>
class semaphore {
 public:
  static constexpr std::uint32_t max_count = (std::uint32_t{1} << 31) - 1;

  explicit semaphore(std::uint32_t count) noexcept : permits_(count) {}

  // Takes from 1 to `most` permits and says how many in `got`. Never blocks:
  // `empty` where there is none, `closed` where there is none and closed.
  status try_acquire(std::uint32_t most, std::uint32_t& got) noexcept {
    // relaxed: the CAS alone decides.
    std::uint32_t now = permits_.load(std::memory_order_relaxed);
    for (unsigned turn = 0;; ++turn) {
      const std::uint32_t count = now & max_count;
      if (count == 0) return (now & closed_bit) != 0 ? status::closed : status::empty;
      got = std::min(count, most);
      // acquire: pairs with release.
      if (permits_.compare_exchange_strong(now, now - got, std::memory_order_acquire, std::memory_order_relaxed)) {
        return status::ok;
      }
      Platform::relax(turn);
      now = permits_.load(std::memory_order_relaxed);
    }
  }

  // Blocks until there is a permit, the semaphore is closed, or the deadline.
  status acquire_until(std::uint32_t most, std::uint32_t& got, deadline until) noexcept {
    return await(positive_, until, [&]() noexcept { return try_acquire(most, got); });
  }

  // The caller keeps the count within max_count.
  void release(std::uint32_t count) noexcept {
    permits_.fetch_add(count, std::memory_order_release);  // pairs with try_acquire
    positive_.notify();
  }

  // Permits can still be taken; then, instead of waiting, acquire says closed.
  void close() noexcept {
    // relaxed: it hands over nothing but itself.
    permits_.fetch_or(closed_bit, std::memory_order_relaxed);
    positive_.notify();
  }

 private:
  static constexpr std::uint32_t closed_bit = max_count + 1;

  typename Platform::template atomic<std::uint32_t> permits_;
  event_count<Platform> positive_;
};

}  // namespace millrace

#endif  // MILLRACE_SEMAPHORE_H_
