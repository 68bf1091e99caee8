// What many do to each ring at once, as it is shipped: processes, and threads for ThreadSanitizer.
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/in_place.h"
#include "tests/ring_suite.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

TYPED_TEST_SUITE(RingTest, rings, ring_name);
TYPED_TEST_SUITE(BufferTest, buffers, ring_name);

template <class R>
class InPlaceTest : public RingTest<R> {};
using in_place_rings = testing::Types<mpmc_ring<letter>, spsc_ring<letter>>;
TYPED_TEST_SUITE(InPlaceTest, in_place_rings, ring_name);

TYPED_TEST(RingTest, ManyProcessesLoseDuplicateAndTearNothing) {
  constexpr bool rendezvous = TypeParam::kind == "rendezvous_ring";  // where each message wakes somebody
  constexpr std::uint64_t each = rendezvous ? 2000 : 6000;
  const std::uint32_t producers = this->one_to_one ? 1 : 3;
  const std::uint32_t consumers = this->one_to_one ? 1 : 2;
  for (const std::uint64_t capacity : rendezvous ? std::vector{0u} : std::vector{1u, 2u, 64u}) {
    auto segment = this->make(capacity);
    auto report = shared_ring<mutex_ring<letter>>::create(location::anonymous(), {8, 16, 0600});
    ASSERT_TRUE(report);
    std::vector<child> children;
    for (std::uint32_t p = 0; p != producers; ++p) {
      children.emplace_back([&, p] {
        auto ring = this->attach(segment);
        for (std::uint64_t i = 0; i != each; ++i) {
          if (ring.push(letter::make(p, i)) != status::ok) return false;
        }
        return true;
      });
    }
    for (std::uint32_t c = 0; c != consumers; ++c) {
      children.emplace_back([&] {
        auto ring = this->attach(segment);
        std::vector<std::uint64_t> next(producers, 0);
        std::uint64_t count = 0;
        std::uint64_t sum = 0;
        letter m;
        while (ring.pop(m) == status::ok) {
          // In order per producer: no number twice at one consumer; the sum of
          // all finds one seen by two, or by none.
          if (!m.whole() || m.from >= producers || m.number < next[m.from]) return false;
          next[m.from] = m.number + 1;
          ++count;
          sum += m.number + 1;
        }
        letter result;
        result.number = count;
        result.body[0] = sum;
        auto out = report->attach();
        return out && out->push(result) == status::ok;
      });
    }
    for (std::uint32_t p = 0; p != producers; ++p) EXPECT_TRUE(children[p].succeeded());
    this->attach(segment).close();
    for (std::uint32_t c = 0; c != consumers; ++c) EXPECT_TRUE(children[producers + c].succeeded());
    auto results = report->attach();
    ASSERT_TRUE(results);
    std::uint64_t count = 0;
    std::uint64_t sum = 0;
    letter r;
    while (results->try_pop(r) == status::ok) {
      count += r.number;
      sum += r.body[0];
    }
    EXPECT_EQ(count, producers * each) << "capacity " << capacity;
    EXPECT_EQ(sum, producers * (each * (each + 1) / 2)) << "capacity " << capacity;
  }
}

TYPED_TEST(BufferTest, ProcessesThatPushAndPopInTurnComeOutEven) {
  if (this->one_to_one) GTEST_SKIP() << "a role of an spsc_ring belongs to one process at a time";
  auto segment = this->make(4);
  std::vector<child> children;
  for (std::uint32_t p = 0; p != 4; ++p) {
    children.emplace_back([&, p] {
      auto ring = this->attach(segment);
      letter m;
      for (std::uint64_t i = 0; i != 10000; ++i) {
        if (ring.push(letter::make(p, i)) != status::ok) return false;
        if (ring.pop(m) != status::ok || !m.whole()) return false;
      }
      return true;
    });
  }
  for (child& c : children) EXPECT_TRUE(c.succeeded());
  letter m;
  EXPECT_EQ(this->attach(segment).try_pop(m), status::empty);
}

TYPED_TEST(RingTest, ThreadsOverOneMappingAgree) {
  if (under_tsan && TypeParam::kind == "boost_ring") {
    GTEST_SKIP() << "Boost's free list reads a node that a push is constructing";
  }
  constexpr std::uint64_t each = 5000;
  const std::uint32_t pairs = this->one_to_one ? 1 : 2;
  auto segment = this->make(8);
  std::atomic<std::uint64_t> sum{0};
  std::vector<std::thread> producers;
  std::vector<std::thread> consumers;
  for (std::uint32_t p = 0; p != pairs; ++p) {
    producers.emplace_back([&, p] {
      auto ring = this->attach(segment);
      for (std::uint64_t i = 0; i != each; ++i) EXPECT_EQ(ring.push(letter::make(p, i)), status::ok);
    });
    consumers.emplace_back([&] {
      auto ring = this->attach(segment);
      letter m;
      while (ring.pop(m) == status::ok) {
        EXPECT_TRUE(m.whole());
        sum += m.number;
      }
    });
  }
  for (std::thread& t : producers) t.join();
  this->attach(segment).close();
  for (std::thread& t : consumers) t.join();
  EXPECT_EQ(sum, pairs * (each * (each - 1) / 2));
}

TYPED_TEST(InPlaceTest, ProcessesLoseDuplicateAndTearNothing) {
  constexpr std::uint64_t each = 5000;
  const std::uint32_t producers = this->one_to_one ? 1 : 2;
  for (const std::uint64_t capacity : {1u, 4u}) {
    auto segment = this->make(capacity);
    std::vector<child> children;
    for (std::uint32_t p = 0; p != producers; ++p) {
      children.emplace_back([&, p] {
        auto ring = this->attach(segment);
        for (std::uint64_t i = 0; i != each; ++i) {
          if (i % 7 == 0) (void)ring.try_reserve();
          auto slot = ring.reserve();
          if (!slot) return false;
          *slot = letter::make(p, i);
          slot.commit();
        }
        return true;
      });
    }
    auto ring = this->attach(segment);
    std::vector<std::uint64_t> next(producers, 0);
    for (std::uint64_t i = 0; i != producers * each; ++i) {
      const auto found = ring.peek_for(60s);
      ASSERT_TRUE(found) << to_string(found.why());
      ASSERT_TRUE(found->whole() && found->from < producers);
      ASSERT_EQ(found->number, next[found->from]++);
    }
    for (child& c : children) EXPECT_TRUE(c.succeeded());
  }
}

// Handles come and go, and lie in the stacks of threads that a child has not.
TEST(Fork, WhileOthersAttach) {
  if (under_asan || under_tsan)
    GTEST_SKIP() << "a sanitizer's allocator does not bear a fork while another thread is in it";
  using numbers = shared_ring<mpmc_ring<std::uint64_t>>;
  const scratch at = scratch::posix();
  auto segment = *numbers::create(*at, {.capacity = 4, .members = 8});
  auto mine = *segment.attach();
  std::atomic<bool> enough{false};
  std::thread others([&] {
    while (!enough) {
      auto theirs = segment.attach();
      if (theirs) const auto moved = *std::move(theirs);
    }
  });
  for (int i = 0; i != 200 && !testing::Test::HasFailure(); ++i) {
    EXPECT_TRUE(child([&] {
                  std::uint64_t m = 0;
                  if (mine.try_push(1) != status::closed) return false;
                  auto opened = *numbers::open(*at);  // the other thread may have been in `attach`
                  auto own = opened.attach();
                  std::thread([] { std::vector<std::byte>(1000, std::byte{1}); }).join();
                  return own && child([&] {
                                  return own->pop(m) == status::closed && mine.pop(m) == status::closed;
                                }).succeeded();
                }).succeeded())
        << i;
  }
  enough = true;
  others.join();
  EXPECT_EQ(mine.try_push(1), status::ok);
}

}  // namespace
}  // namespace millrace
