// What sleeps and what locks across processes: futex.h, robust_mutex.h and semaphore.h.
#include "millrace/futex.h"

#include <gtest/gtest.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "millrace/event_count.h"
#include "millrace/platform.h"
#include "millrace/semaphore.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

template <class Work>
pid_t start_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work() ? 0 : 1);
  return child;
}

// The exit status (0: its work returned true), or minus the signal that ended it.
int await_child(pid_t child) {
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

using word = std::atomic<std::uint32_t>;

TEST(Futex, DoesNotSleepOnAWordThatHasChanged) {
  const word w{1};
  EXPECT_EQ(futex_wait(w, 0, deadline::never()), wait_result::changed);
}

TEST(Futex, WakesAWaiterInAnotherProcess) {
  const shared<word> w;
  const pid_t child = start_child([&] { return futex_wait(*w, 0, deadline::never()) == wait_result::woken; });
  while (futex_wake_all(*w) == 0) std::this_thread::yield();  // until it sleeps
  EXPECT_EQ(await_child(child), 0);
}

TEST(Futex, WakesEveryWaiter) {
  const shared<word> w;
  const auto wait_for_change = [&] {
    while (w->load() == 0) futex_wait(*w, 0, deadline::never());
    return true;
  };
  const pid_t first = start_child(wait_for_change);
  const pid_t second = start_child(wait_for_change);
  for (int woken = 0; woken < 2;) {  // both at once
    woken = futex_wake_all(*w);
    std::this_thread::yield();
  }
  w->store(1);
  futex_wake_all(*w);
  EXPECT_EQ(await_child(first), 0);
  EXPECT_EQ(await_child(second), 0);
}

// As when somebody keeps changing it: the deadline holds all the same.
TEST(Futex, TimesOutAtOnceOnAWordThatHasChangedWhenTheDeadlineHasPassed) {
  const word w{1};
  EXPECT_EQ(futex_wait(w, 0, deadline::at(deadline::clock::now())), wait_result::timed_out);
  EXPECT_EQ(futex_wait(w, 0, deadline::after(1h)), wait_result::changed);
}

TEST(Futex, WakingNobodyIsHarmless) {
  const word w{0};
  EXPECT_EQ(futex_wake_all(w), 0);
}

TEST(Futex, TimesOutAtTheDeadlineAndNotBefore) {
  const word w{0};
  for (const auto wait : {0ms, 1ms, 50ms}) {
    const auto begin = deadline::clock::now();
    EXPECT_EQ(futex_wait(w, 0, deadline::at(begin + wait)), wait_result::timed_out);
    const auto waited = deadline::clock::now() - begin;
    EXPECT_GE(waited, wait);
    EXPECT_LT(waited, wait + 5s);  // a wrong clock would be off by years; a busy machine is not
  }
}

TEST(Futex, ADeadlineInThePastTimesOutAtOnce) {
  const word w{0};
  EXPECT_EQ(futex_wait(w, 0, deadline::after(-1h)), wait_result::timed_out);
  EXPECT_EQ(futex_wait(w, 0, deadline::at(deadline::clock::now() - 1s)), wait_result::timed_out);
  for (const auto before_the_clock_began : {deadline::clock::time_point(-1ns), deadline::clock::time_point::min()}) {
    EXPECT_EQ(futex_wait(w, 0, deadline::at(before_the_clock_began)), wait_result::timed_out);
  }
}

TEST(Futex, AKilledWaiterLeavesNothingBehind) {
  const shared<word> w;
  const pid_t child = start_child([&] {
    for (;;) futex_wait(*w, 0, deadline::never());
    return false;
  });
  while (futex_wake_all(*w) == 0) std::this_thread::yield();
  ::kill(child, SIGKILL);
  EXPECT_EQ(await_child(child), -SIGKILL);
  EXPECT_EQ(futex_wake_all(*w), 0);
}

// The native platform, counted.
struct counting : native {
  static inline unsigned yielded = 0;
  static inline unsigned fences = 0;

  static void relax(unsigned turn) noexcept {
    yielded += yields(turn) ? 1 : 0;
    native::relax(turn);
  }
  static void heavy_fence() noexcept { ++fences; }
};

// How a wait of that time ends whose `last`th try succeeds.
status wait_for(std::chrono::milliseconds time, unsigned last, unsigned& tries) {
  counting::yielded = counting::fences = tries = 0;
  event_count<counting> event;
  return await(event, deadline::after(time), [&] { return ++tries == last ? status::ok : status::empty; });
}

TEST(Await, ADeadlineThatHasPassedGetsOneTryAndNoMore) {
  unsigned tries = 0;
  EXPECT_EQ(wait_for(0ms, 2, tries), status::timed_out);
  EXPECT_EQ(tries, 1u);
  EXPECT_EQ(counting::fences, 0u);
  EXPECT_EQ(wait_for(-1ms, 1, tries), status::ok);
}

TEST(Await, ACoreIsGivenUpWhereTheDeadlineIsFarAndNotWhereItIsNear) {
  unsigned tries = 0;
  EXPECT_EQ(wait_for(std::chrono::hours(1), 200, tries), status::ok);
  EXPECT_EQ(tries, 200u);
  EXPECT_EQ(counting::yielded, 3u);
  EXPECT_EQ(wait_for(5ms, 200, tries), status::timed_out);
  EXPECT_EQ(counting::yielded, 0u);
}

TEST(Barriers, JoiningSurvivesFork) {
  const auto joined = join_barriers();
  ASSERT_TRUE(joined) << joined.error().message;
  EXPECT_TRUE(join_barriers()) << "may be repeated";
  barrier_in_all_processes();

  constexpr int get_registrations = 1 << 9;  // MEMBARRIER_CMD_GET_REGISTRATIONS: Linux 6.3
  const auto registrations = [] { return ::syscall(SYS_membarrier, get_registrations, 0, 0); };
  if (registrations() < 0) GTEST_SKIP() << "this kernel does not tell what is registered";
  EXPECT_NE(registrations() & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0);
  EXPECT_EQ(await_child(start_child([&] { return (registrations() & MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED) != 0; })),
            0);
}

}  // namespace
}  // namespace millrace
