// Lets a traced thread go on: by one instruction, or at full speed to one.
#ifndef MILLRACE_VERIFY_CRASH_SPRINT_H_
#define MILLRACE_VERIFY_CRASH_SPRINT_H_

#include <sys/ptrace.h>
#include <sys/types.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "millrace/descriptor.h"

namespace millrace::crash {

inline constexpr std::chrono::seconds longest_wait{10};  // with one that is to get somewhere

enum class stop : std::uint8_t {
  trapped,
  asleep,  // in the kernel, until somebody wakes it, or has been when we looked
  hung,    // neither, for as long as we are patient
  astray,  // of a sprint: it has passed by where it was to stop
};

class sprint;

// Lets the thread, which has stopped, on as `how` says (PTRACE_CONT, PTRACE_SINGLESTEP), and waits for
// its next stop. Throws std::runtime_error if it dies.
stop go_on(pid_t thread, __ptrace_request how, const sprint* running = nullptr);

// The same of one that was let on so already.
stop await_stop(pid_t thread, __ptrace_request how, const sprint* running = nullptr);

// The address of what it runs next, when it has stopped.
std::uintptr_t instruction(pid_t thread);

// How a sprint's thread is let on: go_on, and whatever else has to be done for it to stop.
using advance = std::function<stop(__ptrace_request how, const sprint* running)>;

// A thread's way to an instruction, at full speed. The breakpoints are int3s in the text, as those of the
// processor do nothing on some virtual machines. The process's other threads run that text, too: they
// are traced meanwhile and stepped over it, whether they were there or are started by one that is
// traced. While the breakpoint is lifted for that, the thread itself may pass by; unless it has slept
// all the time, it counts as astray.
class sprint {
 public:
  // No other thread of its process may be traced. It ends at the latest at `end`.
  sprint(pid_t thread, std::uintptr_t to, std::uintptr_t end);
  sprint(const sprint&) = delete;
  sprint& operator=(const sprint&) = delete;
  ~sprint();  // leaves the thread stopped and no breakpoint, and lets the others go

  // To the instruction, `visits` of which come before: `trapped` if it stands there.
  stop run(std::uint32_t visits, const advance& on);

  // Whether there were any that had stopped.
  bool help_others() const;

 private:
  struct breakpoint {
    std::uintptr_t at;
    std::uint8_t was = 0;
  };

  std::vector<pid_t> others() const;
  bool write(std::uintptr_t at, std::uint8_t byte) const;
  void set(const breakpoint& b) const { (void)write(b.at, 0xcc); }
  bool lift(const breakpoint& b) const { return write(b.at, b.was); }
  const breakpoint* come_to(pid_t thread) const;
  std::optional<int> step_over(pid_t other, const breakpoint& b) const;
  std::optional<int> halt(pid_t thread) const;

  pid_t thread_;
  descriptor text_;
  std::array<breakpoint, 2> breakpoints_;  // there, and at the end
  bool stands_ = true;                     // the thread has stopped, and we know
  mutable bool lifted_ = false;            // for another, and the thread may have passed by
};

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_SPRINT_H_
