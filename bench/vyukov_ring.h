// The plain textbook queue that mpmc_ring is measured against: no owner, no waiting, no close.
#ifndef MILLRACE_BENCH_VYUKOV_RING_H_
#define MILLRACE_BENCH_VYUKOV_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "millrace/ring.h"

namespace millrace::bench {

// Bounded MPMC queue (Vyukov, 2010), its slots behind it. Survives nothing: a member
// killed between claim and publication stops the others for good.
template <class T>
class vyukov_ring {
 public:
  static std::size_t bytes(std::size_t capacity) noexcept { return sizeof(vyukov_ring) + capacity * sizeof(slot); }

  // `capacity` is a power of two.
  explicit vyukov_ring(std::size_t capacity) noexcept : mask_(capacity - 1) {
    for (std::size_t i = 0; i != capacity; ++i) {
      std::construct_at(slots() + i)->sequence.store(i, std::memory_order_relaxed);
    }
  }

  bool try_push(const T& m) noexcept {
    std::uint64_t pos = tail_.load(std::memory_order_relaxed);
    for (;;) {
      slot& s = slots()[pos & mask_];
      const auto ahead = static_cast<std::int64_t>(s.sequence.load(std::memory_order_acquire) - pos);
      if (ahead < 0) return false;
      if (ahead > 0) {
        pos = tail_.load(std::memory_order_relaxed);
      } else if (tail_.compare_exchange_weak(pos, pos + 1, std::memory_order_relaxed)) {
        s.payload = m;
        s.sequence.store(pos + 1, std::memory_order_release);
        return true;
      }
    }
  }

  bool try_pop(T& m) noexcept {
    std::uint64_t pos = head_.load(std::memory_order_relaxed);
    for (;;) {
      slot& s = slots()[pos & mask_];
      const auto ahead = static_cast<std::int64_t>(s.sequence.load(std::memory_order_acquire) - (pos + 1));
      if (ahead < 0) return false;
      if (ahead > 0) {
        pos = head_.load(std::memory_order_relaxed);
      } else if (head_.compare_exchange_weak(pos, pos + 1, std::memory_order_relaxed)) {
        m = s.payload;
        s.sequence.store(pos + mask_ + 1, std::memory_order_release);
        return true;
      }
    }
  }

 private:
  struct slot {
    std::atomic<std::uint64_t> sequence;
    T payload;
  };

  slot* slots() noexcept { return reinterpret_cast<slot*>(this + 1); }

  std::uint64_t mask_;
  alignas(line_bytes) std::atomic<std::uint64_t> tail_{0};
  alignas(line_bytes) std::atomic<std::uint64_t> head_{0};
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_VYUKOV_RING_H_
