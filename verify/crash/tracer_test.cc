// A breakpoint is for one thread; the others of its process run the same text.
#include "verify/crash/tracer.h"

#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "verify/crash/actor.h"
#include "verify/crash/rings.h"

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;

// What a traced process and its tracer share.
struct board {
  std::atomic<int> seized{0};
  std::atomic<int> calls{0};  // begun by the thread that is traced
};

std::atomic<std::uint32_t> done{0};  // futex: by the other thread

// What both threads run.
[[gnu::noinline]] void common() { asm volatile("nop" ::: "memory"); }

void await(const std::atomic<int>& value, int wanted) {
  while (value.load() != wanted) ::sched_yield();
}
void mark() { asm volatile("int3" ::: "memory"); }

// Makes an operation ready, marks its beginning, and its end.
using life = void (*)(board&);

// A process that lives so, and then ends with status 0. It has come to the mark.
class Traced {
 public:
  explicit Traced(life lives) {
    void* const page = ::mmap(nullptr, sizeof *board_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    board_ = new (page) board;
    pid_ = ::fork();
    if (pid_ == 0) {
      await(board_->seized, 1);
      lives(*board_);
      ::_exit(0);
    }
    EXPECT_EQ(::ptrace(PTRACE_SEIZE, pid_, nullptr, nullptr), 0);
    board_->seized.store(1);
    await_mark(pid_);
  }
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;
  ~Traced() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    while (pid_ > 0 && ::waitpid(pid_, nullptr, __WALL) == pid_) {
    }
    ::munmap(board_, sizeof *board_);
  }
  pid_t pid() const { return pid_; }
  int calls() const { return board_->calls.load(); }

  void wake() const {
    board_->calls.fetch_add(1);
    ::syscall(SYS_futex, &board_->calls, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }

  arrival go(const trace& t, std::vector<trace::step>::const_iterator to) const {
    return go_to(pid_, t, {.step = static_cast<std::uint32_t>(to - t.steps.begin())}, [] {});
  }

  bool comes_to_its_end() {
    int how = 0;
    if (!leave_stopped(pid_, pid_, 10s) || ::kill(pid_, SIGCONT) != 0 || ::waitpid(pid_, &how, 0) != pid_) return false;
    pid_ = -1;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
  }

 private:
  board* board_ = nullptr;
  pid_t pid_ = -1;
};

trace record_of(life lives) {
  const Traced one(lives);
  return record(
      one.pid(), [] {}, [] {});
}

// The `visit`th time that it comes to the common code.
auto find(const trace& t, std::uint32_t visit) {
  return std::ranges::find_if(t.steps, [&](const trace::step& s) {
    return s.at == reinterpret_cast<std::uintptr_t>(&common) && s.visit == visit;
  });
}

void call(board& b) {
  b.calls.fetch_add(1);
  common();
}

TEST(TracerTest, TheVisitIsTheOneThatWasRecorded) {
  constexpr life lives = [](board& b) {
    mark();
    for (int i = 0; i != 40; ++i) call(b);
    operation_ends();
  };
  const trace t = record_of(lives);
  for (const std::uint32_t visit : {0u, 1u, 2u, 30u, 39u}) {
    const auto there = find(t, visit);
    ASSERT_NE(there, t.steps.end());
    for (const bool further : {false, true}) {
      Traced again(lives);
      EXPECT_EQ(again.go(t, there + (further ? 1 : 0)), arrival::there);
      EXPECT_EQ(again.calls(), static_cast<int>(visit) + 1);
      EXPECT_TRUE(again.comes_to_its_end());
    }
  }
}

// A thread that runs into the breakpoint is not harmed; and the one that is traced gets to where
// it is to get, or it is said that it does not. How often it gets there, of five times.
int goes_there_beside_another(life lives, std::uint32_t visit) {
  const trace t = record_of(lives);
  const auto there = find(t, visit);
  EXPECT_NE(there, t.steps.end());
  int comes = 0;
  for (int i = 0; i != 5 && there != t.steps.end(); ++i) {
    Traced again(lives);
    const arrival got = again.go(t, there);
    EXPECT_NE(got, arrival::hung);
    if (got == arrival::there) {
      ++comes;
      EXPECT_EQ(again.calls(), static_cast<int>(visit) + 1);
    }
    EXPECT_TRUE(again.comes_to_its_end());
  }
  return comes;
}

void sleep_until_done() {
  while (done.load() == 0) ::syscall(SYS_futex, &done, FUTEX_WAIT, 0, nullptr, nullptr, 0);
}
void tell_done() {
  done.store(1);
  ::syscall(SYS_futex, &done, FUTEX_WAKE, 1, nullptr, nullptr, 0);
}

// The operation's end, behind a sleep from which `other` wakes it.
void call_when_done(board& b, std::thread& other) {
  sleep_until_done();
  call(b);
  operation_ends();
  other.join();
}

// It gets there although the breakpoint was lifted: it has slept meanwhile.
TEST(TracerTest, AThreadThatRunsTheSameCodeIsHelpedOver) {
  const int comes = goes_there_beside_another(
      [](board& b) {
        std::atomic<int> begun{0};
        std::thread other([&] {
          await(begun, 1);
          common();
          tell_done();
        });
        mark();
        begun.store(1);
        call_when_done(b, other);
      },
      0);
  EXPECT_GT(comes, 0);
}

TEST(TracerTest, SoIsOneThatTheOperationStarts) {
  const int comes = goes_there_beside_another(
      [](board& b) {
        mark();
        std::thread other([] {
          common();
          tell_done();
        });
        call_when_done(b, other);
      },
      0);
  EXPECT_GT(comes, 0);
}

TEST(TracerTest, SoIsOneThatIsInItWhenTheOtherGetsThere) {
  (void)goes_there_beside_another(
      [](board& b) {
        std::thread other([] {
          while (done.load() == 0) common();
        });
        mark();
        for (int i = 0; i != 3; ++i) call(b);
        operation_ends();
        done.store(1);
        other.join();
      },
      2);
}

// While the breakpoint is lifted for one that sleeps in it, which it is at the tracer's next tick, the
// other passes by.
TEST(TracerTest, OnesWayIsNotTakenForAnothers) {
  constexpr life lives = [](board& b) {
    std::thread other([] {
      const timespec nap{0, 1'500'000};
      while (done.load() == 0) ::syscall(SYS_nanosleep, &nap, nullptr);
    });
    mark();
    for (int i = 0; i != 40; ++i) {
      for (const auto until = std::chrono::steady_clock::now() + 3ms; std::chrono::steady_clock::now() < until;) {
      }
      b.calls.fetch_add(1);
      ::syscall(SYS_getppid);
    }
    operation_ends();
    done.store(1);
    other.join();
  };
  const trace t = record_of(lives);
  const auto there = std::ranges::find_if(t.steps, [](const trace::step& s) { return s.kernel && s.visit == 8; });
  ASSERT_NE(there, t.steps.end());
  for (int i = 0; i != 5; ++i) {
    Traced again(lives);
    if (again.go(t, there) == arrival::there) {
      EXPECT_EQ(again.calls(), 9);
    }
    EXPECT_TRUE(again.comes_to_its_end());
  }
}

TEST(TracerTest, SoIsOneThatSleepsInTheBreakpoint) {
  constexpr life lives = [](board& b) {
    std::atomic<int> begun{0};
    std::atomic<pid_t> who{0};
    std::atomic<std::uint32_t> never{0};
    std::thread other([&] {
      who.store(::gettid());
      await(begun, 1);
      ::syscall(SYS_futex, &never, FUTEX_WAIT, 0, nullptr, nullptr, 0);
    });
    while (who.load() == 0) ::sched_yield();
    mark();
    begun.store(1);
    while (!asleep(who.load())) ::sched_yield();
    call(b);
    ::syscall(SYS_getppid);
    operation_ends();
    never.store(1);
    while (asleep(who.load())) ::syscall(SYS_futex, &never, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    other.join();
  };
  const trace t = record_of(lives);
  const auto last = std::find_if(t.steps.rbegin(), t.steps.rend(), [](const trace::step& s) { return s.kernel; });
  ASSERT_NE(last, t.steps.rend());
  Traced again(lives);
  EXPECT_NE(again.go(t, last.base() - 1), arrival::hung);
  EXPECT_TRUE(again.comes_to_its_end());
}

// Each of the calls that it takes to start a thread, the second time.
TEST(TracerTest, StartingAThreadIsAStepLikeAnother) {
  constexpr life lives = [](board& b) {
    mark();
    for (int i = 0; i != 3; ++i) std::thread([] {}).join();
    call(b);
    operation_ends();
  };
  const trace t = record_of(lives);
  int tried = 0;
  for (auto i = t.steps.begin(); i != t.steps.end(); ++i) {
    if (!i->kernel || i->visit != 1) continue;
    ++tried;
    bool comes = false;
    for (int tries = 0; !comes && tries != 8; ++tries) {  // it passes by if the other is in its way
      Traced again(lives);
      comes = again.go(t, i) == arrival::there;
      EXPECT_TRUE(again.comes_to_its_end());
    }
    EXPECT_TRUE(comes);
  }
  EXPECT_GT(tried, 1);
}

TEST(TracerTest, AnOperationThatGoesAnotherWayStopsAtItsEnd) {
  const trace t = record_of([](board& b) {
    mark();
    call(b);
    operation_ends();
  });
  Traced another([](board&) {
    mark();
    operation_ends();
  });
  EXPECT_EQ(another.go(t, find(t, 0)), arrival::elsewhere);
  EXPECT_TRUE(another.comes_to_its_end());
}

TEST(TracerTest, OneThatSleepsInsteadIsStopped) {
  trace t = record_of([](board& b) {
    mark();
    call(b);
    operation_ends();
  });
  t.by_keeper = true;  // it is not woken
  const Traced another([](board&) {
    mark();
    const std::atomic<std::uint32_t> never{0};
    ::syscall(SYS_futex, &never, FUTEX_WAIT, 0, nullptr, nullptr, 0);
    operation_ends();
  });
  EXPECT_EQ(another.go(t, find(t, 0)), arrival::elsewhere);
  errno = 0;
  ::ptrace(PTRACE_PEEKUSER, another.pid(), 0, nullptr);
  EXPECT_EQ(errno, 0);
}

[[gnu::noinline]] void sleep_in_a_call(const board& b, std::uint32_t before) {
  ::syscall(SYS_futex, &b.calls, FUTEX_WAIT, before, nullptr, nullptr, 0);
}

// Not where it would have slept, but later.
TEST(TracerTest, OneThatSleepsElsewhereIsNotAsleepThere) {
  constexpr life lives = [](board& b) {
    const auto before = static_cast<std::uint32_t>(b.calls.load());
    mark();
    sleep_in_a_call(b, before);
    operation_ends();
    const std::atomic<std::uint32_t> never{0};
    ::syscall(SYS_futex, &never, FUTEX_WAIT, 0, nullptr, nullptr, 0);
  };
  trace t;
  {
    const Traced one(lives);
    t = record(
        one.pid(), [&] { one.wake(); }, [] {});
  }
  const auto bed = std::ranges::find_if(t.steps, &trace::step::sleeps);
  ASSERT_NE(bed, t.steps.end());
  const kill_point point{.step = static_cast<std::uint32_t>(bed - t.steps.begin()), .asleep = true};
  const Traced again(lives);
  EXPECT_EQ(go_to(again.pid(), t, point, [] {}), arrival::there);
  const Traced awake(lives);
  awake.wake();
  EXPECT_EQ(go_to(awake.pid(), t, point, [] {}), arrival::elsewhere);
}

// The clock is read again if the timer has ticked meanwhile: by steps, that is each time.
TEST(TracerTest, ReadingTheClockIsOneStep) {
  constexpr life lives = [](board& b) {
    mark();
    for (int i = 0; i != 100; ++i) {
      timespec now{};
      ::clock_gettime(CLOCK_MONOTONIC, &now);
    }
    call(b);
    operation_ends();
  };
  const trace t = record_of(lives);
  EXPECT_EQ(t.steps.size(), record_of(lives).steps.size());
  EXPECT_LT(t.steps.size(), 100u * 60);
  Traced again(lives);
  EXPECT_EQ(again.go(t, find(t, 0)), arrival::there);
  EXPECT_TRUE(again.comes_to_its_end());
}

// A dead thread that is traced would hold up its process's end for ever.
TEST(TracerTest, AnActorDiesWhoseKeeperIsTraced) {
  const ring_type& type = ring_types().front();
  workplace at{.type = &type, .options = type.options};
  at.options.capacity = 4;
  const auto ring = type.create(at.where, at.options);
  ASSERT_TRUE(ring) << ring.error().message;
  at.inherited = ring->get();
  void* const page = ::mmap(nullptr, sizeof(mailbox), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  {
    actor a("the actor", at, *static_cast<mailbox*>(page));
    a.tell({.what = verb::join});
    ASSERT_TRUE(a.finish(30s));
    (void)halt_keeper(a.pid());  // behind its back
    a.die();
  }
  ::munmap(page, sizeof(mailbox));
}

}  // namespace
}  // namespace millrace::crash
