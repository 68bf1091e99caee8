// What each receiver of a broadcast gets, between real processes: killed, stopped, late and slow ones.
#include "millrace/broadcast.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/port.h"
#include "tests/channels.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

// Of words that depend on one another, and a size that is no multiple of theirs.
struct tick {
  std::uint32_t from = 0;
  std::uint32_t number = 0;
  std::array<std::uint32_t, 7> body{};

  static tick make(std::uint32_t from, std::uint32_t number) {
    tick t{from, number, {}};
    for (std::uint32_t i = 0; i != t.body.size(); ++i) t.body[i] = from * 1000003 + number * 31 + i;
    return t;
  }
  bool whole() const { return body == make(from, number).body; }
};
static_assert(sizeof(tick) % sizeof(std::uint64_t) != 0);

using feed = broadcast<tick>;
static_assert(sending_port<feed::sender> && receiving_port<feed::receiver>);

class BroadcastTest : public ChannelAtTest<feed>, public testing::WithParamInterface<fidelity> {
 protected:
  static constexpr std::uint64_t capacity = 16;

  static ring_options options(fidelity f) { return {.capacity = capacity, .members = 8, .fidelity = f}; }

  explicit BroadcastTest(fidelity f = fidelity::lossless) : feed_(*feed::create(*at_, options(f))) {}

  static void stop(const child& c) {
    ASSERT_EQ(::kill(c.pid(), SIGSTOP), 0);
    siginfo_t how{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(c.pid()), &how, WSTOPPED), 0);
  }

  // Reads to the end. Each sender's come in order and whole; nothing is lost but what is
  // counted, if `each` are sent by each of `senders`.
  static bool reads_all(feed::receiver& in, std::uint32_t senders, std::uint32_t each) {
    std::vector<std::uint32_t> next(senders);
    std::uint64_t got = 0;
    for (const tick& t : in) {
      if (!t.whole() || t.from >= senders || t.number < next[t.from]) return false;
      next[t.from] = t.number + 1;
      ++got;
    }
    tick t;
    return got + in.missed() == std::uint64_t{senders} * each && in.try_pop(t) == status::closed;
  }

  feed feed_;
  shared<std::atomic<std::uint32_t>> sent_;
};

class LossyTest : public BroadcastTest {
 protected:
  LossyTest() : BroadcastTest(fidelity::lossy) {}
};

class EitherTest : public BroadcastTest {
 protected:
  EitherTest() : BroadcastTest(GetParam()) {}
};
INSTANTIATE_TEST_SUITE_P(Broadcast, EitherTest, testing::Values(fidelity::lossless, fidelity::lossy),
                         [](const auto& test) { return test.param == fidelity::lossy ? "Lossy" : "Lossless"; });

TEST_F(BroadcastTest, EveryReceiverGetsEveryMessageOfEverySender) {
  constexpr std::uint32_t senders = 2;
  constexpr std::uint32_t each = 400;
  std::optional kept(*feed_.attach_sender());  // till all have come
  std::vector<child> all;
  for (int i = 0; i != 3; ++i) {
    all.push_back(with_receiver([&](feed::receiver& in) {
      arrive();
      return reads_all(in, senders, each) && in.missed() == 0;
    }));
  }
  await_arrivals(3);
  for (std::uint32_t from = 0; from != senders; ++from) {
    all.push_back(with_sender([&, from](feed::sender& out) {
      arrive();
      for (std::uint32_t i = 0; i != each;) {
        if (i % 3 == 0 && i + 4 <= each) {
          const std::array some{tick::make(from, i), tick::make(from, i + 1), tick::make(from, i + 2),
                                tick::make(from, i + 3)};
          if (out.push_n(some) != batch_result{status::ok, 4}) return false;
          i += 4;
        } else if (out.push(tick::make(from, i++)) != status::ok) {
          return false;
        }
      }
      return true;
    }));
  }
  await_arrivals(3 + senders);
  kept.reset();
  for (child& c : all) EXPECT_TRUE(c.succeeded());
}

TEST_F(LossyTest, WhatAReceiverHasHadAndHasMissedIsAllThatWasSent) {
  constexpr std::uint32_t senders = 2;
  constexpr std::uint32_t each = 20000;
  std::optional kept(*feed_.attach_sender());
  std::vector<child> all;
  for (int i = 0; i != 2; ++i) {
    all.push_back(with_receiver([&](feed::receiver& in) {
      arrive();
      return reads_all(in, senders, each);
    }));
  }
  await_arrivals(2);
  for (std::uint32_t from = 0; from != senders; ++from) {
    all.push_back(with_sender([&, from](feed::sender& out) {
      arrive();
      for (std::uint32_t i = 0; i != each; ++i) {
        if (out.push(tick::make(from, i)) != status::ok) return false;
      }
      return true;
    }));
  }
  await_arrivals(2 + senders);
  kept.reset();
  for (child& c : all) EXPECT_TRUE(c.succeeded());
}

TEST_F(BroadcastTest, IsFullForTheSlowestAndGoesOnWithIt) {
  auto out = feed_.attach_sender();
  auto quick = feed_.attach_receiver();
  auto slow = feed_.attach_receiver();
  tick t;
  for (std::uint32_t i = 0; i != capacity; ++i) {
    ASSERT_EQ(out->try_push(tick::make(0, i)), status::ok);
    ASSERT_EQ(quick->try_pop(t), status::ok);
  }
  EXPECT_EQ(out->try_push(tick::make(0, capacity)), status::full);
  EXPECT_EQ(out->push_for(tick::make(0, capacity), 1ms), status::timed_out);
  EXPECT_EQ(quick->try_pop(t), status::empty);
  EXPECT_EQ(slow->try_pop(t), status::ok);
  EXPECT_EQ(t.number, 0u);
  EXPECT_EQ(out->try_push(tick::make(0, capacity)), status::ok);
  EXPECT_EQ(out->try_push(tick::make(0, capacity)), status::full);
}

TEST_F(LossyTest, TheOvertakenGoesOnWithTheOldestThatIsLeft) {
  auto out = feed_.attach_sender();
  auto in = feed_.attach_receiver();
  for (std::uint32_t i = 0; i != capacity + 5; ++i) ASSERT_EQ(out->try_push(tick::make(0, i)), status::ok);
  EXPECT_EQ(in->size_approx(), capacity);
  std::array<tick, 3> some;
  EXPECT_EQ(in->try_pop_n(some), (batch_result{status::ok, 3}));
  EXPECT_EQ(some[0].number, 5u);
  EXPECT_EQ(in->missed(), 5u);
  for (std::uint32_t i = 8; i != capacity + 5; ++i) {
    EXPECT_EQ(in->try_pop(some[0]), status::ok);
    EXPECT_EQ(some[0].number, i);
  }
  EXPECT_EQ(in->try_pop(some[0]), status::empty);
  EXPECT_EQ(in->missed(), 5u);
}

TEST_P(EitherTest, ABatchLongerThanTheRing) {
  auto out = feed_.attach_sender();
  std::vector<tick> many;
  for (std::uint32_t i = 0; i != 3 * capacity; ++i) many.push_back(tick::make(0, i));
  EXPECT_EQ(out->try_push_n(many), (batch_result{status::ok, many.size()})) << "nobody is there to wait for";
  auto in = feed_.attach_receiver();
  const std::size_t goes = GetParam() == fidelity::lossy ? many.size() : capacity;
  EXPECT_EQ(out->try_push_n(many), (batch_result{goes == many.size() ? status::ok : status::full, goes}));
  EXPECT_EQ(in->try_pop_n(many), (batch_result{status::ok, capacity}));
  EXPECT_EQ(many[0].number, goes - capacity);
}

TEST_P(EitherTest, WhoComesLateGetsWhatIsSentFromThenOn) {
  auto out = feed_.attach_sender();
  auto first = feed_.attach_receiver();
  for (std::uint32_t i = 0; i != 3; ++i) ASSERT_EQ(out->try_push(tick::make(0, i)), status::ok);
  auto late = feed_.attach_receiver();
  tick t;
  EXPECT_EQ(late->try_pop(t), status::empty);
  ASSERT_EQ(out->try_push(tick::make(0, 3)), status::ok);
  EXPECT_EQ(late->try_pop(t), status::ok);
  EXPECT_EQ(t.number, 3u);
  EXPECT_EQ(late->missed(), 0u);
  for (std::uint32_t i = 0; i != 4; ++i) {
    EXPECT_EQ(first->try_pop(t), status::ok);
    EXPECT_EQ(t.number, i);
  }
}

TEST_P(EitherTest, ReceiversMayComeAndGo) {
  auto out = feed_.attach_sender();
  for (std::uint32_t round = 0; round != 20; ++round) {
    auto in = feed_.attach_receiver();
    ASSERT_TRUE(in) << in.error().message;
    for (std::uint32_t i = 0; i != capacity; ++i) ASSERT_EQ(out->try_push(tick::make(0, i)), status::ok);
  }
  EXPECT_EQ(out->try_push(tick::make(0, 0)), status::ok) << "without receivers it goes on";
}

TEST_P(EitherTest, EndsForAllWhenTheLastSenderHasLeft) {
  auto one = feed_.attach_receiver();
  auto two = feed_.attach_receiver();
  {
    auto out = feed_.attach_sender();
    ASSERT_EQ(out->try_push(tick::make(0, 7)), status::ok);
  }
  for (auto* in : {&*one, &*two}) {
    tick t;
    EXPECT_EQ(in->pop(t), status::ok);
    EXPECT_EQ(t.number, 7u);
    EXPECT_EQ(in->pop(t), status::closed);
  }
}

TEST_P(EitherTest, SleepingReceiversHearThatTheLastSenderWasKilled) {
  std::vector<child> receivers;
  for (int i = 0; i != 2; ++i) {
    receivers.push_back(with_receiver([this](feed::receiver& in) {
      arrive();
      tick t;
      return in.pop(t) == status::ok && t.number == 7 && in.pop(t) == status::closed;
    }));
  }
  await_arrivals(2);
  child sender =
      with_sender([this](feed::sender& out) { return out.push(tick::make(0, 7)) == status::ok && until_killed(); });
  await_arrivals(3);
  for (child& r : receivers) ASSERT_TRUE(reached([&] { return asleep(r.pid()); }));
  kill(sender);
  for (child& r : receivers) EXPECT_TRUE(r.succeeded());
}

TEST_F(BroadcastTest, AKilledReceiverIsNotWaitedFor) {
  child dead = with_receiver([this](feed::receiver&) { return until_killed(); });
  await_arrivals(1);
  auto in = feed_.attach_receiver();
  child sender = with_sender([](feed::sender& out) {
    for (std::uint32_t i = 0; i != 3 * capacity; ++i) {
      if (out.push(tick::make(0, i)) != status::ok) return false;
    }
    return true;
  });
  tick t;
  for (std::uint32_t i = 0; i != capacity; ++i) ASSERT_EQ(in->pop(t), status::ok);
  EXPECT_EQ(in->pop_for(t, 5ms), status::timed_out) << "the other is waited for as long as it lives";
  ASSERT_TRUE(reached([&] { return asleep(sender.pid()); }));
  kill(dead);
  for (std::uint32_t i = capacity; i != 3 * capacity; ++i) {
    ASSERT_EQ(in->pop(t), status::ok);
    EXPECT_EQ(t.number, i);
  }
  EXPECT_TRUE(sender.succeeded());
}

TEST_F(BroadcastTest, AStoppedReceiverIsWaitedFor) {
  child slow = with_receiver([this](feed::receiver& in) {
    arrive();
    return reads_all(in, 1, 3 * capacity) && in.missed() == 0;
  });
  await_arrivals(1);
  stop(slow);
  {
    auto out = feed_.attach_sender();
    for (std::uint32_t i = 0; i != capacity; ++i) ASSERT_EQ(out->push(tick::make(0, i)), status::ok);
    EXPECT_EQ(out->push_for(tick::make(0, capacity), 5ms), status::timed_out);
    ASSERT_EQ(::kill(slow.pid(), SIGCONT), 0);
    for (std::uint32_t i = capacity; i != 3 * capacity; ++i) ASSERT_EQ(out->push(tick::make(0, i)), status::ok);
  }
  EXPECT_TRUE(slow.succeeded());
}

TEST_F(LossyTest, AStoppedReceiverHarmsNobodyAndKnowsWhatItMissed) {
  constexpr std::uint32_t many = 50 * capacity;
  child slow = with_receiver([this](feed::receiver& in) {
    arrive();
    return reads_all(in, 1, many) && in.missed() == many - capacity;
  });
  await_arrivals(1);
  stop(slow);
  auto in = feed_.attach_receiver();
  {
    auto out = feed_.attach_sender();
    tick t;
    for (std::uint32_t i = 0; i != many; ++i) {
      ASSERT_EQ(out->try_push(tick::make(0, i)), status::ok);
      ASSERT_EQ(in->try_pop(t), status::ok);
      ASSERT_EQ(t.number, i);
    }
    EXPECT_EQ(in->missed(), 0u);
  }
  ASSERT_EQ(::kill(slow.pid(), SIGCONT), 0);
  EXPECT_TRUE(slow.succeeded());
}

// Killed again and again, anywhere in a push: what comes is whole, each sender's in order,
// and a receiver that was there all along has had or missed the same as any other.
TEST_P(EitherTest, SendersAreKilledAnywhere) {
  const auto kept = feed_.attach_sender();  // so that it does not end with the first
  auto one = feed_.attach_receiver();
  auto two = feed_.attach_receiver();
  constexpr std::uint32_t senders = 12;
  std::vector<tick> seen[2];
  const auto read = [&](std::size_t who, feed::receiver& in) {
    tick t;
    while (in.try_pop(t) == status::ok) {
      ASSERT_TRUE(t.whole());
      seen[who].push_back(t);
    }
  };
  for (std::uint32_t from = 0; from != senders; ++from) {
    *sent_ = 0;
    child sender = with_sender([&, from](feed::sender& out) {
      for (std::uint32_t i = 0;; i += 2) {
        const std::array some{tick::make(from, i), tick::make(from, i + 1)};
        if (out.push_n(some).why != status::ok) return false;
        sent_->store(i + 2);
      }
    });
    ASSERT_TRUE(reached([&] {
      read(0, *one);
      read(1, *two);
      return *sent_ >= 20 + 7 * from;
    }));
    kill(sender);
    if (from + 1 == senders) break;
    read(0, *one);
    read(1, *two);
  }
  while (one->try_pop(seen[0].emplace_back()) == status::ok) {
  }
  while (two->try_pop(seen[1].emplace_back()) == status::ok) {
  }
  for (auto& s : seen) s.pop_back();
  EXPECT_EQ(seen[0].size() + one->missed(), seen[1].size() + two->missed());
  for (const auto& s : seen) {
    for (std::size_t i = 1; i != s.size(); ++i) {
      const bool later = s[i].from > s[i - 1].from || (s[i].from == s[i - 1].from && s[i].number > s[i - 1].number);
      ASSERT_TRUE(later);
      if (GetParam() == fidelity::lossless && s[i].from == s[i - 1].from) {
        ASSERT_EQ(s[i].number, s[i - 1].number + 1);
      }
    }
  }
}

TEST_P(EitherTest, OpenersAgreeOnWhatBecomesOfTheSlow) {
  const fidelity other = GetParam() == fidelity::lossy ? fidelity::lossless : fidelity::lossy;
  const auto wrong = feed::open_or_create(*at_, options(other));
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().code, errc::incompatible);
  EXPECT_NE(wrong.error().message.find("members, lossy"), std::string::npos) << wrong.error().message;
  EXPECT_TRUE(feed::open_or_create(*at_, options(GetParam())));
}

TEST_F(BroadcastTest, IsNotTakenForAChannel) {
  const auto other = channel<tick>::open(*at_);
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code, errc::incompatible);
  EXPECT_FALSE(feed::create(location::anonymous(), {.capacity = 0}));
}

TEST_P(EitherTest, AnInheritedEndIsClosedInAChildOfFork) {
  auto in = feed_.attach_receiver();
  auto out = feed_.attach_sender();
  tick t;
  EXPECT_TRUE(child([&] {
                out->close();
                return out->try_push(tick::make(0, 0)) == status::closed && in->pop(t) == status::closed;
              }).succeeded());
  ASSERT_EQ(out->try_push(tick::make(0, 0)), status::ok);
  EXPECT_EQ(in->try_pop(t), status::ok);
}

TEST_P(EitherTest, CloseEndsItForAll) {
  auto in = feed_.attach_receiver();
  auto out = feed_.attach_sender();
  ASSERT_EQ(out->try_push(tick::make(0, 0)), status::ok);
  in->close();
  out->close();
  EXPECT_EQ(out->try_push(tick::make(0, 1)), status::closed);
  EXPECT_EQ(out->push(tick::make(0, 1)), status::closed);
  tick t;
  EXPECT_EQ(in->try_pop(t), status::ok);
  EXPECT_EQ(in->try_pop(t), status::closed);
}

// For ThreadSanitizer, too: senders overwrite what receivers copy.
TEST_P(EitherTest, Threads) {
  constexpr std::uint32_t senders = 2;
  constexpr std::uint32_t each = 400;
  std::optional kept(*feed_.attach_sender());
  std::vector<feed::receiver> receivers;
  for (int i = 0; i != 2; ++i) receivers.push_back(*feed_.attach_receiver());
  std::atomic<int> whole{0};
  {
    std::vector<std::jthread> all;
    for (feed::receiver& in : receivers) all.emplace_back([&] { whole += reads_all(in, senders, each) ? 1 : 0; });
    std::vector<std::jthread> sending;
    for (std::uint32_t from = 0; from != senders; ++from) {
      sending.emplace_back([&, from] {
        auto out = feed_.attach_sender();
        for (std::uint32_t i = 0; i != each; ++i) (void)out->push(tick::make(from, i));
      });
    }
    sending.clear();
    kept.reset();
  }
  EXPECT_EQ(whole, 2);
}

// A sender that was overtaken by a truncation stores what it had intended before.
TEST(BroadcastRing, SaysCorruptWhereTheTailIsBeyondTheIntent) {
  using ring = broadcast_ring<std::uint64_t>;
  constexpr geometry shape{.capacity = 4, .members = 1};
  ASSERT_TRUE(join_barriers());
  alignas(line_bytes) std::array<std::uint64_t, 512> memory{};
  ASSERT_LE(ring::bytes(shape), sizeof memory);
  ring::construct(memory.data(), shape);
  ring receiver(memory.data(), shape, {roster<native>(memory.data(), 0), 0});
  receiver.begin_receiving();
  ring::construct_cut_off(memory.data(), shape);
  const auto intent = std::find(memory.rbegin(), memory.rend(), std::uint64_t{1} << 62);
  ASSERT_NE(intent, memory.rend());
  *intent = 1;
  std::uint64_t m = 0;
  EXPECT_EQ(receiver.try_pop(m), status::corrupt);
}

}  // namespace
}  // namespace millrace
