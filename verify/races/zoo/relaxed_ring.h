// Atomic indices, but relaxed.
//
// What is wrong: a relaxed store orders nothing before it. The consumer may see
// the new `in` and not yet the message; the producer may see the new `out` while
// the message is still being read. On x86 the processor happens to keep stores in
// order, and the compiler had no reason to swap these: it passes every test there.
// Repair: release the index, acquire it at the other end: spsc_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_RELAXED_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_RELAXED_RING_H_

#include <atomic>
#include <cstdint>
#include <string_view>

#include "verify/races/naive_ring.h"

namespace millrace::races {

template <class Platform>
class relaxed_atomic_int {
 public:
  operator int() const noexcept { return static_cast<int>(value_.load(std::memory_order_relaxed)); }
  relaxed_atomic_int& operator=(int value) noexcept {
    value_.store(static_cast<std::uint32_t>(value), std::memory_order_relaxed);
    return *this;
  }

 private:
  typename Platform::template atomic<std::uint32_t> value_{0};
};

template <class Platform>
struct relaxed_int {
  static constexpr std::string_view kind = "relaxed";
  static constexpr std::string_view about = "the same over relaxed atomic in, out";
  static constexpr std::string_view why = "a relaxed store of the index orders nothing that was stored before it";
  using type = relaxed_atomic_int<Platform>;
};

template <message T, class Platform>
using relaxed_ring = textbook_ring<T, Platform, relaxed_int>;

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_RELAXED_RING_H_
