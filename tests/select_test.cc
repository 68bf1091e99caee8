// Selecting among rings and channels of any kind, between real processes.
#include "millrace/select.h"

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
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/attributed.h"
#include "millrace/byte_channel.h"
#include "millrace/channel.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/channels.h"
#include "tests/support.h"
#include "verify/crash/halting.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

template <class C>
class SelectTest : public GatheringTest {
 protected:
  static C make(std::uint64_t capacity = 2) {
    return *C::create(location::anonymous(), {.capacity = capacity, .members = 4});
  }

  C a_ = make();
  C b_ = make();
};

TYPED_TEST_SUITE(SelectTest, buffered_channels, channel_name);

TYPED_TEST(SelectTest, DoesExactlyTheOneThatCanBeDone) {
  auto in_a = this->a_.attach_receiver();
  auto in_b = this->b_.attach_receiver();
  auto out_b = this->b_.attach_sender();
  std::uint64_t from_a = 0;
  std::uint64_t from_b = 0;
  selector any(on_pop(*in_a, from_a), on_pop(*in_b, from_b));
  EXPECT_EQ(any.try_select(), (selection{selection::none, status::busy}));
  ASSERT_EQ(out_b->push(7), status::ok);
  EXPECT_EQ(any.select(), (selection{1, status::ok}));
  EXPECT_EQ(from_b, 7u);
  EXPECT_EQ(from_a, 0u);
  EXPECT_EQ(any.try_select(), (selection{selection::none, status::busy}));
}

TYPED_TEST(SelectTest, PushesWhatTheMessageHoldsThen) {
  auto out_a = this->a_.attach_sender();
  auto in_a = this->a_.attach_receiver();
  auto in_b = this->b_.attach_receiver();
  std::uint64_t next = 0;
  std::uint64_t from_b = 0;
  selector any(on_push(*out_a, next), on_pop(*in_b, from_b));
  for (next = 1; next != 3; ++next) EXPECT_EQ(any.select(), (selection{0, status::ok}));
  EXPECT_EQ(any.select_for(1ms), (selection{selection::none, status::timed_out})) << "a is full and b empty";
  std::uint64_t m = 0;
  for (std::uint64_t expected = 1; expected != 3; ++expected) {
    ASSERT_EQ(in_a->try_pop(m), status::ok);
    EXPECT_EQ(m, expected);
  }
}

TYPED_TEST(SelectTest, TimesOutNotBeforeTheDeadline) {
  auto in_a = this->a_.attach_receiver();
  auto in_b = this->b_.attach_receiver();
  auto out_a = this->a_.attach_sender();
  std::uint64_t m = 0;
  selector any(on_pop(*in_a, m), on_pop(*in_b, m));
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(any.select_for(20ms), (selection{selection::none, status::timed_out}));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  ASSERT_EQ(out_a->push(1), status::ok);
  EXPECT_EQ(any.select_for(-1h), (selection{0, status::ok})) << "a deadline that has passed still gets one look";
  EXPECT_EQ(any.select_until(deadline::at(deadline::clock::time_point::min())).why, status::timed_out);
}

// Each in turn is the only one that can be done, for a selector that sleeps.
TYPED_TEST(SelectTest, ASleeperIsWokenByAPushToAny) {
  child sleeper([&] {
    auto in_a = this->a_.attach_receiver();
    auto in_b = this->b_.attach_receiver();
    std::uint64_t m = 0;
    selector any(on_pop(*in_a, m), on_pop(*in_b, m));
    for (std::uint64_t i = 0; i != 6; ++i) {
      *this->arrived_ = static_cast<int>(i) + 1;
      if (any.select() != selection{i % 2, status::ok} || m != i) return false;
    }
    return true;
  });
  auto out_a = this->a_.attach_sender();
  auto out_b = this->b_.attach_sender();
  for (std::uint64_t i = 0; i != 6; ++i) {
    this->await_arrivals(static_cast<int>(i) + 1);
    ASSERT_TRUE(reached([&] { return asleep(sleeper.pid()); }));
    ASSERT_EQ((i % 2 == 0 ? out_a : out_b)->push(i), status::ok);
  }
  EXPECT_TRUE(sleeper.succeeded());
}

TYPED_TEST(SelectTest, ASleeperIsWokenByRoomInAny) {
  auto out_a = this->a_.attach_sender();
  auto out_b = this->b_.attach_sender();
  for (const std::uint64_t i : {1u, 2u}) {
    ASSERT_EQ(out_a->push(i), status::ok);
    ASSERT_EQ(out_b->push(i), status::ok);
  }
  auto stays = this->b_.attach_receiver();
  child popper([&] {
    auto in = this->b_.attach_receiver();
    std::uint64_t m = 0;
    return reached([&] { return asleep(::getppid()); }) && in->pop(m) == status::ok && m == 1;
  });
  const std::uint64_t m = 3;
  selector any(on_push(*out_a, m), on_push(*out_b, m));
  EXPECT_EQ(any.select(), (selection{1, status::ok}));
  EXPECT_TRUE(popper.succeeded());
}

TYPED_TEST(SelectTest, ClosedIsReadyUntilItIsDropped) {
  auto in_a = this->a_.attach_receiver();
  auto in_b = this->b_.attach_receiver();
  std::optional out_a(this->a_.attach_sender());
  auto out_b = this->b_.attach_sender();
  std::uint64_t m = 0;
  selector any(on_pop(*in_a, m), on_pop(*in_b, m));
  ASSERT_EQ((*out_a)->push(1), status::ok);
  out_a.reset();
  EXPECT_EQ(any.select(), (selection{0, status::ok})) << "what was sent comes first";
  EXPECT_EQ(any.select(), (selection{0, status::closed}));
  EXPECT_EQ(any.select(), (selection{0, status::closed}));
  any.drop(0);
  any.drop(0);
  EXPECT_EQ(any.try_select(), (selection{selection::none, status::busy}));
  EXPECT_EQ(any.size(), 1u);
  ASSERT_EQ(out_b->push(2), status::ok);
  EXPECT_EQ(any.select(), (selection{1, status::ok}));
  out_b->close();
  EXPECT_EQ(any.select(), (selection{1, status::closed}));
  any.drop(1);
  EXPECT_EQ(any.select(), (selection{selection::none, status::closed})) << "there is nothing to wait for";
  EXPECT_EQ(*any.add(on_pop(*in_b, m)), 0u) << "the lowest number that is free";
}

TYPED_TEST(SelectTest, ASleeperHearsThatTheOnlySenderOfOneWasKilled) {
  auto out_a = this->a_.attach_sender();
  child sleeper([&] {
    auto in_a = this->a_.attach_receiver();
    auto in_b = this->b_.attach_receiver();
    ++*this->arrived_;
    std::uint64_t m = 0;
    selector any(on_pop(*in_a, m), on_pop(*in_b, m));
    return any.select() == selection{1, status::ok} && m == 7 && any.select() == selection{1, status::closed};
  });
  child sender([&] {
    auto out_b = this->b_.attach_sender();
    return out_b->push(7) == status::ok && this->until_killed();
  });
  this->await_arrivals(2);
  ASSERT_TRUE(reached([&] { return asleep(sleeper.pid()); }));
  ASSERT_EQ(::kill(sender.pid(), SIGKILL), 0);
  EXPECT_TRUE(sleeper.succeeded());
}

TYPED_TEST(SelectTest, ServesEachThatIsReadyOnceARound) {
  std::vector<TypeParam> all;
  std::vector<typename TypeParam::sender> out;
  std::vector<typename TypeParam::receiver> in;
  std::array<std::uint64_t, 5> m{};
  for (std::size_t i = 0; i != m.size(); ++i) {
    all.push_back(this->make(4));
    out.push_back(*all[i].attach_sender());
    in.push_back(*all[i].attach_receiver());
    for (std::uint64_t k = 0; k != 4; ++k) ASSERT_EQ(out[i].push(k), status::ok);
  }
  selector any;
  for (std::size_t i = 0; i != m.size(); ++i) EXPECT_EQ(*any.add(on_pop(in[i], m[i])), i);
  for (std::uint64_t round = 0; round != 4; ++round) {
    for (std::size_t i = 0; i != m.size(); ++i) {
      EXPECT_EQ(any.select(), (selection{i, status::ok}));
      EXPECT_EQ(m[i], round);
    }
  }
}

struct quote {
  long price;
  int size;
};

// Kinds, message types and directions of all sorts, in one.
TEST(SelectorTest, TakesAnyOfAnyKind) {
  auto quotes = *channel<quote>::create(location::anonymous(), {.capacity = 2, .members = 2});
  auto words = *channel<char, spsc_ring<char>>::create(location::anonymous(), {.capacity = 2, .members = 2});
  auto numbers = *shared_ring<mutex_ring<int>>::create(location::anonymous(), {.capacity = 1, .members = 2});
  auto out = quotes.attach_sender();
  auto in = quotes.attach_receiver();
  auto letters = words.attach_receiver();
  auto plain = numbers.attach();
  quote q{};
  char c = 0;
  const int n = 5;
  selector any(on_pop(*in, q), on_pop(*letters, c), on_push(*plain, n));
  EXPECT_EQ(any.select(), (selection{2, status::ok}));
  EXPECT_EQ(any.select_for(1ms).why, status::timed_out);
  ASSERT_EQ(out->push({100, 3}), status::ok);
  EXPECT_EQ(any.select(), (selection{0, status::ok}));
  EXPECT_EQ(q.price, 100);
  EXPECT_EQ(q.size, 3);
}

TEST(SelectorTest, TakesMessagesOfAnyLengthAndSignedOnes) {
  auto lines = *byte_channel::create(location::anonymous(), {.capacity = 1, .members = 2, .max_message = 8});
  auto signed_quotes = *channel<attributed<quote>>::create(location::anonymous(), {.capacity = 1, .members = 2});
  auto lines_out = lines.attach_sender();
  auto lines_in = lines.attach_receiver();
  auto quotes_out = signed_quotes.attach_sender();
  auto quotes_in = signed_quotes.attach_receiver();
  std::array<std::byte, 8> room{};
  byte_channel::buffer line{room};
  attributed<quote> got{};
  const quote asked{100, 3};
  const std::string_view text = "ab";
  std::span<const std::byte> next = std::as_bytes(std::span(text));
  selector any(on_pop(*lines_in, line), on_pop(*quotes_in, got), on_push(*quotes_out, asked),
               on_push(*lines_out, next));
  std::array<int, 4> done{};
  for (int i = 0; i != 8; ++i) {
    const selection s = any.select();
    ASSERT_EQ(s.why, status::ok);
    ++done[s.which];
  }
  EXPECT_EQ(done, (std::array{2, 2, 2, 2}));
  EXPECT_TRUE(std::ranges::equal(line.message(), next));
  EXPECT_EQ(got.message.price, 100);
  EXPECT_EQ(got.from, quotes_out->self());
  next = std::as_bytes(std::span("much too long"));
  any.drop(0);
  any.drop(1);
  any.drop(2);
  EXPECT_EQ(any.select(), (selection{3, status::too_long}));
}

template <class Port, class Message>
concept may_be_pushed = requires(Port& out, Message&& m) {
  on_push(out, std::forward<Message>(m));
};

TEST(SelectorTest, TakesNoMessageThatWouldBeGone) {
  using port = channel<quote>::sender;
  EXPECT_TRUE((may_be_pushed<port, quote&>));
  EXPECT_TRUE((may_be_pushed<port, const quote&>));
  EXPECT_FALSE((may_be_pushed<port, quote>));
}

TEST(SelectorTest, SleepsOnAsManyAsTheKernelTakesAndRefusesMore) {
  using line = shared_ring<spsc_ring<std::uint64_t>>;
  auto segment = *line::create(location::anonymous(), {.capacity = 1, .members = 3});
  auto last = *line::create(location::anonymous(), {.capacity = 1, .members = 3});
  auto quiet = *segment.attach();
  auto in = *last.attach();
  std::uint64_t m = 0;
  selector any;
  for (std::size_t i = 0; i != 126; ++i) ASSERT_EQ(*any.add(on_pop(quiet, m)), i);
  ASSERT_EQ(*any.add(on_pop(in, m)), 126u);
  const auto refused = any.add(on_pop(in, m));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::limit);
  EXPECT_NE(refused.error().message.find("at most 127"), std::string::npos) << refused.error().message;
  child pusher([&] {
    auto out = *last.attach();
    return reached([&] { return asleep(::getppid()); }) && out.push(9) == status::ok;
  });
  EXPECT_EQ(any.select(), (selection{126, status::ok}));
  EXPECT_EQ(m, 9u);
  EXPECT_TRUE(pusher.succeeded());
}

// Two selectors and three rings; each message comes once, and a sender's in order.
TEST(SelectorTest, ManyProcessesLoseAndDoubleNothing) {
  constexpr std::uint64_t each = 3000;
  using line = channel<std::uint64_t>;
  std::vector<line> lines;
  for (std::uint64_t capacity : {1u, 2u, 64u}) {
    lines.push_back(*line::create(location::anonymous(), {.capacity = capacity, .members = 8}));
  }
  shared<std::array<std::array<std::atomic<int>, each>, 3>> came;
  std::vector<line::sender> kept;  // until all have come
  for (line& l : lines) kept.push_back(*l.attach_sender());
  shared<std::atomic<int>> arrived;
  std::vector<child> children;
  for (int s = 0; s != 2; ++s) {
    children.emplace_back([&] {
      std::vector<line::receiver> in;
      std::array<std::uint64_t, 3> m{};
      std::array<std::uint64_t, 3> next{};
      selector any;
      for (std::size_t i = 0; i != 3; ++i) in.push_back(*lines[i].attach_receiver());
      for (std::size_t i = 0; i != 3; ++i) (void)any.add(on_pop(in[i], m[i]));
      ++*arrived;
      while (any.size() != 0) {
        const selection got = any.select_for(60s);
        if (got.why == status::closed) {
          any.drop(got.which);
          continue;
        }
        if (got.why != status::ok || m[got.which] < next[got.which]) return false;
        next[got.which] = m[got.which] + 1;
        ++(*came)[got.which][m[got.which]];
      }
      return true;
    });
  }
  // Senders that select, too: whichever has room.
  children.emplace_back([&] {
    std::vector<line::sender> out;
    std::array<std::uint64_t, 3> m{};
    selector any;
    for (std::size_t i = 0; i != 3; ++i) out.push_back(*lines[i].attach_sender());
    for (std::size_t i = 0; i != 3; ++i) (void)any.add(on_push(out[i], m[i]));
    ++*arrived;
    while (any.size() != 0) {
      const selection done = any.select_for(60s);
      if (done.why != status::ok) return false;
      if (++m[done.which] == each) any.drop(done.which);
    }
    return true;
  });
  ASSERT_TRUE(reached([&] { return *arrived == 3; }));
  kept.clear();
  for (child& c : children) EXPECT_TRUE(c.succeeded());
  for (const auto& line_came : *came) {
    for (const std::atomic<int>& count : line_came) ASSERT_EQ(count, 1);
  }
}

// One of them has stopped in the midst of a call, alive: a selector that can do nothing
// sleeps, and goes on when that one is killed.
template <class Ring>
void sleeps_while_another_is_stopped(std::uint64_t capacity = 1) {
  auto segment = *shared_ring<Ring>::create(location::anonymous(), {.capacity = capacity, .members = 4});
  shared<std::atomic<int>> arrived;
  child stopped([&] {
    auto mine = *segment.attach();
    crash::halting::at_message = [&] {
      ++*arrived;
      for (;;) ::pause();
    };
    return mine.try_push({}) == status::ok;
  });
  ASSERT_TRUE(reached([&] { return *arrived == 1; }));
  child sleeper([&] {
    auto mine = *segment.attach();
    typename Ring::value_type m{};
    ++*arrived;
    basic_selector<crash::halting> any(on_push(mine, m), on_pop(mine, m));
    return any.select() == selection{0, status::ok};
  });
  ASSERT_TRUE(reached([&] { return *arrived == 2 && asleep(sleeper.pid()); }));
  ASSERT_EQ(::kill(stopped.pid(), SIGKILL), 0);
  EXPECT_TRUE(sleeper.succeeded());
}

struct halves {
  std::uint64_t first;
  std::uint64_t second;
};

TEST(SelectorTest, SleepsWhileALockIsHeld) {
  sleeps_while_another_is_stopped<mutex_ring<halves, crash::halting>>();
  sleeps_while_another_is_stopped<semaphore_ring<halves, crash::halting>>();
  sleeps_while_another_is_stopped<semaphore_ring<halves, crash::halting>>(2);  // a permit is left
}

TEST(SelectorTest, SleepsWhileASlotIsHeld) { sleeps_while_another_is_stopped<mpmc_ring<halves, crash::halting>>(); }

TEST(SelectorTest, PassesOnWhatIsRedelivered) {
  using ring = mpmc_ring<halves, crash::halting>;
  auto segment = *shared_ring<ring>::create(location::anonymous(), {.capacity = 2, .members = 4});
  auto other = *shared_ring<ring>::create(location::anonymous(), {.capacity = 2, .members = 4});
  auto mine = *segment.attach();
  auto idle = *other.attach();
  ASSERT_EQ(mine.try_push({7, 7}), status::ok);
  shared<std::atomic<int>> arrived;
  child popper([&] {
    auto theirs = *segment.attach();
    crash::halting::at_message = [&] {
      ++*arrived;
      for (;;) ::pause();
    };
    halves m{};
    return theirs.try_pop(m) == status::ok;
  });
  ASSERT_TRUE(reached([&] { return *arrived == 1; }));
  ASSERT_EQ(::kill(popper.pid(), SIGKILL), 0);
  halves m{};
  basic_selector<crash::halting> any(on_pop(idle, m), on_pop(mine, m));
  EXPECT_EQ(any.select(), (selection{1, status::redelivered}));
  EXPECT_EQ(m.second, 7u);
}

}  // namespace
}  // namespace millrace
