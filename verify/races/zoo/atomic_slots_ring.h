// Atomic indices and atomic slots, all sequentially consistent.
//
// What is wrong: nothing that a race detector could name, as no access is plain
// any more. Each access is one step; to read `in`, to write the slot and to
// advance `in` are still three, and another producer gets in between.
// Repair: claim the slot in one step (compare and swap): mpmc_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_ATOMIC_SLOTS_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_ATOMIC_SLOTS_RING_H_

#include <array>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "verify/races/naive_ring.h"

namespace millrace::races {

template <class Platform>
struct atomic_slots : Platform {
  template <message T>
  class plain {
    using words = std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)>;

   public:
    void read(T& out) const noexcept {
      words copy;
      for (std::size_t i = 0; i != copy.size(); ++i) copy[i] = words_[i].load(std::memory_order_seq_cst);
      out = std::bit_cast<T>(copy);
    }
    void write(const T& in) noexcept {
      const words copy = std::bit_cast<words>(in);
      for (std::size_t i = 0; i != copy.size(); ++i) words_[i].store(copy[i], std::memory_order_seq_cst);
    }

   private:
    std::array<typename Platform::template atomic<std::uint64_t>, std::tuple_size_v<words>> words_{};
  };
};

template <message T, class Platform>
using atomic_slots_ring = seq_cst_ring<T, atomic_slots<Platform>>;

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_ATOMIC_SLOTS_RING_H_
