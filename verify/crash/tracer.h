// Brings a process to one instruction of its choice, and leaves it there.
#ifndef MILLRACE_VERIFY_CRASH_TRACER_H_
#define MILLRACE_VERIFY_CRASH_TRACER_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "verify/crash/onlooker.h"

namespace millrace::crash {

// The instructions of one operation, in the order in which they were run.
struct trace {
  struct step {
    std::uintptr_t at = 0;     // the address of the instruction that comes next
    std::uint32_t visit = 0;   // how often it had come before
    std::uint32_t anchor = 0;  // the step from which this one is reached the soonest, by breakpoint and single steps
    bool sleeps = false;       // this instruction enters the kernel, and sleeps there
    bool locks = false;        // it is an atomic read-modify-write
    bool kernel = false;       // it enters the kernel
    sight seen = sight::nothing;
  };
  std::vector<step> steps;  // the last is that of operation_ends, or the one in which it sleeps
  bool by_keeper = false;   // it ends asleep
};

// A point at which to strike: before a step, or in the middle of it, asleep.
struct kill_point {
  std::uint32_t step = 0;
  bool asleep = false;
};

enum class arrival : std::uint8_t {
  there,
  elsewhere,  // it took another way than when it was recorded, or passed by; it has stopped, or sleeps
  hung,       // it neither gets there nor sleeps where it did
};

// What to do so that the process wakes up. Called every now and then while it sleeps.
using waker = std::function<void()>;

// The process `pid` is our child, seized by ptrace, and is about to run into an int3:
// waits until it has. Its operation ends where it calls `operation_ends`.
void await_mark(pid_t pid);

// Stops the process's keeper where it sleeps, and traces that thread from here on. Its
// operation is what it is asked next, and ends where it sleeps again.
pid_t halt_keeper(pid_t pid);

// Of such a process, or of a keeper's thread, that has stopped there. Both functions
// leave it stopped, or asleep if that is the point.
//
// `record` steps through the operation, which on a busy machine can take minutes, and calls `alive` now and
// then. Throws std::runtime_error if it does not end.
extern "C" void operation_ends();
trace record(pid_t pid, const waker& wake, const std::function<void()>& alive, bool by_keeper = false);

// Goes to the point's anchor with a breakpoint, which is passed once for each visit
// before, and steps from there. No other thread of the process may be traced.
arrival go_to(pid_t pid, const trace& t, const kill_point& point, const waker& wake);

// Lets go of the process's thread that is traced. All of it stops by SIGSTOP where it is, as
// if that had been sent to it. False if it does not.
bool leave_stopped(pid_t pid, pid_t traced, std::chrono::milliseconds within);

// "try_push: atomic_base.h:464 < mpmc_ring.h:282 < rings.cc:20": the function, and
// where in it, each inlined call before the one that makes it. Without addr2line
// or line numbers, the symbol and the distance from it.
std::string describe_address(std::uintptr_t at);

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_TRACER_H_
