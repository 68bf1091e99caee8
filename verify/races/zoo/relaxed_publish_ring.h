// Vyukov's queue with a relaxed publication.
//
// What is wrong: the slot's sequence number tells that its message is there, and
// the store that says so does not release the message. On x86 every store
// releases, so that no test fails there.
// Repair: memory_order_release in that one place: mpmc_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_RELAXED_PUBLISH_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_RELAXED_PUBLISH_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "verify/races/zoo/seam.h"

namespace millrace::races {

// Capacity: a power of two, from 2.
template <message T, class Platform>
class relaxed_publish_ring {
  struct slot {
    typename Platform::template atomic<std::uint64_t> sequence{0};
    typename Platform::template plain<T> payload;
  };
  struct control {
    typename Platform::template atomic<std::uint64_t> tail{0};
    typename Platform::template atomic<std::uint64_t> head{0};
  };

 public:
  using value_type = T;
  using platform_type = Platform;

  static std::size_t bytes(const geometry& g) noexcept { return sizeof(control) + g.capacity * sizeof(slot); }

  static void construct(void* at, const geometry& g) noexcept {
    auto* const c = std::construct_at(static_cast<control*>(at));
    for (std::uint64_t i = 0; i != g.capacity; ++i) {
      slot* const s = std::construct_at(reinterpret_cast<slot*>(c + 1) + i);
      s->sequence.store(i, std::memory_order_relaxed);
    }
  }

  // Who attaches is nothing to it.
  template <class Member>
  relaxed_publish_ring(void* at, const geometry& g, const Member& /*who*/) noexcept
      : shared_(static_cast<control*>(at)), slots_(reinterpret_cast<slot*>(shared_ + 1)), mask_(g.capacity - 1) {}

  void push(const T& m) noexcept {
    const std::uint64_t p = claim(shared_->tail, 0);
    slots_[p & mask_].payload.write(m);
    slots_[p & mask_].sequence.store(p + 1, std::memory_order_relaxed);  // the mistake
  }

  void pop(T& m) noexcept {
    const std::uint64_t p = claim(shared_->head, 1);
    slots_[p & mask_].payload.read(m);
    slots_[p & mask_].sequence.store(p + mask_ + 1, std::memory_order_release);
  }

 private:
  // The next position whose slot has come `lead` further than its number.
  std::uint64_t claim(typename Platform::template atomic<std::uint64_t>& next, std::uint64_t lead) noexcept {
    for (unsigned turn = 0;; ++turn) {
      std::uint64_t p = next.load(std::memory_order_relaxed);
      const std::uint64_t seen = slots_[p & mask_].sequence.load(std::memory_order_acquire);
      if (seen == p + lead &&
          next.compare_exchange_strong(p, p + 1, std::memory_order_relaxed, std::memory_order_relaxed)) {
        return p;
      }
      Platform::relax(turn);
    }
  }

  control* shared_;
  slot* slots_;
  std::uint64_t mask_;
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_RELAXED_PUBLISH_RING_H_
