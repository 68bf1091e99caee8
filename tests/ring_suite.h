// The rings that the suites go through, and a message that tells when it is damaged.
#ifndef MILLRACE_TESTS_RING_SUITE_H_
#define MILLRACE_TESTS_RING_SUITE_H_

#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>

#include "millrace/boost_ring.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"

namespace millrace {

// Longer than any word the machine copies at once; `check` tells a torn one.
struct letter {
  std::uint32_t from = 0;
  std::uint32_t check = 0;
  std::uint64_t number = 0;
  std::array<std::uint64_t, 4> body{};

  static letter make(std::uint32_t from, std::uint64_t number) {
    letter m{from, 0, number, {}};
    std::iota(m.body.begin(), m.body.end(), number * 7 + from);
    m.check = m.sum();
    return m;
  }
  std::uint32_t sum() const {
    std::uint64_t h = std::uint64_t{from} * 31u + number;
    for (const std::uint64_t b : body) h = h * 1099511628211u + b;
    return static_cast<std::uint32_t>(h >> 16);
  }
  bool whole() const { return check == sum(); }
};

template <class R>
class RingTest : public testing::Test {
 protected:
  static constexpr bool one_to_one = R::kind == "spsc_ring";

  // What it has where others have `capacity`.
  static constexpr std::uint64_t room(std::uint64_t capacity) { return R::kind == "rendezvous_ring" ? 0 : capacity; }

  static shared_ring<R> make(std::uint64_t capacity, std::uint32_t members = 16) {
    auto made = shared_ring<R>::create(location::anonymous(), {room(capacity), members, 0600});
    EXPECT_TRUE(made) << made.error().message;
    return *std::move(made);
  }

  static typename shared_ring<R>::handle attach(shared_ring<R>& segment) {
    auto handle = segment.attach();
    EXPECT_TRUE(handle) << handle.error().message;
    return *std::move(handle);
  }
};

using rings = testing::Types<mpmc_ring<letter>, spsc_ring<letter>, mutex_ring<letter>, growing_ring<letter>,
                             semaphore_ring<letter>, boost_ring<letter>, rendezvous_ring<letter>>;

// Whose push needs nobody to take what it brings.
template <class R>
class BufferTest : public RingTest<R> {};
using buffers = testing::Types<mpmc_ring<letter>, spsc_ring<letter>, mutex_ring<letter>, growing_ring<letter>,
                               semaphore_ring<letter>, boost_ring<letter>>;

struct ring_name {
  template <class R>
  static std::string GetName(int) {
    return std::string(R::kind);
  }
};

}  // namespace millrace

#endif  // MILLRACE_TESTS_RING_SUITE_H_
