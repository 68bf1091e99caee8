// What sleeps and what locks across processes: futex.h, robust_mutex.h and semaphore.h.
#include "millrace/futex.h"

#include <gtest/gtest.h>
#include <linux/membarrier.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <new>
#include <thread>

#include "millrace/platform.h"
#include "millrace/robust_mutex.h"
#include "millrace/semaphore.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

// A T in memory that forked children share.
template <class T>
class shared {
 public:
  shared()
      : at_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        value_(::new (at_) T()) {}
  shared(const shared&) = delete;
  shared& operator=(const shared&) = delete;
  ~shared() { ::munmap(at_, sizeof(T)); }

  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  void* at_;
  T* value_;
};

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

// Locks in a child that is killed while it holds the mutex.
void die_holding(robust_mutex& mutex, lock_result expected) {
  ASSERT_EQ(await_child(start_child([&] {
              if (mutex.lock_until(deadline::never()) != expected) return false;
              ::raise(SIGKILL);
              return true;
            })),
            -SIGKILL);
}

TEST(RobustMutex, ExcludesOtherProcesses) {
  const shared<robust_mutex> mutex;
  ASSERT_EQ(mutex->try_lock(), lock_result::locked);
  EXPECT_EQ(await_child(start_child([&] { return mutex->try_lock() == lock_result::timed_out; })), 0);
  mutex->unlock();
  EXPECT_EQ(await_child(start_child([&] {
              const bool got = mutex->try_lock() == lock_result::locked;
              mutex->unlock();
              return got;
            })),
            0);
}

TEST(RobustMutex, TimesOutAtTheDeadlineAndNotBefore) {
  const shared<robust_mutex> mutex;
  ASSERT_EQ(mutex->try_lock(), lock_result::locked);
  EXPECT_EQ(await_child(start_child([&] {
              const auto begin = deadline::clock::now();
              const bool timed_out = mutex->lock_until(deadline::at(begin + 50ms)) == lock_result::timed_out;
              const auto waited = deadline::clock::now() - begin;
              return timed_out && waited >= 50ms && waited < 5s;
            })),
            0);
  mutex->unlock();
}

TEST(RobustMutex, AfterADeathTheNextLockerHearsOfItAndRepairs) {
  for (const bool timed : {false, true}) {
    const shared<robust_mutex> mutex;
    ASSERT_NO_FATAL_FAILURE(die_holding(*mutex, lock_result::locked));
    const auto got = timed ? mutex->lock_until(deadline::after(1min)) : mutex->try_lock();
    ASSERT_EQ(got, lock_result::owner_died);
    mutex->make_consistent();
    mutex->unlock();
    EXPECT_EQ(mutex->try_lock(), lock_result::locked) << "works again";
    mutex->unlock();
  }
}

TEST(RobustMutex, ASleepingLockerHearsOfTheDeath) {
  const shared<robust_mutex> mutex;
  const shared<word> held;
  const pid_t holder = start_child([&] {
    if (mutex->try_lock() != lock_result::locked) return false;
    held->store(1);
    futex_wake_all(*held);
    for (;;) ::pause();
    return true;
  });
  while (held->load() == 0) futex_wait(*held, 0, deadline::never());
  const pid_t locker = start_child([&] { return mutex->lock_until(deadline::after(1min)) == lock_result::owner_died; });
  ::kill(holder, SIGKILL);
  EXPECT_EQ(await_child(holder), -SIGKILL);
  EXPECT_EQ(await_child(locker), 0);
}

TEST(RobustMutex, ARepairerThatDiesHandsTheRepairOn) {
  const shared<robust_mutex> mutex;
  ASSERT_NO_FATAL_FAILURE(die_holding(*mutex, lock_result::locked));
  ASSERT_NO_FATAL_FAILURE(die_holding(*mutex, lock_result::owner_died));
  ASSERT_EQ(mutex->try_lock(), lock_result::owner_died);
  mutex->make_consistent();
  mutex->unlock();
}

TEST(RobustMutex, UnlockedWithoutRepairItIsUnrecoverableForEverybody) {
  const shared<robust_mutex> mutex;
  ASSERT_NO_FATAL_FAILURE(die_holding(*mutex, lock_result::locked));
  ASSERT_EQ(mutex->try_lock(), lock_result::owner_died);
  mutex->unlock();
  const auto finds_out = [&] {
    return mutex->try_lock() == lock_result::unrecoverable &&
           mutex->lock_until(deadline::after(10s)) == lock_result::unrecoverable;
  };
  EXPECT_TRUE(finds_out());
  EXPECT_TRUE(finds_out()) << "finding out does not take it";
  EXPECT_EQ(await_child(start_child(finds_out)), 0);
}

// Models count to two or three: here are the bits that they do not reach.
TEST(Semaphore, CountsUpToItsLimitClosedOrNot) {
  constexpr std::uint32_t most = 2'147'483'647;
  semaphore<native> permits(most);
  for (const bool closed : {false, true}) {
    if (closed) permits.close();
    std::uint32_t got = 0;
    ASSERT_EQ(permits.try_acquire(most, got), status::ok);
    EXPECT_EQ(got, most);
    EXPECT_EQ(permits.try_acquire(1, got), closed ? status::closed : status::empty);
    permits.release(most);
  }
}

}  // namespace
}  // namespace millrace
