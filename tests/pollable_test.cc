// A loop that waits with poll or epoll hears of all that a selector would: between real processes.
#include "millrace/pollable.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "millrace/channel.h"
#include "tests/channels.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

// Waits as an application's loop would.
bool readable(const pollable& p, std::chrono::milliseconds within = 60s) {
  pollfd what{p.descriptor(), POLLIN, 0};
  const int found = ::poll(&what, 1, static_cast<int>(within.count()));
  return found == 1 && what.revents == POLLIN;
}

constexpr selection nothing{selection::none, status::busy};

// Polls, and looks, until there is something.
selection awaited_by(pollable& p) {
  for (;;) {
    const selection s = p.try_select();
    if (s != nothing || !readable(p)) return s;
  }
}

template <class C>
class PollableTest : public testing::Test {
 protected:
  static C make() { return *C::create(location::anonymous(), {.capacity = 2, .members = 4}); }

  C a_ = make();
  C b_ = make();
};

TYPED_TEST_SUITE(PollableTest, buffered_channels, channel_name);

TYPED_TEST(PollableTest, IsReadableWhenThereIsAMessageAndNotBefore) {
  auto in = this->a_.attach_receiver();
  auto out = this->a_.attach_sender();
  std::uint64_t m = 0;
  selector any(on_pop(*in, m));
  auto ready = pollable::create(any);
  ASSERT_TRUE(ready) << ready.error().message;
  EXPECT_TRUE(readable(*ready, 0s)) << "it is to be looked at first";
  EXPECT_EQ(ready->try_select(), nothing);
  EXPECT_FALSE(readable(*ready, 20ms));
  for (std::uint64_t i = 1; i != 3; ++i) ASSERT_EQ(out->push(i), status::ok);
  ASSERT_TRUE(readable(*ready));
  EXPECT_TRUE(readable(*ready, 0s)) << "until it is looked at";
  EXPECT_EQ(ready->try_select(), (selection{0, status::ok}));
  EXPECT_EQ(m, 1u);
  EXPECT_TRUE(readable(*ready, 0s)) << "there is more";
  EXPECT_EQ(ready->try_select(), (selection{0, status::ok}));
  EXPECT_EQ(ready->try_select(), nothing);
  EXPECT_FALSE(readable(*ready, 0s));
}

TYPED_TEST(PollableTest, IsReadableWhenThereIsRoom) {
  auto out = this->a_.attach_sender();
  auto in = this->a_.attach_receiver();
  const std::uint64_t next = 5;
  selector any(on_push(*out, next));
  auto ready = *pollable::create(any);
  for (int i = 0; i != 2; ++i) EXPECT_EQ(ready.try_select(), (selection{0, status::ok}));
  EXPECT_EQ(ready.try_select(), nothing);
  std::uint64_t m = 0;
  ASSERT_EQ(in->pop(m), status::ok);
  EXPECT_EQ(awaited_by(ready), (selection{0, status::ok}));
}

// Each message is waited for, so a wake-up that was lost would be missed.
TYPED_TEST(PollableTest, LosesNoWakeUpOfAnotherProcess) {
  constexpr std::uint64_t each = 3000;
  auto in = this->a_.attach_receiver();
  auto back = this->b_.attach_sender();
  child other([&] {
    auto out = this->a_.attach_sender();
    auto answers = this->b_.attach_receiver();
    std::uint64_t m = 0;
    selector any(on_pop(*answers, m));
    auto ready = pollable::create(any);
    if (!ready) return false;
    for (std::uint64_t i = 0; i != each; ++i) {
      if (out->push(i) != status::ok || awaited_by(*ready) != selection{0, status::ok} || m != i) return false;
    }
    return true;
  });
  std::uint64_t m = 0;
  selector any(on_pop(*in, m));
  auto ready = *pollable::create(any);
  for (std::uint64_t i = 0; i != each; ++i) {
    ASSERT_EQ(awaited_by(ready), (selection{0, status::ok}));
    ASSERT_EQ(m, i);
    ASSERT_EQ(back->push(i), status::ok);
  }
  EXPECT_EQ(awaited_by(ready), (selection{0, status::closed}));
  EXPECT_TRUE(other.succeeded());
}

TYPED_TEST(PollableTest, HearsThatTheOnlySenderWasKilled) {
  auto in = this->a_.attach_receiver();
  shared<std::atomic<bool>> sent;
  child sender([&] {
    auto out = this->a_.attach_sender();
    *sent = out->push(7) == status::ok;
    for (;;) ::pause();
    return true;
  });
  std::uint64_t m = 0;
  selector any(on_pop(*in, m));
  auto ready = *pollable::create(any);
  EXPECT_EQ(awaited_by(ready), (selection{0, status::ok}));
  ASSERT_TRUE(reached([&] { return sent->load(); }));
  EXPECT_EQ(ready.try_select(), nothing);
  ASSERT_EQ(::kill(sender.pid(), SIGKILL), 0);
  EXPECT_EQ(awaited_by(ready), (selection{0, status::closed}));
  EXPECT_EQ(ready.try_select(), (selection{0, status::closed})) << "until it is dropped";
  any.drop(0);
  EXPECT_EQ(ready.try_select(), (selection{selection::none, status::closed}));
}

TYPED_TEST(PollableTest, HearsOfAClosing) {
  auto in = this->a_.attach_receiver();
  auto out = this->a_.attach_sender();
  std::uint64_t m = 0;
  selector any(on_pop(*in, m));
  auto ready = *pollable::create(any);
  EXPECT_EQ(ready.try_select(), nothing);
  out->close();
  EXPECT_TRUE(readable(ready));
  EXPECT_EQ(ready.try_select(), (selection{0, status::closed}));
}

// Two channels by one, and two by one each in one epoll, with a pipe between them.
TYPED_TEST(PollableTest, SeveralInOneEpoll) {
  constexpr std::uint64_t each = 300;
  auto c = this->make();
  auto in_a = this->a_.attach_receiver();
  auto in_b = this->b_.attach_receiver();
  auto in_c = c.attach_receiver();
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  std::array<child, 4> senders{child([&] {
                                 auto out = this->a_.attach_sender();
                                 for (std::uint64_t i = 0; i != each; ++i) {
                                   if (out->push(i) != status::ok) return false;
                                 }
                                 return true;
                               }),
                               child([&] {
                                 auto out = this->b_.attach_sender();
                                 for (std::uint64_t i = 0; i != each; ++i) {
                                   if (out->push(i) != status::ok) return false;
                                 }
                                 return true;
                               }),
                               child([&] {
                                 auto out = c.attach_sender();
                                 for (std::uint64_t i = 0; i != each; ++i) {
                                   if (out->push(i) != status::ok) return false;
                                 }
                                 return true;
                               }),
                               child([&] {
                                 for (std::uint64_t i = 0; i != each; ++i) {
                                   if (::write(pipe[1], &i, sizeof i) != sizeof i) return false;
                                 }
                                 return true;
                               })};
  ::close(pipe[1]);

  std::array<std::uint64_t, 3> m{};
  std::array<std::uint64_t, 3> next{};
  selector two(on_pop(*in_a, m[0]), on_pop(*in_b, m[1]));
  selector one(on_pop(*in_c, m[2]));
  auto ready_two = *pollable::create(two);
  auto ready_one = *pollable::create(one);
  const int loop = ::epoll_create1(EPOLL_CLOEXEC);
  for (const int fd : {ready_two.descriptor(), ready_one.descriptor(), pipe[0]}) {
    epoll_event wanted{.events = EPOLLIN, .data = {.fd = fd}};
    ASSERT_EQ(::epoll_ctl(loop, EPOLL_CTL_ADD, fd, &wanted), 0);
  }
  std::uint64_t piped = 0;
  bool pipe_open = true;
  while (two.size() + one.size() != 0 || pipe_open) {
    epoll_event found{};
    ASSERT_EQ(::epoll_wait(loop, &found, 1, 60'000), 1) << "a wake-up is lost";
    if (found.data.fd == pipe[0]) {
      std::uint64_t number = 0;
      const ssize_t n = ::read(pipe[0], &number, sizeof number);
      pipe_open = n > 0;
      if (pipe_open) {
        ASSERT_EQ(number, piped++);
      } else {
        ::close(pipe[0]);
      }
      continue;
    }
    const bool both = found.data.fd == ready_two.descriptor();
    selector& of = both ? two : one;
    pollable& ready = both ? ready_two : ready_one;
    for (selection s = ready.try_select(); s.which != selection::none; s = ready.try_select()) {
      const std::size_t which = both ? s.which : 2;
      if (s.why == status::closed) {
        of.drop(s.which);
      } else {
        ASSERT_EQ(m[which], next[which]++);
      }
    }
  }
  ::close(loop);
  EXPECT_EQ(next, (std::array{each, each, each}));
  EXPECT_EQ(piped, each);
  for (child& s : senders) EXPECT_TRUE(s.succeeded());
}

using line = channel<std::uint64_t>;

TEST(Pollable, MayBeLookedAtAsOftenAsOneLikes) {
  auto made = *line::create(location::anonymous(), {.capacity = 2, .members = 2});
  auto in = made.attach_receiver();
  auto out = made.attach_sender();
  std::uint64_t m = 0;
  selector any(on_pop(*in, m));
  auto ready = *pollable::create(any);
  for (std::uint64_t i = 1; i != 200; ++i) {
    for (std::uint64_t k = 0; k != i % 5; ++k) ASSERT_EQ(ready.try_select(), nothing);
    ASSERT_EQ(out->push(i), status::ok);
    if (i % 2 == 0) {
      ASSERT_TRUE(readable(ready));
    }
    ASSERT_EQ(ready.try_select(), (selection{0, status::ok}));
    ASSERT_EQ(m, i);
  }
}

TEST(Pollable, KnowsWhatIsAddedAndDroppedOnceItIsLookedAt) {
  auto made = *line::create(location::anonymous(), {.capacity = 2, .members = 2});
  auto in = made.attach_receiver();
  auto out = made.attach_sender();
  std::uint64_t m = 0;
  selector any;
  auto ready = *pollable::create(any);
  EXPECT_EQ(ready.try_select(), (selection{selection::none, status::closed}));
  {
    std::optional gone(*line::create(location::anonymous(), {.capacity = 2, .members = 2}));
    std::optional in_gone(gone->attach_receiver());
    ASSERT_EQ(*any.add(on_pop(**in_gone, m)), 0u);
    EXPECT_EQ(ready.try_select(), nothing);
    any.drop(0);
  }  // its memory is unmapped
  ASSERT_EQ(*any.add(on_pop(*in, m)), 0u);
  EXPECT_EQ(ready.try_select(), nothing);
  ASSERT_EQ(out->push(3), status::ok);
  EXPECT_EQ(awaited_by(ready), (selection{0, status::ok}));
  EXPECT_EQ(m, 3u);
}

TEST(Pollable, LeavesNoThreadAndNoDescriptor) {
  auto made = *line::create(location::anonymous(), {.capacity = 2, .members = 2});
  auto in = made.attach_receiver();
  std::uint64_t m = 0;
  selector any(on_pop(*in, m));
  const auto threads = entries("/proc/self/task");
  const auto descriptors = entries("/proc/self/fd");
  for (int i = 0; i != 20; ++i) {
    auto first = *pollable::create(any);
    if (i % 2 == 0) {
      EXPECT_EQ(first.try_select(), nothing);
    }
    pollable moved = std::move(first);
    EXPECT_EQ(moved.try_select(), nothing);
    EXPECT_EQ(entries("/proc/self/fd"), descriptors + 1);
  }
  EXPECT_EQ(entries("/proc/self/fd"), descriptors);
  EXPECT_TRUE(reached([&] { return entries("/proc/self/task") == threads; })) << "one is listed while it ends";
}

// A child has its parent's object, not its thread.
TEST(Pollable, IsItsParentsInAChildOfFork) {
  auto made = *line::create(location::anonymous(), {.capacity = 2, .members = 4});
  auto in = made.attach_receiver();
  auto out = made.attach_sender();
  std::uint64_t m = 0;
  selector any(on_pop(*in, m));
  std::optional ready(*pollable::create(any));
  EXPECT_EQ(ready->try_select(), nothing);
  EXPECT_TRUE(child([&] {
                const selection none{selection::none, status::closed};
                const auto descriptors = entries("/proc/self/fd");
                const bool refused = ready->try_select() == none && any.try_select() == selection{0, status::closed};
                pollable moved = *std::move(ready);
                if (ready->descriptor() != -1 || ready->try_select() != none) return false;
                std::exchange(ready, std::nullopt);
                { const pollable gone = std::move(moved); }
                return refused && entries("/proc/self/fd") == descriptors - 1;
              }).succeeded());
  ASSERT_EQ(out->push(4), status::ok);
  EXPECT_TRUE(readable(*ready));
  EXPECT_EQ(ready->try_select(), (selection{0, status::ok}));
}

}  // namespace
}  // namespace millrace
