// One suite for every ring: the same names, the same promises.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/boost_ring.h"
#include "millrace/growing_ring.h"
#include "millrace/in_place.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/ring_suite.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

TYPED_TEST_SUITE(RingTest, rings, ring_name);
TYPED_TEST_SUITE(BufferTest, buffers, ring_name);

TYPED_TEST(RingTest, MeetsTheConcept) { static_assert(ring<TypeParam>); }

template <std::size_t Alignment>
struct alignas(Alignment) aligned_byte {
  std::byte value;
};
static_assert(message<aligned_byte<line_bytes>> && !message<aligned_byte<2 * line_bytes>>);

TYPED_TEST(RingTest, NewRingIsEmpty) {
  auto segment = this->make(4);
  auto ring = this->attach(segment);
  letter m;
  EXPECT_EQ(ring.try_pop(m), status::empty);
  EXPECT_EQ(ring.size_approx(), 0u);
  EXPECT_EQ(ring.capacity(), this->room(4));
}

TYPED_TEST(BufferTest, PopReturnsWhatWasPushed) {
  auto segment = this->make(4);
  auto ring = this->attach(segment);
  ASSERT_EQ(ring.try_push(letter::make(3, 42)), status::ok);
  EXPECT_EQ(ring.size_approx(), 1u);
  letter m;
  ASSERT_EQ(ring.try_pop(m), status::ok);
  EXPECT_EQ(m.from, 3u);
  EXPECT_EQ(m.number, 42u);
  EXPECT_TRUE(m.whole());
}

TYPED_TEST(BufferTest, HoldsExactlyItsCapacityThenSaysFull) {
  for (const std::uint64_t capacity : {1u, 2u, 4u, 64u, 1024u, 32768u}) {
    auto segment = this->make(capacity);
    auto ring = this->attach(segment);
    for (std::uint64_t i = 0; i != capacity; ++i) ASSERT_EQ(ring.try_push(letter::make(0, i)), status::ok) << i;
    EXPECT_EQ(ring.try_push(letter::make(0, 99)), status::full) << capacity;
    letter m;
    ASSERT_EQ(ring.try_pop(m), status::ok);
    EXPECT_EQ(m.number, 0u);
    EXPECT_EQ(ring.try_push(letter::make(0, capacity)), status::ok);
    EXPECT_EQ(ring.try_push(letter::make(0, 99)), status::full);
    for (std::uint64_t i = 1; i <= capacity; ++i) {
      ASSERT_EQ(ring.try_pop(m), status::ok);
      ASSERT_EQ(m.number, i);
    }
    EXPECT_EQ(ring.try_pop(m), status::empty);
  }
}

// Also those that only one may have at a time: a handle comes back to what others have done meanwhile.
TYPED_TEST(BufferTest, HandlesTakeTurnsInEachRole) {
  for (const std::uint64_t capacity : {1u, 2u, 16u, 64u}) {
    auto segment = this->make(capacity);
    std::array handles{this->attach(segment), this->attach(segment)};
    std::uint64_t pushed = 0;
    std::uint64_t popped = 0;
    for (unsigned lap = 0; lap != 50; ++lap) {
      // Long turns and short ones, each the other's once.
      const auto whose = [&](std::uint64_t i) { return (i / (1 + lap % 7) + lap) % 2; };
      std::uint64_t in = 0;
      while (handles[whose(in)].try_push(letter::make(0, pushed)) == status::ok) {
        ++pushed, ++in;
        ASSERT_LE(pushed - popped, capacity);
      }
      EXPECT_EQ(pushed - popped, capacity);
      EXPECT_EQ(handles[whose(in + 1 + lap % 7)].try_push(letter::make(0, pushed)), status::full);
      for (std::uint64_t out = 0; popped != pushed && out != 1 + 5 * lap % capacity; ++out, ++popped) {
        letter m;
        ASSERT_EQ(handles[whose(out)].try_pop(m), status::ok);
        ASSERT_EQ(m.number, popped);
      }
    }
  }
}

// Of messages that share a line, in which the handle had been.
TEST(SpscRing, AHandleThatComesBackFindsNoMoreRoomThanThereIs) {
  auto segment = shared_ring<spsc_ring<std::uint64_t>>::create(location::anonymous(), {16, 4, 0600});
  ASSERT_TRUE(segment) << segment.error().message;
  auto here = *segment->attach();
  auto there = *segment->attach();
  EXPECT_EQ(here.try_push(0), status::ok);
  EXPECT_EQ(there.try_push(1), status::ok);
  std::uint64_t pushed = 2;
  while (pushed != 100 && here.try_push(pushed) == status::ok) ++pushed;
  EXPECT_EQ(pushed, 16u);
}

TYPED_TEST(BufferTest, KeepsOrderOverManyLaps) {
  for (const std::uint64_t capacity : {1u, 2u, 8u}) {
    auto segment = this->make(capacity);
    auto ring = this->attach(segment);
    std::uint64_t pushed = 0;
    std::uint64_t popped = 0;
    for (unsigned lap = 0; lap != 1000; ++lap) {
      for (std::uint64_t i = 0; i != 1 + lap % capacity; ++i) {
        ASSERT_EQ(ring.try_push(letter::make(0, pushed)), status::ok);
        ++pushed;
      }
      while (popped != pushed) {
        letter m;
        ASSERT_EQ(ring.try_pop(m), status::ok);
        ASSERT_EQ(m.number, popped);
        ++popped;
      }
    }
  }
}

TYPED_TEST(RingTest, BatchOfNothingIsOkAndDoesNothing) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  EXPECT_EQ(ring.try_push_n({}), (batch_result{status::ok, 0}));
  EXPECT_EQ(ring.try_pop_n({}), (batch_result{status::ok, 0}));
  EXPECT_EQ(ring.push_n({}), (batch_result{status::ok, 0}));
  EXPECT_EQ(ring.pop_n({}), (batch_result{status::ok, 0}));
}

TYPED_TEST(BufferTest, BatchPushTakesWhatFitsAndSaysFull) {
  auto segment = this->make(4);
  auto ring = this->attach(segment);
  std::vector<letter> in;
  for (std::uint64_t i = 0; i != 6; ++i) in.push_back(letter::make(0, i));
  EXPECT_EQ(ring.try_push_n(in), (batch_result{status::full, 4}));
  EXPECT_EQ(ring.try_push_n(in), (batch_result{status::full, 0}));
  std::vector<letter> out(6);
  EXPECT_EQ(ring.try_pop_n(out), (batch_result{status::ok, 4}));
  for (std::uint64_t i = 0; i != 4; ++i) EXPECT_EQ(out[i].number, i);
  EXPECT_EQ(ring.try_pop_n(out), (batch_result{status::empty, 0}));
}

TYPED_TEST(BufferTest, BatchesWrapAround) {
  auto segment = this->make(8);
  auto ring = this->attach(segment);
  std::uint64_t next = 0;
  std::uint64_t expected = 0;
  std::vector<letter> out(8);
  for (unsigned turn = 0; turn != 500; ++turn) {
    std::vector<letter> in;
    for (unsigned i = 0; i != 1 + turn % 8; ++i) in.push_back(letter::make(0, next++));
    ASSERT_EQ(ring.try_push_n(in), (batch_result{status::ok, in.size()}));
    ASSERT_EQ(ring.try_pop_n(out), (batch_result{status::ok, in.size()}));
    for (std::size_t i = 0; i != in.size(); ++i) ASSERT_EQ(out[i].number, expected++);
  }
}

TYPED_TEST(RingTest, BlockingBatchLargerThanTheRingGoesThrough) {
  auto segment = this->make(4);
  child producer([&] {
    auto ring = this->attach(segment);
    std::vector<letter> in;
    for (std::uint64_t i = 0; i != 1000; ++i) in.push_back(letter::make(0, i));
    return ring.push_n(in) == batch_result{status::ok, 1000};
  });
  auto ring = this->attach(segment);
  std::vector<letter> out(7);
  std::uint64_t expected = 0;
  while (expected != 1000) {
    const batch_result got = ring.pop_n_for(out, 60s);
    ASSERT_EQ(got.why, status::ok);
    for (std::size_t i = 0; i != got.count; ++i) {
      ASSERT_EQ(out[i].number, expected++);
      ASSERT_TRUE(out[i].whole());
    }
  }
  EXPECT_TRUE(producer.succeeded());
}

TYPED_TEST(RingTest, PushAfterCloseSaysClosed) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  ring.close();
  const letter m = letter::make(0, 0);
  EXPECT_EQ(ring.try_push(m), status::closed);
  EXPECT_EQ(ring.push(m), status::closed);
  EXPECT_EQ(ring.push_for(m, 1h), status::closed);
  EXPECT_EQ(ring.try_push_n({&m, 1}), (batch_result{status::closed, 0}));
  EXPECT_EQ(ring.push_n({&m, 1}), (batch_result{status::closed, 0}));
  ring.close();
}

TYPED_TEST(BufferTest, PopAfterCloseDrainsThenReportsClosed) {
  auto segment = this->make(4);
  auto ring = this->attach(segment);
  for (std::uint64_t i = 0; i != 3; ++i) ASSERT_EQ(ring.try_push(letter::make(0, i)), status::ok);
  ring.close();
  letter m;
  for (std::uint64_t i = 0; i != 3; ++i) {
    ASSERT_EQ(i == 0 ? ring.try_pop(m) : ring.pop(m), status::ok);
    EXPECT_EQ(m.number, i);
  }
  EXPECT_EQ(ring.try_pop(m), status::closed);
  EXPECT_EQ(ring.pop(m), status::closed);
  EXPECT_EQ(ring.pop_n({&m, 1}), (batch_result{status::closed, 0}));
}

TYPED_TEST(BufferTest, CloseWakesSleepers) {
  auto empty = this->make(1);
  auto full = this->make(1);
  auto sender = this->attach(full);
  ASSERT_EQ(sender.try_push(letter::make(0, 0)), status::ok);
  child popper([&] {
    letter m;
    return this->attach(empty).pop(m) == status::closed;
  });
  child pusher([&] { return this->attach(full).push(letter::make(0, 1)) == status::closed; });
  // Whether they sleep yet or not, close must reach them.
  this->attach(empty).close();
  sender.close();
  EXPECT_TRUE(popper.succeeded());
  EXPECT_TRUE(pusher.succeeded());
}

TYPED_TEST(BufferTest, TimedCallsTimeOutNotBeforeTheirDeadline) {
  auto segment = this->make(1);
  auto ring = this->attach(segment);
  letter m = letter::make(0, 0);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ring.pop_for(m, 20ms), status::timed_out);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  ASSERT_EQ(ring.push_for(m, 0s), status::ok) << "a deadline that has passed still gets one try";
  const auto again = std::chrono::steady_clock::now();
  EXPECT_EQ(ring.push_until(m, deadline::at(again + 20ms)), status::timed_out);
  EXPECT_GE(std::chrono::steady_clock::now() - again, 20ms);
  EXPECT_EQ(ring.push_n_for({&m, 1}, -1s), (batch_result{status::timed_out, 0}));
  ASSERT_EQ(ring.pop_for(m, -1h), status::ok);
  EXPECT_EQ(ring.pop_n_for({&m, 1}, 1ms), (batch_result{status::timed_out, 0}));
  EXPECT_EQ(ring.pop_until(m, deadline::at(deadline::clock::time_point::min())), status::timed_out);
}

TYPED_TEST(RingTest, SleepingConsumerIsWokenByAnotherProcess) {
  auto segment = this->make(1);
  auto ring = this->attach(segment);
  child echo([&] {
    auto mine = this->attach(segment);
    letter m;
    return mine.pop(m) == status::ok && m.number == 7 && m.whole();
  });
  ASSERT_EQ(ring.push(letter::make(0, 7)), status::ok);
  EXPECT_TRUE(echo.succeeded());
}

TYPED_TEST(RingTest, NamedRingIsOpenedByAnotherProcess) {
  const scratch at = scratch::posix();
  auto segment = shared_ring<TypeParam>::create(*at, {this->room(64), 4, 0600});
  ASSERT_TRUE(segment) << segment.error().message;
  child producer([&] {
    auto theirs = shared_ring<TypeParam>::open(*at);
    if (!theirs) return false;
    auto ring = theirs->attach();
    if (!ring) return false;
    for (std::uint64_t i = 0; i != 5000; ++i) {
      if (ring->push(letter::make(1, i)) != status::ok) return false;
    }
    ring->close();
    return true;
  });
  auto ring = this->attach(*segment);
  letter m;
  std::uint64_t expected = 0;
  while (ring.pop_for(m, 60s) == status::ok) {
    EXPECT_TRUE(m.whole());
    EXPECT_EQ(m.number, expected++);
  }
  EXPECT_EQ(expected, 5000u);
  EXPECT_TRUE(producer.succeeded());
}

TYPED_TEST(RingTest, AnotherShapeUnderTheNameIsRefusedWithBothInTheMessage) {
  const scratch at = scratch::posix();
  const auto made = shared_ring<TypeParam>::create(*at, {this->room(64), 4, 0600});
  ASSERT_TRUE(made);
  EXPECT_TRUE(shared_ring<TypeParam>::open_or_create(*at, {this->room(64), 4, 0600}));
  using other_ring = std::conditional_t<TypeParam::kind == "mutex_ring", mpmc_ring<letter>, mutex_ring<letter>>;
  const auto members = shared_ring<TypeParam>::open_or_create(*at, {this->room(64), 5, 0600});
  const auto kind = shared_ring<other_ring>::open(*at);
  const auto type = shared_ring<mutex_ring<int>>::open(*at);
  ASSERT_FALSE(members);
  EXPECT_EQ(members.error().code, errc::incompatible);
  EXPECT_NE(members.error().message.find("of " + std::to_string(this->room(64)) + " x"), std::string::npos);
  EXPECT_NE(members.error().message.find("for 5 members;"), std::string::npos) << members.error().message;
  ASSERT_FALSE(kind);
  EXPECT_EQ(kind.error().code, errc::incompatible);
  ASSERT_FALSE(type);
  EXPECT_EQ(type.error().code, errc::incompatible);
}

TYPED_TEST(BufferTest, AnotherCapacityUnderTheNameIsRefusedWithBothInTheMessage) {
  const scratch at = scratch::posix();
  ASSERT_TRUE(shared_ring<TypeParam>::create(*at, {64, 4, 0600}));
  const auto other = shared_ring<TypeParam>::open_or_create(*at, {128, 4, 0600});
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, errc::incompatible);
  EXPECT_NE(other.error().message.find("of 64 x"), std::string::npos) << other.error().message;
  EXPECT_NE(other.error().message.find("of 128 x"), std::string::npos) << other.error().message;
}

TYPED_TEST(RingTest, ADamagedHeaderIsRefused) {
  const scratch at = scratch::posix();
  const auto made = shared_ring<TypeParam>::create(*at, {this->room(64), 4, 0600});
  ASSERT_TRUE(made) << made.error().message;
  auto& header = *static_cast<ring_header*>(made->memory().base());
  const ring_header sound = header;
  const auto refused = [&](const char* what, std::uint64_t value) {
    const auto opened = shared_ring<TypeParam>::open(*at);
    header = sound;
    ASSERT_FALSE(opened) << what << ' ' << value;
    EXPECT_TRUE(opened.error().code == errc::incompatible || opened.error().code == errc::foreign);
    EXPECT_TRUE(opened.error().message.starts_with((*at).describe())) << opened.error().message;
  };
  header.version += 1;
  refused("version", header.version);
  header.header_bytes += 128;
  refused("header_bytes", header.header_bytes);
  header.message_bytes -= 8;
  refused("message_bytes", header.message_bytes);
  header.message_align *= 2;
  refused("message_align", header.message_align);
  header.message_type_hash ^= 1;
  refused("message_type_hash", header.message_type_hash);
  std::memset(header.kind, 'x', sizeof header.kind);  // and no end of it
  refused("kind", 0);
  // A growing_ring's limit counts in chunks, of 1365 letters each, an spsc_ring's capacity in lines of a few:
  // another within the same is no harm.
  for (int bit = TypeParam::kind == "growing_ring" ? 11 : TypeParam::kind == "spsc_ring" ? 3 : 0; bit <= 64; ++bit) {
    header.capacity = bit == 64 ? ~std::uint64_t{0} : sound.capacity ^ std::uint64_t{1} << bit;
    refused("capacity bit", static_cast<std::uint64_t>(bit));
  }
  for (const std::uint32_t members : {0u, 4096u, 4097u, 0x80000000u, 0xffffffffu}) {
    header.members = members;
    refused("members", members);
  }
  std::mt19937_64 random(1);
  for (int i = 0; i != 1000; ++i) {
    std::array<std::uint64_t, sizeof(ring_header) / 8> noise;
    std::generate(noise.begin(), noise.end(), std::ref(random));
    std::memcpy(&header, noise.data(), sizeof header);
    refused("noise", static_cast<std::uint64_t>(i));
  }
  EXPECT_TRUE(shared_ring<TypeParam>::open(*at));
}

TYPED_TEST(RingTest, ASegmentThatHoldsNoRingIsForeign) {
  for (const std::size_t bytes : {std::size_t{1}, sizeof(ring_header) - 1}) {
    const scratch at = scratch::posix();
    ASSERT_TRUE(shared_memory::create(*at, bytes, 0600, [](void*) {}));
    const auto opened = shared_ring<TypeParam>::open(*at);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code, errc::foreign) << opened.error().message;
  }
  const scratch zeros = scratch::posix();
  ASSERT_TRUE(shared_memory::create(*zeros, 100'000, 0600, [](void*) {}));
  EXPECT_FALSE(shared_ring<TypeParam>::open(*zeros));
  EXPECT_FALSE(shared_ring<TypeParam>::open_or_create(*zeros));
}

TYPED_TEST(RingTest, IsPrivateToItsOwnerUnlessAskedOtherwise) {
  const scratch at = scratch::posix();
  const mode_t before = ::umask(0);
  const auto made = shared_ring<TypeParam>::create(*at, {.capacity = this->room(64)});
  ::umask(before);
  ASSERT_TRUE(made) << made.error().message;
  struct stat info {};
  ASSERT_EQ(::stat(at.path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TYPED_TEST(RingTest, NoMoreHandlesThanPlacesAndAPlaceIsFreeAgainWhenLeft) {
  auto segment = this->make(2, 2);
  auto first = this->attach(segment);
  {
    const auto second = this->attach(segment);
    const auto third = segment.attach();
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, errc::limit);
  }
  EXPECT_TRUE(segment.attach());
}

// ---- In place: where a lock would be held in the user's code it is not offered.
static_assert(!writes_in_place<mutex_ring<letter>> && !reads_in_place<mutex_ring<letter>>);
static_assert(!writes_in_place<growing_ring<letter>> && !reads_in_place<growing_ring<letter>>);
static_assert(!writes_in_place<semaphore_ring<letter>> && !reads_in_place<semaphore_ring<letter>>);
static_assert(!writes_in_place<boost_ring<letter>> && !reads_in_place<boost_ring<letter>>);

template <class R>
class InPlaceTest : public RingTest<R> {
 protected:
  static constexpr bool skips = R::kind == "mpmc_ring";

  // A child that has done `first` with a handle, and then waits to be killed.
  child held_by(shared_ring<R>& segment, std::function<void(typename shared_ring<R>::handle&)> first) {
    *held_ = false;
    child c([this, &segment, first = std::move(first)] {
      auto ring = this->attach(segment);
      first(ring);
      return false;
    });
    EXPECT_TRUE(reached([&] { return held_->load(); }));
    return c;
  }
  void until_killed() {
    *held_ = true;
    for (;;) ::pause();
  }
  child peeking_at_7(shared_ring<R>& segment) {
    return held_by(segment, [this](auto& theirs) {
      const auto found = theirs.peek();
      if (found && found->number == 7) until_killed();
    });
  }
  static void kill(child& c) {
    ::kill(c.pid(), SIGKILL);
    EXPECT_FALSE(c.succeeded());
  }

  shared<std::atomic<bool>> held_;
};

using in_place_rings = testing::Types<mpmc_ring<letter>, spsc_ring<letter>>;
TYPED_TEST_SUITE(InPlaceTest, in_place_rings, ring_name);

TYPED_TEST(InPlaceTest, PeekFindsWhatWasCommittedInOrder) {
  static_assert(writes_in_place<TypeParam> && reads_in_place<TypeParam>);
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  for (std::uint64_t i = 0; i != 10; i += 2) {
    auto slot = ring.try_reserve();
    ASSERT_TRUE(slot);
    EXPECT_EQ(slot.why(), status::ok);
    *slot = letter::make(1, i);
    slot.commit();
    EXPECT_FALSE(slot) << "it is the caller's no more";
    ASSERT_EQ(ring.try_push(letter::make(1, i + 1)), status::ok);
    EXPECT_EQ(ring.try_reserve().why(), status::full);
    {
      const auto found = ring.try_peek();
      ASSERT_TRUE(found);
      EXPECT_EQ(found->number, i);
      EXPECT_TRUE(found->whole());
    }
    auto second = ring.peek();
    ASSERT_TRUE(second);
    EXPECT_EQ(second->number, i + 1);
    second.release();
    second.release();
    EXPECT_FALSE(second);
    EXPECT_EQ(ring.try_peek().why(), status::empty);
  }
}

TYPED_TEST(InPlaceTest, IsWrittenAndReadWhereItLies) {
  auto segment = this->make(4);
  auto ring = this->attach(segment);
  const auto* const base = static_cast<const std::byte*>(segment.memory().base());
  const letter* written = nullptr;
  {
    auto slot = ring.reserve();
    written = &*slot;
    *slot = letter::make(0, 5);
    slot.commit();
  }
  const auto found = ring.peek();
  EXPECT_EQ(&*found, written);
  EXPECT_TRUE(reinterpret_cast<const std::byte*>(written) >= base);
  EXPECT_TRUE(reinterpret_cast<const std::byte*>(written + 1) <= base + segment.memory().size());
}

TYPED_TEST(InPlaceTest, WhatIsNotCommittedIsNotPushedAndCostsNoRoom) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  for (int i = 0; i != 5; ++i) {
    {
      auto slot = ring.reserve();
      ASSERT_TRUE(slot);
      *slot = letter::make(0, 99);
    }
    letter m;
    EXPECT_EQ(ring.try_pop(m), status::empty);
    ASSERT_EQ(ring.try_push(letter::make(0, 1)), status::ok);
    ASSERT_EQ(ring.try_push(letter::make(0, 2)), status::ok);
    EXPECT_EQ(ring.try_push(letter::make(0, 3)), status::full);
    EXPECT_EQ(ring.pop(m), status::ok);
    EXPECT_EQ(m.number, 1u);
    EXPECT_EQ(ring.pop(m), status::ok);
  }
}

TYPED_TEST(InPlaceTest, AMovedHoldIsLetGoOfOnce) {
  auto segment = this->make(1);
  auto ring = this->attach(segment);
  {
    auto first = ring.reserve();
    *first = letter::make(0, 3);
    auto second = std::move(first);
    second.commit();
  }
  {
    auto first = ring.peek();
    const auto second = std::move(first);
    EXPECT_EQ(second->number, 3u);
  }
  EXPECT_EQ(ring.try_push(letter::make(0, 4)), status::ok);
  EXPECT_EQ(ring.size_approx(), 1u);
}

TYPED_TEST(InPlaceTest, TimedFormsTimeOutAndClosedIsSaid) {
  auto segment = this->make(1);
  auto ring = this->attach(segment);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ring.peek_for(20ms).why(), status::timed_out);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  ASSERT_EQ(ring.push(letter::make(0, 1)), status::ok);
  EXPECT_EQ(ring.reserve_for(1ms).why(), status::timed_out);
  EXPECT_EQ(ring.reserve_until(deadline::at({})).why(), status::timed_out);
  ring.close();
  EXPECT_EQ(ring.reserve().why(), status::closed);
  EXPECT_EQ(ring.try_reserve().why(), status::closed);
  EXPECT_EQ(ring.peek().why(), status::ok);
  EXPECT_EQ(ring.peek().why(), status::closed);
}

TYPED_TEST(InPlaceTest, KilledBeforeItsCommitItHasPushedNothing) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  child sleeper([&] {
    letter m;
    auto mine = this->attach(segment);
    return mine.pop(m) == status::ok && m.number == 7;
  });
  child victim = this->held_by(segment, [this](auto& theirs) {
    auto slot = theirs.reserve();
    *slot = letter::make(0, 99);
    this->until_killed();
  });
  // An spsc_ring's role is free only then.
  if (this->skips) {
    EXPECT_EQ(ring.try_push(letter::make(0, 7)), status::ok) << "behind the slot in its hands";
  }
  this->kill(victim);
  if (!this->skips) {
    EXPECT_EQ(ring.push(letter::make(0, 7)), status::ok);
  }
  EXPECT_TRUE(sleeper.succeeded());
  letter m;
  EXPECT_EQ(ring.try_pop(m), status::empty);
  EXPECT_EQ(ring.try_push(letter::make(0, 8)), status::ok);
  EXPECT_EQ(ring.try_push(letter::make(0, 9)), status::ok);
  EXPECT_EQ(ring.try_push(letter::make(0, 10)), status::full);
}

TYPED_TEST(InPlaceTest, KilledBeforeItsReleaseItLeavesTheMessageToAnother) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  ASSERT_EQ(ring.try_push(letter::make(0, 7)), status::ok);
  child victim = this->peeking_at_7(segment);
  if (this->skips) {
    EXPECT_EQ(ring.peek_for(1ms).why(), status::timed_out);
  }
  this->kill(victim);
  const auto found = ring.peek();
  ASSERT_TRUE(found);
  EXPECT_EQ(found.why(), this->skips ? status::redelivered : status::ok);
  EXPECT_EQ(found->number, 7u);
  EXPECT_TRUE(found->whole());
}

// Closed is said when nothing can come back: not while a message is in somebody's hands.
TYPED_TEST(InPlaceTest, WhatOneHoldsComesBeforeTheEnd) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  ASSERT_EQ(ring.try_push(letter::make(0, 7)), status::ok);
  child victim = this->peeking_at_7(segment);
  ring.close();
  std::array<letter, 2> m;
  if (this->skips) {
    EXPECT_EQ(ring.try_pop(m[0]), status::busy);
    EXPECT_EQ(ring.try_pop_n(m), (batch_result{status::busy, 0}));
    EXPECT_EQ(ring.peek_for(1ms).why(), status::timed_out);
  }
  this->kill(victim);
  EXPECT_EQ(ring.pop(m[0]), this->skips ? status::redelivered : status::ok);
  EXPECT_EQ(m[0].number, 7u);
  EXPECT_EQ(ring.pop(m[0]), status::closed);
}

// Peeked at anew, and killed again: it is still there for the next.
TYPED_TEST(InPlaceTest, ARedeliveredOneIsRedeliveredAgain) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  ASSERT_EQ(ring.try_push(letter::make(0, 7)), status::ok);
  for (int i = 0; i != 3; ++i) {
    child victim = this->peeking_at_7(segment);
    this->kill(victim);
  }
  {
    const auto found = ring.peek();
    ASSERT_TRUE(found);
    EXPECT_EQ(found->number, 7u);
  }
  EXPECT_EQ(ring.try_peek().why(), status::empty);
  EXPECT_EQ(ring.try_push(letter::make(0, 8)), status::ok);
  EXPECT_EQ(ring.try_push(letter::make(0, 9)), status::ok);
}

TYPED_TEST(InPlaceTest, WhereTheRingDropsSoDoesADeathInPeek) {
  if (!this->skips) GTEST_SKIP() << "a spsc_ring's consumer has popped nothing yet";
  auto segment = *shared_ring<TypeParam>::create(location::anonymous(), {.capacity = 2, .on_death = delivery::drop});
  auto ring = this->attach(segment);
  ASSERT_EQ(ring.try_push(letter::make(0, 7)), status::ok);
  child victim = this->peeking_at_7(segment);
  this->kill(victim);
  ASSERT_EQ(ring.push(letter::make(0, 8)), status::ok);
  const auto found = ring.peek();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->number, 8u);
}

TYPED_TEST(InPlaceTest, AChildThatInheritsOneLetsItAlone) {
  auto segment = this->make(2);
  auto ring = this->attach(segment);
  ASSERT_EQ(ring.try_push(letter::make(0, 1)), status::ok);
  std::optional slot(ring.reserve());
  EXPECT_TRUE(child([&] {
                slot.reset();
                return true;
              }).succeeded());
  **slot = letter::make(0, 2);
  slot->commit();
  std::optional found(ring.peek());
  EXPECT_TRUE(child([&] {
                found->release();
                return true;
              }).succeeded());
  EXPECT_EQ((*found)->number, 1u);
  EXPECT_TRUE(child([&] {
                return !this->skips || this->attach(segment).try_push(letter::make(0, 3)) != status::ok;
              }).succeeded());
  found.reset();
  EXPECT_EQ(ring.peek()->number, 2u);
}

// Held by one that is stopped, or slow, it stands in the others' way, and they are told so.
TEST(MpmcRing, ASlotInHandIsBusyAndItsWithdrawalWakesWhoWaits) {
  using segment_type = shared_ring<mpmc_ring<letter>>;
  auto segment = *segment_type::create(location::anonymous(), {.capacity = 2, .members = 4});
  auto ring = *segment.attach();
  auto other = *segment.attach();
  {
    const auto slot = ring.reserve();
    ASSERT_EQ(other.try_push(letter::make(0, 7)), status::ok);
    letter m;
    EXPECT_EQ(other.try_pop(m), status::busy);
    EXPECT_EQ(other.pop_for(m, 1ms), status::timed_out);
    EXPECT_EQ(other.try_push(m), status::full);
  }
  shared<std::atomic<bool>> there;
  std::optional slot(ring.reserve());
  ASSERT_TRUE(*slot) << "in the place of the one that was withdrawn";
  letter m;
  ASSERT_EQ(other.try_pop(m), status::ok);
  child sleeper([&] {
    auto mine = segment.attach();
    letter got;
    *there = true;
    return mine->pop(got) == status::ok && got.number == 8;
  });
  ASSERT_EQ(other.try_push(letter::make(0, 8)), status::ok);
  ASSERT_TRUE(reached([&] { return there->load() && asleep(sleeper.pid()); }));
  slot.reset();
  EXPECT_TRUE(sleeper.succeeded());
}

TEST(MpmcRing, TheLastReleaseWakesWhoWaitsForTheEnd) {
  auto segment = *shared_ring<mpmc_ring<letter>>::create(location::anonymous(), {.capacity = 4, .members = 4});
  auto ring = *segment.attach();
  auto other = *segment.attach();
  for (const std::uint64_t number : {6u, 7u, 8u}) ASSERT_EQ(ring.try_push(letter::make(0, number)), status::ok);
  shared<std::atomic<bool>> drained;
  const auto drain = [&] {
    auto mine = segment.attach();
    letter got;
    if (mine->pop(got) != status::ok || got.number != 8) return false;
    *drained = true;
    return mine->pop(got) == status::closed;
  };
  auto first = ring.peek();
  auto last = other.peek();
  ring.close();
  child sleeper(drain);
  ASSERT_TRUE(reached([&] { return drained->load() && asleep(sleeper.pid()); }));
  first.release();  // which wakes it before it returns
  ASSERT_TRUE(reached([&] { return asleep(sleeper.pid()); }));
  last.release();
  EXPECT_TRUE(sleeper.succeeded(8s)) << "after ten it looks again by itself";
}

// 2^50 messages are more than a test can push: it writes the words, as mpmc_ring.h
// draws them, that an empty ring has when six more are left until positions wrap.
TEST(MpmcRing, GoesOnWherePositionsWrap) {
  using ring_type = mpmc_ring<letter>;
  constexpr std::uint64_t capacity = 4;
  constexpr std::uint64_t start = (std::uint64_t{1} << 50) - 6;
  constexpr geometry shape{capacity, 1};
  struct slot {
    std::atomic<std::uint64_t> word;
    letter payload;
  };
  std::vector<std::byte> memory(ring_type::bytes(shape) + line_bytes);
  void* at = memory.data();
  std::size_t room = memory.size();
  ASSERT_NE(std::align(line_bytes, ring_type::bytes(shape), at, room), nullptr);
  ring_type::construct(at, shape);
  auto* const bytes = static_cast<std::byte*>(at);
  for (const std::size_t index : {std::size_t{0}, line_bytes}) {  // tail, head
    reinterpret_cast<std::atomic<std::uint64_t>*>(bytes + index)->store(start << 14);
  }
  auto* const slots = reinterpret_cast<slot*>(bytes + ring_type::bytes(shape)) - capacity;
  for (std::uint64_t p = start; p != start + capacity; ++p) slots[p % capacity].word.store(p << 14);

  alignas(line_bytes) std::array<std::byte, roster<native>::bytes(1)> members;
  roster<native>::construct(members.data(), 1);
  ring_type ring(at, shape, {roster<native>(members.data(), 1), 0});
  std::uint64_t pushed = 0;
  std::uint64_t popped = 0;
  letter m;
  for (unsigned lap = 0; lap != 4; ++lap) {
    EXPECT_EQ(ring.try_pop(m), status::empty) << lap;
    EXPECT_EQ(ring.size_approx(), 0u) << lap;
    const std::array two{letter::make(0, pushed), letter::make(0, pushed + 1)};
    ASSERT_EQ(ring.try_push_n(two), (batch_result{status::ok, 2})) << lap;
    for (pushed += 2; pushed != popped + capacity; ++pushed) {
      ASSERT_EQ(ring.try_push(letter::make(0, pushed)), status::ok) << lap;
    }
    EXPECT_EQ(ring.try_push(m), status::full) << lap;
    EXPECT_EQ(ring.size_approx(), capacity) << lap;
    for (; popped != pushed; ++popped) {
      ASSERT_EQ(ring.try_pop(m), status::ok) << lap;
      EXPECT_EQ(m.number, popped);
    }
  }
}

TYPED_TEST(BufferTest, TakesACapacityUpToItsLimitAndNoMore) {
  const std::map<std::string_view, std::uint64_t> most{{"mpmc_ring", std::uint64_t{1} << 31},
                                                       {"spsc_ring", std::uint64_t{1} << 31},
                                                       {"mutex_ring", std::uint64_t{1} << 31},
                                                       {"growing_ring", std::uint64_t{1} << 31},
                                                       {"semaphore_ring", (std::uint64_t{1} << 31) - 1},
                                                       {"boost_ring", 32768}};
  const std::uint64_t limit = most.at(TypeParam::kind);
  EXPECT_EQ(TypeParam::refuse({limit, 1}), "");
  for (const std::uint64_t more : {limit + 1, 2 * limit, std::uint64_t{1} << 32, std::uint64_t{1} << 63}) {
    EXPECT_NE(TypeParam::refuse({more, 1}).find("capacity " + std::to_string(more)), std::string::npos) << more;
  }
}

TYPED_TEST(RingTest, TakesAsManyMembersAsItsLimitAndNoMore) {
  EXPECT_TRUE(shared_ring<TypeParam>::create(location::anonymous(), {this->room(2), 4096, 0600}));
  for (const std::uint32_t members : {0u, 4097u}) {
    const auto made = shared_ring<TypeParam>::create(location::anonymous(), {this->room(2), members, 0600});
    ASSERT_FALSE(made) << members;
    EXPECT_EQ(made.error().code, errc::bad_argument);
    EXPECT_NE(made.error().message.find("members " + std::to_string(members)), std::string::npos)
        << made.error().message;
  }
}

TYPED_TEST(BufferTest, RefusesACapacityOfNothing) {
  const auto made = shared_ring<TypeParam>::create(location::anonymous(), {0, 1, 0600});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, errc::bad_argument);
  EXPECT_NE(made.error().message.find("capacity 0"), std::string::npos) << made.error().message;
  EXPECT_NE(made.error().message.find("; rendezvous_ring has that"), std::string::npos) << made.error().message;
}

// A push and a pop of another process that wait for somebody.
class RendezvousTest : public RingTest<rendezvous_ring<letter>> {
 protected:
  using handle = shared_ring<rendezvous_ring<letter>>::handle;

  explicit RendezvousTest(delivery on_death = delivery::redeliver)
      : segment_(*shared_ring<rendezvous_ring<letter>>::create(location::anonymous(),
                                                               {.capacity = 0, .members = 4, .on_death = on_death})) {}

  // Returns when it sleeps in `call`, which is then to return true.
  child waiting(std::function<bool(handle&)> call) {
    const int before = *about_to_call_;
    child c([this, &call] {
      auto mine = attach(segment_);
      ++*about_to_call_;
      return call(mine);
    });
    EXPECT_TRUE(reached([&] { return *about_to_call_ != before && asleep(c.pid()); }));
    return c;
  }
  child pushing(std::uint64_t number) {
    return waiting([=](handle& mine) { return mine.push(letter::make(0, number)) == status::ok; });
  }
  child popping(std::uint64_t number) {
    return waiting([=](handle& mine) {
      letter m;
      return mine.pop(m) == status::ok && m.number == number && m.whole();
    });
  }
  static void kill(child& c) {
    ASSERT_EQ(::kill(c.pid(), SIGKILL), 0);
    EXPECT_FALSE(c.succeeded());
  }
  // Is passed `number` while it is stopped in a pop, and killed.
  void kill_with_message(handle& sender, std::uint64_t number) {
    child victim = popping(number);
    ASSERT_EQ(::kill(victim.pid(), SIGSTOP), 0);
    ASSERT_EQ(sender.push(letter::make(0, number)), status::ok);
    kill(victim);
  }

  shared_ring<rendezvous_ring<letter>> segment_;
  shared<std::atomic<int>> about_to_call_;
};

TEST_F(RendezvousTest, HasNoOtherCapacity) {
  for (const std::uint64_t capacity : {std::uint64_t{1}, std::uint64_t{1} << 63}) {
    const std::string why = rendezvous_ring<letter>::refuse({capacity, 1});
    EXPECT_NE(why.find("capacity " + std::to_string(capacity) + " is not 0"), std::string::npos) << why;
  }
}

TEST_F(RendezvousTest, APushIsOverWhenItsMessageHasBeenTaken) {
  auto ring = attach(segment_);
  child pusher = pushing(7);
  EXPECT_EQ(ring.size_approx(), 0u);
  EXPECT_TRUE(pusher.running());
  letter m;
  ASSERT_EQ(ring.try_pop(m), status::ok);
  EXPECT_EQ(m.number, 7u);
  EXPECT_TRUE(m.whole());
  EXPECT_TRUE(pusher.succeeded());
  EXPECT_EQ(ring.try_pop(m), status::empty);
}

TEST_F(RendezvousTest, ATryMeetsThoseWhoWaitAndNobodyElse) {
  auto ring = attach(segment_);
  EXPECT_EQ(ring.try_push(letter::make(0, 1)), status::full);
  letter m;
  EXPECT_EQ(ring.try_pop(m), status::empty) << "what was refused does not come";
  child popper = popping(2);
  EXPECT_EQ(ring.try_pop(m), status::empty);
  EXPECT_EQ(ring.try_push(letter::make(0, 2)), status::ok);
  EXPECT_EQ(ring.try_push(letter::make(0, 3)), status::full);
  EXPECT_TRUE(popper.succeeded());
  child pusher = pushing(4);
  EXPECT_EQ(ring.try_push(letter::make(0, 5)), status::full);
  EXPECT_EQ(ring.try_pop(m), status::ok);
  EXPECT_EQ(m.number, 4u);
  EXPECT_TRUE(pusher.succeeded());
}

TEST_F(RendezvousTest, WhoHasWaitedLongestIsServedFirst) {
  auto ring = attach(segment_);
  std::vector<child> all;
  for (std::uint64_t i = 0; i != 3; ++i) all.push_back(pushing(i));
  std::array<letter, 5> some;
  ASSERT_EQ(ring.try_pop_n(some), (batch_result{status::ok, 3}));
  for (std::uint64_t i = 0; i != 3; ++i) EXPECT_EQ(some[i].number, i);
  for (child& c : all) EXPECT_TRUE(c.succeeded());
  all.clear();
  for (std::uint64_t i = 0; i != 3; ++i) all.push_back(popping(i));
  std::vector<letter> letters;
  for (std::uint64_t i = 0; i != 5; ++i) letters.push_back(letter::make(0, i));
  EXPECT_EQ(ring.try_push_n(letters), (batch_result{status::full, 3}));
  for (child& c : all) EXPECT_TRUE(c.succeeded());
}

TEST_F(RendezvousTest, WhoGivesUpIsNotMet) {
  auto ring = attach(segment_);
  letter m;
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(ring.push_for(letter::make(0, 1), 20ms), status::timed_out);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  EXPECT_EQ(ring.try_pop(m), status::empty);
  const auto again = std::chrono::steady_clock::now();
  EXPECT_EQ(ring.pop_until(m, deadline::at(again + 20ms)), status::timed_out);
  EXPECT_GE(std::chrono::steady_clock::now() - again, 20ms);
  EXPECT_EQ(ring.try_push(letter::make(0, 1)), status::full);
  EXPECT_EQ(ring.push_n_for({&m, 1}, -1s), (batch_result{status::timed_out, 0}));
  EXPECT_EQ(ring.pop_n_for({&m, 1}, -1s), (batch_result{status::timed_out, 0}));
  child popper = popping(2);
  EXPECT_EQ(ring.push_for(letter::make(0, 2), 0s), status::ok) << "a deadline that has passed still gets one try";
  EXPECT_TRUE(popper.succeeded());
}

TEST_F(RendezvousTest, CloseTellsThoseWhoWait) {
  child pusher = waiting([](handle& mine) { return mine.push(letter::make(0, 1)) == status::closed; });
  child other = waiting([](handle& mine) { return mine.push_for(letter::make(0, 2), 1h) == status::closed; });
  auto ring = attach(segment_);
  ring.close();
  EXPECT_TRUE(pusher.succeeded());
  EXPECT_TRUE(other.succeeded());
  letter m;
  EXPECT_EQ(ring.try_pop(m), status::closed);
  EXPECT_EQ(ring.pop(m), status::closed);
  EXPECT_EQ(ring.pop_n({&m, 1}), (batch_result{status::closed, 0}));
  auto another = make(0);
  child popper([&] { return attach(another).pop(m) == status::closed; });
  attach(another).close();
  EXPECT_TRUE(popper.succeeded());
}

TEST_F(RendezvousTest, TheDeadAreNotMet) {
  auto ring = attach(segment_);
  child pusher = pushing(1);
  kill(pusher);
  letter m;
  EXPECT_EQ(ring.try_pop(m), status::empty);
  EXPECT_EQ(segment_.recovered().pushes_undone, 1u);
  child popper = popping(1);
  kill(popper);
  EXPECT_EQ(ring.try_push(letter::make(0, 2)), status::full);
  EXPECT_EQ(ring.try_pop(m), status::empty);
}

TEST_F(RendezvousTest, WhatADeadReceiverWasPassedGoesToTheOneThatSleeps) {
  auto ring = attach(segment_);
  child victim = popping(7);
  ASSERT_EQ(::kill(victim.pid(), SIGSTOP), 0);
  child next = waiting([](handle& mine) {
    letter m;
    return mine.pop(m) == status::redelivered && m.number == 7 && m.whole();
  });
  ASSERT_EQ(ring.push(letter::make(0, 7)), status::ok) << "the first one has it, though it is stopped";
  EXPECT_TRUE(next.running());
  kill(victim);
  EXPECT_TRUE(next.succeeded());
  EXPECT_EQ(segment_.recovered().messages_redelivered, 1u);
}

// Nobody sees to it before all places are taken anew, and by members that only push.
TEST_F(RendezvousTest, WhatADeadReceiverWasPassedOutlivesItsPlace) {
  auto ring = attach(segment_);
  kill_with_message(ring, 7);
  auto second = attach(segment_);
  auto third = attach(segment_);
  auto last = attach(segment_);
  EXPECT_EQ(ring.try_push(letter::make(0, 8)), status::full);
  for (handle* h : {&ring, &second, &third, &last}) {
    EXPECT_EQ(h->push_for(letter::make(0, 9), -1s), status::timed_out);
  }
  second.close();
  letter m;
  EXPECT_EQ(third.pop(m), status::redelivered);
  EXPECT_EQ(m.number, 7u);
  EXPECT_EQ(third.pop(m), status::closed);
}

class DroppingRendezvousTest : public RendezvousTest {
 protected:
  DroppingRendezvousTest() : RendezvousTest(delivery::drop) {}
};

TEST_F(DroppingRendezvousTest, WhatADeadReceiverWasPassedIsGone) {
  auto ring = attach(segment_);
  kill_with_message(ring, 7);
  letter m;
  EXPECT_EQ(ring.try_pop(m), status::empty);
  EXPECT_EQ(segment_.recovered().messages_dropped, 1u);
  kill_with_message(ring, 8);
  auto second = attach(segment_);
  auto third = attach(segment_);
  auto last = attach(segment_);
  EXPECT_EQ(ring.try_pop(m), status::empty);
  EXPECT_EQ(segment_.recovered().messages_dropped, 2u);
}

template <std::size_t Bytes>
void expect_copied() {
  struct sized {
    std::array<unsigned char, Bytes> bytes;
  };
  sized in{};
  std::iota(in.bytes.begin(), in.bytes.end(), static_cast<unsigned char>(1));
  native::plain<sized> place;
  place.write(in);
  sized out{};
  place.read(out);
  EXPECT_EQ(out.bytes, in.bytes) << Bytes;
}

// At the edges of the sizes that are copied in pieces, and with a rest.
TEST(NativePlain, IsCopiedWholeWhateverItsSize) {
  expect_copied<1>();
  expect_copied<256>();
  expect_copied<257>();
  expect_copied<320>();
  expect_copied<447>();
  expect_copied<512>();
  expect_copied<513>();
}

}  // namespace
}  // namespace millrace
