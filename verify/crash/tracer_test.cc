// A breakpoint is for one thread; the others of its process run the same text.
#include "verify/crash/tracer.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <thread>

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;

std::atomic<int> calls{0};

// What both threads run.
[[gnu::noinline]] void common() { calls.fetch_add(1, std::memory_order_relaxed); }

void await(const std::atomic<int>& value, int wanted) {
  while (value.load() != wanted) ::sched_yield();
}

// A process that runs an operation where its tracer awaits it, and then ends with status 0.
class Traced {
 public:
  explicit Traced(const std::function<void(const std::function<void()>& begin)>& life) {
    void* const page = ::mmap(nullptr, sizeof *seized_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    seized_ = new (page) std::atomic<int>(0);
    pid_ = ::fork();
    if (pid_ == 0) {
      await(*seized_, 1);
      life([] { asm volatile("int3" ::: "memory"); });
      ::_exit(0);
    }
    EXPECT_EQ(::ptrace(PTRACE_SEIZE, pid_, nullptr, nullptr), 0);
    seized_->store(1);
    await_mark(pid_);
  }
  Traced(const Traced&) = delete;
  Traced& operator=(const Traced&) = delete;
  ~Traced() {
    if (pid_ > 0) ::kill(pid_, SIGKILL);
    while (pid_ > 0 && ::waitpid(pid_, nullptr, __WALL) == pid_) {
    }
    ::munmap(seized_, sizeof *seized_);
  }
  pid_t pid() const { return pid_; }

  bool comes_to_its_end() {
    int how = 0;
    if (!leave_stopped(pid_, pid_, 10s) || ::kill(pid_, SIGCONT) != 0 || ::waitpid(pid_, &how, 0) != pid_) return false;
    pid_ = -1;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
  }

 private:
  std::atomic<int>* seized_ = nullptr;
  pid_t pid_ = -1;
};

// To where it runs the common code, which another thread has run before it.
void goes_there_alone(const std::function<void(const std::function<void()>& begin)>& life) {
  const auto wake = [] {};
  Traced first(life);
  const trace t = record(first.pid(), wake, [] {});
  const auto there = std::ranges::find(t.steps, reinterpret_cast<std::uintptr_t>(&common), &trace::step::at);
  ASSERT_NE(there, t.steps.end());
  ASSERT_EQ(there->visit, 0u);

  Traced again(life);
  EXPECT_EQ(go_to(again.pid(), t, {.step = static_cast<std::uint32_t>(there - t.steps.begin())}, wake), arrival::there);
  EXPECT_TRUE(again.comes_to_its_end());
}

TEST(TracerTest, AThreadThatRunsTheSameCodeIsNotStopped) {
  goes_there_alone([](const std::function<void()>& begin) {
    std::atomic<int> begun{0};
    std::thread other([&] {
      await(begun, 1);
      common();
    });
    begin();
    begun.store(1);
    await(calls, 1);
    common();
    operation_ends();
    other.join();
  });
}

TEST(TracerTest, NorIsOneThatTheOperationStarts) {
  goes_there_alone([](const std::function<void()>& begin) {
    begin();
    std::thread other(common);
    await(calls, 1);
    common();
    operation_ends();
    other.join();
  });
}

TEST(TracerTest, AnOperationThatGoesAnotherWayStopsAtItsEnd) {
  Traced first([](const std::function<void()>& begin) {
    begin();
    common();
    operation_ends();
  });
  const trace t = record(
      first.pid(), [] {}, [] {});
  const auto there = std::ranges::find(t.steps, reinterpret_cast<std::uintptr_t>(&common), &trace::step::at);
  ASSERT_NE(there, t.steps.end());

  Traced another([](const std::function<void()>& begin) {
    begin();
    operation_ends();
  });
  const kill_point point{.step = static_cast<std::uint32_t>(there - t.steps.begin())};
  EXPECT_EQ(go_to(another.pid(), t, point, [] {}), arrival::elsewhere);
  EXPECT_TRUE(another.comes_to_its_end());
}

}  // namespace
}  // namespace millrace::crash
