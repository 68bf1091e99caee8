#include "bench/instructions.h"

#include <linux/perf_event.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <thread>

#include "bench/board.h"
#include "bench/stage.h"
#include "millrace/descriptor.h"

namespace millrace::bench {
namespace {

constexpr std::chrono::milliseconds a_while{5};
constexpr unsigned most_steps = 50'000;

void stop_to_be_traced(const worker&) {
  ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
  ::raise(SIGSTOP);
}

void work_alone(const contender& who, const work& job, board& b) try {
  const std::unique_ptr<queue> q = who.make(job, b);
  q->labour({job, b, role::producer, 0}, stop_to_be_traced);
} catch (const std::exception&) {
}

bool stopped(pid_t child) {
  int how = 0;
  return ::waitpid(child, &how, 0) == child && WIFSTOPPED(how);
}

std::uint64_t pairs_of(const board& b) { return b.desks[0].moved.load(std::memory_order_relaxed); }

// Lets one that is stopped go on until all that is done only once has been done.
bool runs_a_while(pid_t child) {
  ::ptrace(PTRACE_CONT, child, nullptr, nullptr);
  std::this_thread::sleep_for(a_while);
  ::syscall(SYS_tgkill, child, child, SIGSTOP);
  return stopped(child);
}

descriptor counter_of(pid_t child) {
  perf_event_attr what{};
  what.type = PERF_TYPE_HARDWARE;
  what.size = sizeof what;
  what.config = PERF_COUNT_HW_INSTRUCTIONS;
  what.exclude_kernel = 1;
  what.exclude_hv = 1;
  return descriptor(static_cast<int>(::syscall(SYS_perf_event_open, &what, child, -1, -1, 0)));
}

std::optional<double> counted(pid_t child, const descriptor& counter, const board& b) {
  std::uint64_t all = 0;
  if (!runs_a_while(child) || ::read(counter.number(), &all, sizeof all) != sizeof all) return std::nullopt;
  if (all == 0 || pairs_of(b) == 0) return std::nullopt;
  return static_cast<double>(all) / static_cast<double>(pairs_of(b));
}

std::optional<double> stepped(pid_t child, const board& b) {
  if (!runs_a_while(child)) return std::nullopt;
  const std::uint64_t begun = pairs_of(b);
  unsigned instructions = 0;
  unsigned steps = 0;
  long last = 0;
  // From the end of a stretch to that of the next but one.
  while (pairs_of(b) < begun + 3 * few) {
    const bool counts = pairs_of(b) != begun;
    if (++steps > most_steps) return std::nullopt;
    ::ptrace(PTRACE_SINGLESTEP, child, nullptr, nullptr);
    if (!stopped(child)) return std::nullopt;
    const long at = ::ptrace(PTRACE_PEEKUSER, child, offsetof(user, regs.rip), nullptr);
    instructions += counts && at != last ? 1 : 0;  // else a string instruction goes on
    last = at;
  }
  return static_cast<double>(instructions) / (2 * few);
}

}  // namespace

std::optional<double> instructions_a_pair(const contender& who, const work& job) {
  shared_board b;
  const pid_t child = fork_bound();
  if (child == 0) {
    work_alone(who, job, *b);
    ::_exit(0);
  }
  if (child < 0 || !stopped(child)) return std::nullopt;
  const descriptor counter = counter_of(child);
  const auto all = counter.number() < 0 ? stepped(child, *b) : counted(child, counter, *b);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  return all;
}

}  // namespace millrace::bench
