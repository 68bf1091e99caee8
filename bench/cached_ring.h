// The plain textbook queue that spsc_ring is measured against: no waiting, no close.
#ifndef MILLRACE_BENCH_CACHED_RING_H_
#define MILLRACE_BENCH_CACHED_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "millrace/ring.h"

namespace millrace::bench {

// Lamport's ring (1977) whose sides remember where they last saw the other (Rigtorp,
// 2021), its slots behind it.
template <class T>
class cached_ring {
 public:
  static std::size_t bytes(std::size_t capacity) noexcept { return sizeof(cached_ring) + capacity * sizeof(T); }

  // `capacity` is a power of two.
  explicit cached_ring(std::size_t capacity) noexcept : capacity_(capacity) {}

  bool try_push(const T& m) noexcept {
    const std::uint64_t t = producer_.tail.load(std::memory_order_relaxed);
    if (t - producer_.seen == capacity_) {
      producer_.seen = consumer_.head.load(std::memory_order_acquire);
      if (t - producer_.seen == capacity_) return false;
    }
    slots()[t & (capacity_ - 1)] = m;
    producer_.tail.store(t + 1, std::memory_order_release);
    return true;
  }

  bool try_pop(T& m) noexcept {
    const std::uint64_t h = consumer_.head.load(std::memory_order_relaxed);
    if (h == consumer_.seen) {
      consumer_.seen = producer_.tail.load(std::memory_order_acquire);
      if (h == consumer_.seen) return false;
    }
    m = slots()[h & (capacity_ - 1)];
    consumer_.head.store(h + 1, std::memory_order_release);
    return true;
  }

 private:
  T* slots() noexcept { return reinterpret_cast<T*>(this + 1); }

  std::uint64_t capacity_;
  struct alignas(line_bytes) {
    std::atomic<std::uint64_t> tail{0};
    std::uint64_t seen = 0;  // head, at the latest look
  } producer_;
  struct alignas(line_bytes) {
    std::atomic<std::uint64_t> head{0};
    std::uint64_t seen = 0;  // tail, likewise
  } consumer_;
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_CACHED_RING_H_
