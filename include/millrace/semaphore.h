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
//   word   [ generation : 32 | closed : 1 | count : 31 ]
//
// acquire takes (acquire) what release gave (release): whatever happened before
// the release happens before the return of the acquire.
//
// Who is killed with permits in its hands keeps them. Whoever knows how many there
// ought to be says so by `recount`, which begins a new generation: permits in
// anybody's hands are void from then on, and giving one back does nothing.
template <class Platform>
class semaphore {
  using word = std::uint64_t;

 public:
  static constexpr std::uint32_t max_count = (std::uint32_t{1} << 31) - 1;

  // Permits in a caller's hands, of the generation in which they were taken.
  struct permits {
    std::uint32_t count = 0;
    std::uint32_t generation = 0;
  };

  explicit semaphore(std::uint32_t count) noexcept : word_(count) {}

  // Takes from 1 to `most` permits (most >= 1) and says how many in `got`. Never
  // blocks: `empty` where there is none, `closed` where there is none and closed.
  status try_acquire(std::uint32_t most, permits& got) noexcept {
    for (unsigned turn = 0;; ++turn) {
      // acquire: pairs with close. For permits, the CAS alone decides.
      word now = word_.load(std::memory_order_acquire);
      const std::uint32_t count = count_of(now);
      if (count == 0) return (now & closed_bit) != 0 ? status::closed : status::empty;
      got = {std::min(count, most), generation_of(now)};
      // acquire: pairs with release and recount.
      if (word_.compare_exchange_strong(now, now - got.count, std::memory_order_acquire, std::memory_order_relaxed)) {
        return status::ok;
      }
      Platform::relax(turn);
    }
  }

  // Blocks until there is a permit, the semaphore is closed, or the deadline.
  status acquire_until(std::uint32_t most, permits& got, deadline until) noexcept {
    return await(positive_, until, [&]() noexcept { return try_acquire(most, got); });
  }

  // Permits of a generation that has passed are dropped. The caller keeps the count
  // within max_count.
  void release(permits back) noexcept {
    // relaxed: the CAS alone decides.
    word now = word_.load(std::memory_order_relaxed);
    for (unsigned turn = 0; generation_of(now) == back.generation; ++turn) {
      // release: pairs with try_acquire.
      if (word_.compare_exchange_strong(now, now + back.count, std::memory_order_release, std::memory_order_relaxed)) {
        positive_.notify();
        return;
      }
      Platform::relax(turn);
      now = word_.load(std::memory_order_relaxed);
    }
  }

  // Whether permits of this generation are worth anything now. Exact for a caller
  // that keeps others from recounting.
  std::uint32_t generation() const noexcept {
    // relaxed: whoever recounts and whoever asks are ordered by what keeps them apart.
    return generation_of(word_.load(std::memory_order_relaxed));
  }

  // From now on there are `count` permits, all of them here. One caller at a time.
  void recount(std::uint32_t count) noexcept {
    // relaxed: the CAS alone decides.
    word now = word_.load(std::memory_order_relaxed);
    for (unsigned turn = 0;; ++turn) {
      const word next = ((now >> generation_shift) + 1) << generation_shift | (now & closed_bit) | count;
      // release: pairs with try_acquire, as what was released before is in the count.
      if (word_.compare_exchange_strong(now, next, std::memory_order_release, std::memory_order_relaxed)) {
        positive_.notify();
        return;
      }
      Platform::relax(turn);
      now = word_.load(std::memory_order_relaxed);
    }
  }

  // Permits can still be taken; then, instead of waiting, acquire says closed.
  // Whoever is told sees what its caller did before.
  void close() noexcept {
    word_.fetch_or(closed_bit, std::memory_order_release);  // pairs with try_acquire
    positive_.notify();
  }

  event_count<Platform>& positive() noexcept { return positive_; }

 private:
  static constexpr unsigned generation_shift = 32;
  static constexpr word closed_bit = word{max_count} + 1;

  static constexpr std::uint32_t count_of(word w) noexcept { return static_cast<std::uint32_t>(w & max_count); }
  static constexpr std::uint32_t generation_of(word w) noexcept {
    return static_cast<std::uint32_t>(w >> generation_shift);
  }

  typename Platform::template atomic<word> word_;
  event_count<Platform> positive_;
};

}  // namespace millrace

#endif  // MILLRACE_SEMAPHORE_H_
