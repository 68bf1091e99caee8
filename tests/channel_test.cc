// What ends a channel, and what doesn't: over every ring, between real processes.
#include "millrace/channel.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/attributed.h"
#include "millrace/boost_ring.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/channels.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

template <class C>
class ChannelTest : public ChannelAtTest<C> {
 protected:
  using sending = typename C::sender;

  static constexpr std::uint64_t room = C::kind.starts_with("rendezvous") ? 0 : 4;
  static constexpr ring_options options{.capacity = room, .members = 8};
  static constexpr ring_options kept_open{.capacity = room, .members = 8, .keep_open = true};

  explicit ChannelTest(const ring_options& with = options) : channel_(*C::create(*this->at_, with)) {}

  C channel_;
};

using channels = testing::Types<channel<std::uint64_t>, channel<std::uint64_t, spsc_ring<std::uint64_t>>,
                                channel<std::uint64_t, mutex_ring<std::uint64_t>>,
                                channel<std::uint64_t, growing_ring<std::uint64_t>>,
                                channel<std::uint64_t, semaphore_ring<std::uint64_t>>,
                                channel<std::uint64_t, boost_ring<std::uint64_t>>, rendezvous<std::uint64_t>>;

template <class C>
class BufferedChannelTest : public ChannelTest<C> {};

TYPED_TEST_SUITE(ChannelTest, channels, channel_name);
TYPED_TEST_SUITE(BufferedChannelTest, buffered_channels, channel_name);

TYPED_TEST(ChannelTest, CarriesMessagesBetweenProcesses) {
  auto in = this->channel_.attach_receiver();
  child sender = this->with_sender([](auto& out) {
    for (std::uint64_t i = 0; i != 1000; ++i) {
      if (out.push(i) != status::ok) return false;
    }
    return true;
  });
  std::uint64_t expected = 0;
  for (const std::uint64_t m : *in) ASSERT_EQ(m, expected++);
  EXPECT_EQ(expected, 1000u);
  EXPECT_TRUE(sender.succeeded());
}

TYPED_TEST(BufferedChannelTest, NobodyYetIsNoEnd) {
  auto in = this->channel_.attach_receiver();
  std::uint64_t m = 0;
  EXPECT_EQ(in->try_pop(m), status::empty);
  EXPECT_EQ(in->pop_for(m, 1ms), status::timed_out);
  auto out = this->channel_.attach_sender();
  EXPECT_EQ(out->try_push(7), status::ok);
  EXPECT_EQ(in->try_pop(m), status::ok);
}

TYPED_TEST(BufferedChannelTest, LastSendersLeavingEndsItOnceItIsDrained) {
  auto in = this->channel_.attach_receiver();
  std::optional first(this->channel_.attach_sender());
  std::optional second(this->channel_.attach_sender());
  ASSERT_EQ((*first)->try_push(1), status::ok);
  ASSERT_EQ((*first)->try_push(2), status::ok);
  first.reset();
  std::uint64_t m = 0;
  ASSERT_EQ(in->try_pop(m), status::ok);
  ASSERT_EQ(in->try_pop(m), status::ok);
  EXPECT_EQ(in->try_pop(m), status::empty);
  ASSERT_EQ((*second)->try_push(3), status::ok);
  second.reset();
  ASSERT_EQ(in->try_pop(m), status::ok);
  EXPECT_EQ(m, 3u);
  EXPECT_EQ(in->try_pop(m), status::closed);
  EXPECT_EQ(in->pop(m), status::closed);
  EXPECT_EQ(in->pop_for(m, 1h), status::closed);
}

TYPED_TEST(BufferedChannelTest, LastReceiversLeavingTellsSenders) {
  auto out = this->channel_.attach_sender();
  std::optional first(this->channel_.attach_receiver());
  std::optional second(this->channel_.attach_receiver());
  first.reset();
  EXPECT_EQ(out->try_push(1), status::ok);
  second.reset();
  EXPECT_EQ(out->try_push(2), status::closed);
  EXPECT_EQ(out->push(2), status::closed);
}

TYPED_TEST(ChannelTest, ABlockedReceiverHearsThatTheOnlySenderWasKilled) {
  child receiver = this->with_receiver([this](auto& in) {
    std::uint64_t m = 0;
    if (in.pop(m) != status::ok || m != 7) return false;
    ++*this->arrived_;
    return in.pop(m) == status::closed;
  });
  child sender = this->with_sender([this](auto& out) { return out.push(7) == status::ok && this->until_killed(); });
  this->await_arrivals(2);
  ASSERT_TRUE(reached([&] { return asleep(receiver.pid()); }));
  this->kill(sender);
  EXPECT_TRUE(receiver.succeeded());
}

TYPED_TEST(ChannelTest, ABlockedSenderHearsThatTheOnlyReceiverWasKilled) {
  child receiver = this->with_receiver([this](auto&) { return this->until_killed(); });
  this->await_arrivals(1);
  child sender = this->with_sender([](auto& out) {
    for (;;) {
      const status s = out.push(1);
      if (s != status::ok) return s == status::closed;
    }
  });
  ASSERT_TRUE(reached([&] { return asleep(sender.pid()); }));
  this->kill(receiver);
  EXPECT_TRUE(sender.succeeded());
}

TYPED_TEST(BufferedChannelTest, OneOfTwoKilledIsNoEnd) {
  auto in = this->channel_.attach_receiver();
  auto out = this->channel_.attach_sender();
  child other = this->with_sender([this](auto&) { return this->until_killed(); });
  this->await_arrivals(1);
  this->kill(other);
  ASSERT_TRUE(reached([&] {
    for (const member& m : this->channel_.members()) {
      if (m.dead) return true;
    }
    return false;
  }));
  std::uint64_t m = 0;
  EXPECT_EQ(in->pop_for(m, 5ms), status::timed_out);
  EXPECT_EQ(out->push(1), status::ok);
  EXPECT_EQ(in->pop(m), status::ok);
}

// A process that ends without running destructors has gone, too.
TYPED_TEST(ChannelTest, AnExitIsALeaving) {
  auto in = this->channel_.attach_receiver();
  child sender = this->with_sender([](auto& out) {
    (void)out.push(1);
    ::_exit(0);
    return true;
  });
  std::uint64_t m = 0;
  EXPECT_EQ(in->pop(m), status::ok);
  EXPECT_EQ(in->pop(m), status::closed);
}

// Everybody was killed: whoever comes next finds what was sent, and then the end.
TYPED_TEST(BufferedChannelTest, TheNextToComeFindsWhatTheDeadHaveLeft) {
  child sender = this->with_sender([this](auto& out) { return out.push(7) == status::ok && this->until_killed(); });
  this->await_arrivals(1);
  this->kill(sender);
  auto in = this->channel_.attach_receiver();
  std::uint64_t m = 0;
  EXPECT_EQ(in->pop(m), status::ok);
  EXPECT_EQ(m, 7u);
  EXPECT_EQ(in->pop(m), status::closed);
}

TYPED_TEST(BufferedChannelTest, AnEndedOneStaysSoUntilItIsUnlinked) {
  { auto out = this->channel_.attach_sender(); }
  auto late = this->channel_.attach_sender();
  ASSERT_TRUE(late);
  EXPECT_EQ(late->try_push(1), status::closed);
  ASSERT_TRUE(TypeParam::unlink(*this->at_));
  auto anew = TypeParam::open_or_create(*this->at_, this->options);
  ASSERT_TRUE(anew);
  auto out = anew->attach_sender();
  EXPECT_EQ(out->try_push(1), status::ok);
}

TYPED_TEST(BufferedChannelTest, CloseEndsItForAllAndTwiceIsOnce) {
  auto in = this->channel_.attach_receiver();
  auto out = this->channel_.attach_sender();
  ASSERT_EQ(out->try_push(1), status::ok);
  in->close();
  out->close();
  in->close();
  EXPECT_EQ(out->try_push(2), status::closed);
  std::uint64_t m = 0;
  EXPECT_EQ(in->try_pop(m), status::ok);
  EXPECT_EQ(in->try_pop(m), status::closed);
}

TYPED_TEST(BufferedChannelTest, AMovedHandleLeavesOnce) {
  auto in = this->channel_.attach_receiver();
  auto made = this->channel_.attach_sender();
  std::optional<typename TestFixture::sending> kept;
  {
    typename TestFixture::sending moved = *std::move(made);
    kept.emplace(std::move(moved));
  }
  std::uint64_t m = 0;
  EXPECT_EQ(kept->try_push(1), status::ok);
  EXPECT_EQ(in->try_pop(m), status::ok);
  EXPECT_EQ(in->try_pop(m), status::empty);
  kept.reset();
  EXPECT_EQ(in->try_pop(m), status::closed);
}

// A child of fork has its parent's objects, not its places.
TYPED_TEST(BufferedChannelTest, AChildsExitIsNotItsParentsLeaving) {
  auto in = this->channel_.attach_receiver();
  std::optional out(this->channel_.attach_sender());
  EXPECT_TRUE(child([&] {
                out.reset();
                return true;
              }).succeeded());
  std::uint64_t m = 0;
  EXPECT_EQ(in->try_pop(m), status::empty);
  EXPECT_EQ((*out)->try_push(1), status::ok);
  EXPECT_EQ(in->try_pop(m), status::ok);
}

TYPED_TEST(ChannelTest, AnInheritedEndIsClosedInAChildOfForkAndNowhereElse) {
  auto first = this->channel_.attach_receiver();
  auto in = std::move(*first);  // where one was moved to counts
  std::uint64_t none = 0;
  EXPECT_EQ(first->try_pop(none), status::closed);
  first->close();
  auto out = this->channel_.attach_sender();
  std::uint64_t m = 0;
  EXPECT_TRUE(child([&] {
                out->close();
                in.close();
                return out->try_push(1) == status::closed && out->push(1) == status::closed &&
                       out->push_for(1, 1h) == status::closed && in.try_pop(m) == status::closed &&
                       in.pop(m) == status::closed && in.pop_for(m, 1h) == status::closed && m == 0 &&
                       this->channel_.attach_sender() && child([&] { return in.pop(m) == status::closed; }).succeeded();
              }).succeeded());
  EXPECT_EQ(in.try_pop(m), status::empty);
  EXPECT_EQ(out->push_for(1, 1ms), this->room == 0 ? status::timed_out : status::ok);
}

TYPED_TEST(ChannelTest, OneThatWasMovedFromSaysSo) {
  const TypeParam moved = std::move(this->channel_);
  const auto end = this->channel_.attach_sender();
  ASSERT_FALSE(end);
  EXPECT_EQ(end.error().code, errc::bad_argument);
  EXPECT_NE(end.error().message.find("moved from"), std::string::npos) << end.error().message;
}

TYPED_TEST(BufferedChannelTest, IsNotTakenForAPlainRing) {
  const auto plain = shared_ring<mpmc_ring<std::uint64_t>>::open(*this->at_);
  ASSERT_FALSE(plain);
  EXPECT_EQ(plain.error().code, errc::incompatible);
  EXPECT_NE(plain.error().message.find("_ring channel of 4 x unsigned long (8 bytes) for 8 members"), std::string::npos)
      << plain.error().message;
}

TYPED_TEST(ChannelTest, OpenersAgreeOnWhatEndsIt) {
  const auto other = TypeParam::open_or_create(*this->at_, this->kept_open);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, errc::incompatible);
  EXPECT_NE(other.error().message.find("expected"), std::string::npos);
  EXPECT_NE(other.error().message.find(", keep_open"), std::string::npos) << other.error().message;
}

TYPED_TEST(ChannelTest, ClosedTwiceIsClosedOnce) {
  auto in = this->channel_.attach_receiver();
  auto out = this->channel_.attach_sender();
  for (int i = 0; i != 2; ++i) {
    i == 0 ? in->close() : out->close();
    std::uint64_t m = 0;
    EXPECT_EQ(out->push(1), status::closed);
    EXPECT_EQ(in->pop(m), status::closed);
  }
}

TEST(Rendezvous, EndsWhenASideHasGone) {
  auto channel = rendezvous<int>::create(location::anonymous(), {.capacity = 0, .members = 4});
  ASSERT_TRUE(channel) << channel.error().message;
  auto in = channel->attach_receiver();
  int m = 0;
  EXPECT_EQ(in->try_pop(m), status::empty);
  {
    auto out = channel->attach_sender();
    EXPECT_EQ(out->try_push(1), status::full);
    EXPECT_EQ(out->push_for(1, 1ms), status::timed_out);
    EXPECT_EQ(in->pop_for(m, 1ms), status::timed_out);
  }
  EXPECT_EQ(in->try_pop(m), status::closed);
  EXPECT_EQ(in->pop(m), status::closed);
}

template <class C>
class KeptOpenTest : public ChannelTest<C> {
 protected:
  KeptOpenTest() : ChannelTest<C>(ChannelTest<C>::kept_open) {}
};
TYPED_TEST_SUITE(KeptOpenTest, buffered_channels, channel_name);

TYPED_TEST(KeptOpenTest, SendersAndReceiversMayComeAndGo) {
  { auto in = this->channel_.attach_receiver(); }
  for (std::uint64_t i = 0; i != 3; ++i) {
    auto out = this->channel_.attach_sender();
    EXPECT_EQ(out->try_push(i), status::ok);
  }
  child killed = this->with_sender([this](auto&) { return this->until_killed(); });
  this->await_arrivals(1);
  this->kill(killed);
  auto in = this->channel_.attach_receiver();
  std::uint64_t m = 0;
  for (std::uint64_t i = 0; i != 3; ++i) {
    EXPECT_EQ(in->pop(m), status::ok);
    EXPECT_EQ(m, i);
  }
  EXPECT_EQ(in->pop_for(m, 5ms), status::timed_out);
  in->close();
  EXPECT_EQ(in->pop(m), status::closed);
}

TEST(InPlaceChannelTest, AKilledSendersReservationIsUndoneAndEndsTheStream) {
  auto made = *channel<std::uint64_t>::create(location::anonymous(), {.capacity = 4, .members = 4});
  auto in = made.attach_receiver();
  shared<std::atomic<bool>> holds;
  child sender([&] {
    auto out = made.attach_sender();
    auto first = out->reserve();
    *first = 7;
    first.commit();
    const auto second = out->reserve_for(1h);
    *holds = bool(second);
    for (;;) ::pause();
    return false;
  });
  ASSERT_TRUE(reached([&] { return holds->load(); }));
  {
    const auto found = in->peek();
    ASSERT_TRUE(found);
    EXPECT_EQ(*found, 7u);
  }
  EXPECT_EQ(in->try_peek().why(), status::busy);
  ASSERT_EQ(::kill(sender.pid(), SIGKILL), 0);
  EXPECT_EQ(in->peek_for(60s).why(), status::closed);
  EXPECT_FALSE(sender.succeeded());
}

struct note {
  int number;
};

TEST(AttributedTest, EachMessageSaysWhoSentIt) {
  using notes = channel<attributed<note>>;
  const scratch at = scratch::posix();
  auto made = notes::create(*at, {.capacity = 16, .members = 4});
  ASSERT_TRUE(made) << made.error().message;
  auto in = made->attach_receiver();
  auto mine = made->attach_sender();
  child other([&] {
    auto theirs = notes::open(*at);
    auto out = theirs->attach_sender();
    return out->push({1}) == status::ok && out->push_for({2}, 60s) == status::ok &&
           out->self() == author{out->self().member, ::getpid(), ::geteuid()};
  });
  const pid_t pid = other.pid();
  std::optional<std::uint32_t> place;
  for (int i = 1; i <= 2; ++i) {
    attributed<note> m{};
    ASSERT_EQ(in->pop(m), status::ok);
    EXPECT_EQ(m.message.number, i);
    EXPECT_EQ(m.from.pid, pid);
    EXPECT_EQ(m.from.uid, ::geteuid());
    if (!place) place = m.from.member;
    EXPECT_EQ(m.from.member, *place);
  }
  EXPECT_TRUE(other.succeeded());
  ASSERT_EQ(mine->try_push({3}), status::ok);
  ASSERT_EQ(mine->push_until({4}, deadline::never()), status::ok);
  mine->close();
  int number = 3;
  for (const attributed<note>& m : *in) {
    EXPECT_EQ(m.message.number, number++);
    EXPECT_EQ(m.from, mine->self());
    EXPECT_EQ(m.from.pid, ::getpid());
    bool listed = false;
    for (const member& who : made->members()) listed = listed || who.place == m.from.member;
    EXPECT_TRUE(listed);
  }
  EXPECT_EQ(number, 5);
}

TEST(AttributedTest, OpenersAgreeOnWhetherMessagesAreSigned) {
  const scratch at = scratch::posix();
  const auto made = channel<attributed<note>>::create(*at, {.capacity = 16});
  ASSERT_TRUE(made);
  for (const auto& opened : {channel<note>::open(*at).error(), channel<attributed<int>>::open(*at).error()}) {
    EXPECT_EQ(opened.code, errc::incompatible);
    EXPECT_NE(opened.message.find("attributed<"), std::string::npos) << opened.message;
  }
}

}  // namespace
}  // namespace millrace
