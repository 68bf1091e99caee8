// mpmc_ring whose event counts wake one sleeper where they should wake all.
//
// What is wrong: messages are published out of order. A producer claims slot 0 and
// stalls; another publishes slot 1, and sees nobody asleep; two consumers find
// slot 0 unpublished and sleep. When slot 0 comes at last, one of them is woken
// for two messages. The other one sleeps beside a message, for good.
// Repair: wake all, in event_count.h (E3): mpmc_ring.h as it ships.
#ifndef MILLRACE_VERIFY_RACES_ZOO_WAKE_ONE_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_WAKE_ONE_RING_H_

#include <cstdint>

#include "millrace/mpmc_ring.h"
#include "verify/races/zoo/seam.h"

namespace millrace::races {

template <class Platform>
struct wakes_one : Platform {
  static void wake_all(const typename Platform::template atomic<std::uint32_t>& word) noexcept {
    Platform::wake_one(word);  // the mistake
  }
};

template <message T, class Platform>
using wake_one_ring = mpmc_ring<T, wakes_one<Platform>>;

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_WAKE_ONE_RING_H_
