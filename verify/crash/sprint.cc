#include "verify/crash/sprint.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>

#include "verify/crash/actor.h"

namespace millrace::crash {
namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto tick = 2ms;

// Interrupts a wait for a stop now and then, as waitpid knows no deadline.
class metronome {
 public:
  metronome() {
    struct sigaction quiet {};
    quiet.sa_handler = [](int /*signal*/) {};  // and no SA_RESTART
    ::sigaction(SIGALRM, &quiet, nullptr);
    const timeval every{0, std::chrono::microseconds(tick).count()};
    const itimerval again{every, every};  // a tick that comes just before the wait is followed by another
    ::setitimer(ITIMER_REAL, &again, nullptr);
  }
  metronome(const metronome&) = delete;
  metronome& operator=(const metronome&) = delete;
  ~metronome() {
    const itimerval never{};
    ::setitimer(ITIMER_REAL, &never, nullptr);
  }
};

// The signal that a thread with this status is stopped before, and is to have: none of the tracer's own.
int signal_of(int status) { return WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status); }

// Whether a thread that PTRACE_INTERRUPT has stopped has just trapped. It hears of that when it goes on.
bool trap_waits(pid_t thread) {
  const __ptrace_peeksiginfo_args first{.off = 0, .flags = 0, .nr = 1};
  siginfo_t next{};
  return ::ptrace(PTRACE_PEEKSIGINFO, thread, &first, &next) == 1 && next.si_signo == SIGTRAP;
}

}  // namespace

stop go_on(pid_t thread, __ptrace_request how, const sprint* running) {
  ::ptrace(how, thread, nullptr, nullptr);
  return await_stop(thread, how, running);
}

stop await_stop(pid_t thread, __ptrace_request how, const sprint* running) {
  const auto until = clock::now() + longest_wait;
  const metronome ticking;
  for (;;) {
    int status = 0;
    pid_t heard = ::waitpid(thread, &status, __WALL);
    if (heard < 0 && errno != EINTR) throw std::runtime_error(std::string("waitpid: ") + std::strerror(errno));
    if (heard < 0 && (running == nullptr || !running->help_others()) && asleep(thread)) {
      heard = ::waitpid(thread, &status, __WALL | WNOHANG);  // or has it just stopped there?
      if (heard == 0) return stop::asleep;
    }
    if (heard == thread) {
      if (!WIFSTOPPED(status)) throw std::runtime_error("the process to be traced died by itself");
      const bool has_started_a_thread = status >> 16 == PTRACE_EVENT_CLONE;
      if (WSTOPSIG(status) == SIGTRAP && !has_started_a_thread) return stop::trapped;
      ::ptrace(how, thread, nullptr, signal_of(status));
    }
    if (clock::now() >= until) return stop::hung;
  }
}

std::uintptr_t instruction(pid_t thread) {
  return static_cast<std::uintptr_t>(::ptrace(PTRACE_PEEKUSER, thread, offsetof(user, regs.rip), nullptr));
}

sprint::sprint(pid_t thread, std::uintptr_t to, std::uintptr_t end)
    : thread_(thread),
      text_(::open(fmt::format("/proc/{}/mem", thread).c_str(), O_RDWR | O_CLOEXEC)),
      breakpoints_{breakpoint{.at = to}, breakpoint{.at = end}} {
  for (breakpoint& b : breakpoints_) {
    b.was = static_cast<std::uint8_t>(::ptrace(PTRACE_PEEKTEXT, thread, b.at, nullptr));
    if (!lift(b)) throw std::runtime_error(std::string("cannot write to a process's text: ") + std::strerror(errno));
  }
  ::ptrace(PTRACE_SETOPTIONS, thread_, nullptr, PTRACE_O_TRACECLONE);
  for (const pid_t other : others()) ::ptrace(PTRACE_SEIZE, other, nullptr, PTRACE_O_TRACECLONE);
  for (const breakpoint& b : breakpoints_) set(b);
}

sprint::~sprint() {
  if (!stands_) (void)halt(thread_);
  for (const breakpoint& b : breakpoints_) (void)lift(b);  // they would kill whoever goes on
  for (const pid_t other : others()) {
    if (const auto signal = halt(other)) ::ptrace(PTRACE_DETACH, other, nullptr, *signal);
  }
  ::ptrace(PTRACE_SETOPTIONS, thread_, nullptr, 0);
}

stop sprint::run(std::uint32_t visits, const advance& on) {
  const breakpoint& there = breakpoints_.front();
  const auto let_on = [&](__ptrace_request how) {
    stands_ = false;
    const stop s = on(how, this);
    stands_ = s == stop::trapped;
    return s;
  };
  for (;; --visits) {
    if (const stop s = let_on(PTRACE_CONT); s != stop::trapped) return s;
    if (come_to(thread_) != &there || lifted_) return stop::astray;
    if (visits == 0) return stop::trapped;
    do {  // again if it was set for another's sake before this one had stepped
      (void)lift(there);
      if (const stop s = let_on(PTRACE_SINGLESTEP); s != stop::trapped) return s;
    } while (come_to(thread_) == &there);
    set(there);
  }
}

bool sprint::help_others() const {
  bool helped = false;
  for (const pid_t other : others()) {
    int status = 0;
    if (::waitpid(other, &status, __WALL | WNOHANG) != other) continue;
    helped = true;
    if (!WIFSTOPPED(status)) continue;
    const breakpoint* const met = come_to(other);
    const auto signal = met == nullptr ? signal_of(status) : step_over(other, *met);
    if (signal) ::ptrace(PTRACE_CONT, other, nullptr, *signal);
  }
  return helped;
}

std::vector<pid_t> sprint::others() const {
  std::vector<pid_t> all = threads(thread_);
  std::erase(all, thread_);
  return all;
}

// Also while it runs.
bool sprint::write(std::uintptr_t at, std::uint8_t byte) const {
  return ::pwrite(text_.number(), &byte, 1, static_cast<off_t>(at)) == 1;
}

// The one that a thread has stopped at, and stands before from here on; none if it has stopped elsewhere.
const sprint::breakpoint* sprint::come_to(pid_t thread) const {
  siginfo_t why{};
  if (::ptrace(PTRACE_GETSIGINFO, thread, nullptr, &why) != 0) return nullptr;
  if (why.si_signo != SIGTRAP || why.si_code != SI_KERNEL) return nullptr;  // not by an int3
  for (const breakpoint& b : breakpoints_) {
    if (instruction(thread) != b.at + 1) continue;
    ::ptrace(PTRACE_POKEUSER, thread, offsetof(user, regs.rip), b.at);
    return &b;
  }
  return nullptr;
}

// The signal that it has stopped before afterwards; none if it sleeps in the instruction, or has not had
// a turn: it stops later.
std::optional<int> sprint::step_over(pid_t other, const breakpoint& b) const {
  const std::uint64_t before = thread_rest(thread_);
  (void)lift(b);
  ::ptrace(PTRACE_SINGLESTEP, other, nullptr, nullptr);
  int status = 0;
  bool stopped = false;
  for (const auto until = clock::now() + tick; !stopped && clock::now() < until; ::sched_yield()) {
    stopped = ::waitpid(other, &status, __WALL | WNOHANG) == other;
  }
  set(b);
  if (&b == &breakpoints_.front() && (before == 0 || thread_rest(thread_) != before)) lifted_ = true;
  return stopped && WIFSTOPPED(status) ? std::optional(signal_of(status)) : std::nullopt;
}

// Stops one that runs or sleeps: the signal that it has stopped before, or none if it has ended.
std::optional<int> sprint::halt(pid_t thread) const {
  int status = 0;
  ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
  for (;;) {
    while (::waitpid(thread, &status, __WALL) != thread) {
      if (errno != EINTR) return std::nullopt;
    }
    if (!WIFSTOPPED(status)) return std::nullopt;
    if (status >> 16 != PTRACE_EVENT_STOP || !trap_waits(thread)) break;
    ::ptrace(PTRACE_CONT, thread, nullptr, nullptr);
  }
  (void)come_to(thread);
  return signal_of(status);
}

}  // namespace millrace::crash
