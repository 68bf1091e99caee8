#include "verify/crash/tracer.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_map>

#include "verify/crash/actor.h"

namespace millrace::crash {
namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr auto tick = 2ms;
constexpr auto patience = 10s;                        // with an operation that is to get somewhere
constexpr std::size_t longest_operation = 1'000'000;  // instructions
constexpr std::uint32_t cost_of_a_visit = 16;         // steps: how often a loop goes round may change

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

enum class stop : std::uint8_t { trapped, asleep, hung };

std::uintptr_t instruction(pid_t pid) {
  return static_cast<std::uintptr_t>(::ptrace(PTRACE_PEEKUSER, pid, offsetof(user, regs.rip), nullptr));
}
long text_at(pid_t pid, std::uintptr_t at) { return ::ptrace(PTRACE_PEEKTEXT, pid, at, nullptr); }

std::uintptr_t end_of_operation() { return reinterpret_cast<std::uintptr_t>(&operation_ends); }

// A thread's way to an instruction, at full speed. The breakpoints are int3s in the text, which the
// processor obeys on any machine, and which the process's other threads run into as well: these are traced
// meanwhile, and helped over. While one is, the thread itself may slip by. Then it comes to the
// operation's end, as if it had taken another way than when it was recorded.
class sprint {
 public:
  sprint(pid_t pid, std::uintptr_t to)
      : pid_(pid),
        text_(::open(fmt::format("/proc/{}/mem", pid).c_str(), O_RDWR | O_CLOEXEC)),
        traps_{breakpoint{.at = to}, breakpoint{.at = end_of_operation()}} {
    if (text_ < 0) throw std::runtime_error(std::string("cannot open a process's memory: ") + std::strerror(errno));
    for (breakpoint& b : traps_) b.was = static_cast<std::uint8_t>(text_at(pid, b.at));
    for (const pid_t other : others()) ::ptrace(PTRACE_SEIZE, other, nullptr, nullptr);
    ::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, PTRACE_O_TRACECLONE);
    for (const breakpoint& b : traps_) set(b);
  }
  sprint(const sprint&) = delete;
  sprint& operator=(const sprint&) = delete;
  ~sprint() {
    for (const breakpoint& b : traps_) lift(b);  // they would kill whoever goes on
    for (const pid_t other : others()) let_go(other);
    ::ptrace(PTRACE_SETOPTIONS, pid_, nullptr, 0);
    ::close(text_);
  }

  // Whether it gets there, after so many visits. `next_stop` awaits its next stop.
  template <class F>
  bool run(std::uint32_t visits, F next_stop) {
    for (;; --visits) {
      ::ptrace(PTRACE_CONT, pid_, nullptr, nullptr);
      if (next_stop(this) != stop::trapped) return false;
      const breakpoint* const met = met_by(pid_);
      if (met == nullptr) return false;
      step_back(pid_, *met);
      if (met != &traps_.front()) return false;
      if (visits == 0) return true;
      stop s{};
      do {  // again if it was set for another's sake before this one had stepped
        step_back(pid_, *met);
        lift(*met);
        ::ptrace(PTRACE_SINGLESTEP, pid_, nullptr, nullptr);
        s = next_stop(this);
      } while (s == stop::trapped && met_by(pid_) == met);
      set(*met);
      if (s != stop::trapped) return false;
    }
  }

  // Whether there were any that had stopped.
  bool help_others() const {
    bool helped = false;
    for (const pid_t other : others()) {
      int how = 0;
      if (::waitpid(other, &how, __WALL | WNOHANG) != other) continue;
      helped = true;
      if (!WIFSTOPPED(how)) continue;
      const breakpoint* const met = met_by(other);
      if (met == nullptr || step_over(other, *met)) ::ptrace(PTRACE_CONT, other, nullptr, signal_of(how));
    }
    return helped;
  }

 private:
  struct breakpoint {
    std::uintptr_t at;
    std::uint8_t was = 0;
  };

  std::vector<pid_t> others() const {
    std::vector<pid_t> all = threads(pid_);
    std::erase(all, pid_);
    return all;
  }

  // Even while the process runs. It fails where that has ended, to nobody's harm.
  void write(std::uintptr_t at, std::uint8_t byte) const { (void)!::pwrite(text_, &byte, 1, static_cast<off_t>(at)); }
  void set(const breakpoint& b) const { write(b.at, 0xcc); }
  void lift(const breakpoint& b) const { write(b.at, b.was); }

  const breakpoint* met_by(pid_t thread) const {
    siginfo_t why{};
    if (::ptrace(PTRACE_GETSIGINFO, thread, nullptr, &why) != 0) return nullptr;
    if (why.si_signo != SIGTRAP || why.si_code != SI_KERNEL) return nullptr;  // not by an int3
    for (const breakpoint& b : traps_) {
      if (instruction(thread) == b.at + 1) return &b;
    }
    return nullptr;
  }

  static void step_back(pid_t thread, const breakpoint& b) {
    ::ptrace(PTRACE_POKEUSER, thread, offsetof(user, regs.rip), b.at);
  }

  // False if it sleeps in the instruction, and stops when it wakes up.
  bool step_over(pid_t thread, const breakpoint& b) const {
    step_back(thread, b);
    lift(b);
    ::ptrace(PTRACE_SINGLESTEP, thread, nullptr, nullptr);
    int how = 0;
    bool stopped = false;
    for (const auto until = clock::now() + tick; !stopped && clock::now() < until; ::sched_yield()) {
      stopped = ::waitpid(thread, &how, __WALL | WNOHANG) == thread;
    }
    set(b);
    return stopped;
  }

  void let_go(pid_t thread) const {
    int how = 0;
    ::ptrace(PTRACE_INTERRUPT, thread, nullptr, nullptr);
    while (::waitpid(thread, &how, __WALL) != thread) {
      if (errno != EINTR) return;
    }
    if (!WIFSTOPPED(how)) return;
    if (const breakpoint* const met = met_by(thread)) step_back(thread, *met);
    ::ptrace(PTRACE_DETACH, thread, nullptr, signal_of(how));
  }

  // Which it is stopped before, and shall have; none of the tracer's own.
  static int signal_of(int how) { return WSTOPSIG(how) == SIGTRAP ? 0 : WSTOPSIG(how); }

  pid_t pid_;
  int text_;
  std::array<breakpoint, 2> traps_;
};

// Waits until the tracee traps, or sleeps in the kernel.
stop next_stop(pid_t pid, const sprint* running = nullptr) {
  const auto until = clock::now() + patience;
  const metronome ticking;
  for (;;) {
    int how = 0;
    if (::waitpid(pid, &how, __WALL) == pid) {
      if (!WIFSTOPPED(how)) throw std::runtime_error("the process to be traced died by itself");
      const bool has_started_a_thread = how >> 16 == PTRACE_EVENT_CLONE;
      if (WSTOPSIG(how) == SIGTRAP && !has_started_a_thread) return stop::trapped;
      ::ptrace(PTRACE_CONT, pid, nullptr, has_started_a_thread ? 0 : WSTOPSIG(how));
    } else if (errno != EINTR) {
      throw std::runtime_error(std::string("waitpid: ") + std::strerror(errno));
    } else if ((running == nullptr || !running->help_others()) && asleep(pid)) {
      return stop::asleep;
    }
    if (clock::now() >= until) return stop::hung;
  }
}

stop stop_awake(pid_t pid, const waker& wake, const sprint* running = nullptr) {
  stop s = next_stop(pid, running);
  for (auto until = clock::now() + patience; s == stop::asleep && clock::now() < until; s = next_stop(pid, running)) {
    wake();
  }
  return s;
}

// Begins with a lock prefix, or is an xchg with memory.
bool locks(long text) {
  const auto byte = [&](int i) { return static_cast<unsigned>(text >> (8 * i)) & 0xff; };
  if (byte(0) == 0xf0) return true;
  const int opcode = (byte(0) & 0xf0) == 0x40 ? 1 : 0;  // behind a REX prefix
  return (byte(opcode) == 0x86 || byte(opcode) == 0x87) && byte(opcode + 1) < 0xc0;
}

bool is_call(long text) { return (text & 0xffff) == 0x050f; }  // syscall

// "mpmc_ring.h:276", or nothing if it is not known.
std::string file_and_line(const std::string& path) {
  if (path.starts_with('?')) return {};
  std::string name = path.substr(path.rfind('/') + 1);
  return name.substr(0, name.find(' '));  // behind it: (discriminator 2)
}

}  // namespace

[[gnu::noinline]] void operation_ends() {
  asm volatile("");  // else it would have no effect, and not be called
}

void await_mark(pid_t pid) {
  if (stop_awake(pid, [] {}) != stop::trapped) throw std::runtime_error("the process to be traced did not begin");
}

pid_t halt_keeper(pid_t pid) {
  for (const pid_t keeper : threads(pid)) {
    std::string name;
    std::getline(std::ifstream(fmt::format("/proc/{}/task/{}/comm", pid, keeper)), name);
    if (name != "millrace keeper") continue;
    for (const auto until = clock::now() + patience; !asleep(keeper);) {
      if (clock::now() >= until) throw std::runtime_error("the keeper does not fall asleep");
      std::this_thread::yield();
    }
    if (::ptrace(PTRACE_SEIZE, keeper, nullptr, nullptr) != 0 ||
        ::ptrace(PTRACE_INTERRUPT, keeper, nullptr, nullptr) != 0 || next_stop(keeper) != stop::trapped) {
      throw std::runtime_error(std::string("cannot trace the keeper: ") + std::strerror(errno));
    }
    return keeper;
  }
  throw std::runtime_error("the process to be traced has no keeper");
}

trace record(pid_t pid, const waker& wake, const std::function<void()>& alive, bool by_keeper) {
  trace t;
  t.by_keeper = by_keeper;
  std::unordered_map<std::uintptr_t, std::uint32_t> visits;
  onlooker others(pid);
  for (;;) {
    user_regs_struct now{};
    ::ptrace(PTRACE_GETREGS, pid, nullptr, &now);
    const std::uintptr_t at = now.rip;
    const auto here = static_cast<std::uint32_t>(t.steps.size());
    const std::uint32_t visit = visits[at]++;
    std::uint32_t anchor = here;
    if (here != 0) {
      const std::uint32_t last = t.steps.back().anchor;
      if (cost_of_a_visit * visit > cost_of_a_visit * t.steps[last].visit + (here - last)) anchor = last;
    }
    const long text = text_at(pid, at);
    t.steps.push_back({.at = at,
                       .visit = visit,
                       .anchor = anchor,
                       .sleeps = false,
                       .locks = locks(text),
                       .kernel = is_call(text),
                       .seen = others.look(now)});
    if (at == end_of_operation()) return t;
    if (t.steps.size() % 1000 == 0) alive();
    if (t.steps.size() > longest_operation) throw std::runtime_error("the operation to be traced does not end");
    ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr);
    const auto falls_asleep = [&] { t.steps.back().sleeps = true; };
    const stop s = by_keeper ? next_stop(pid) : stop_awake(pid, [&] {
      falls_asleep();
      wake();
    });
    if (s == stop::asleep && by_keeper) {
      falls_asleep();
      return t;
    }
    if (s != stop::trapped) throw std::runtime_error("the operation to be traced hangs");
    if (t.steps.back().kernel) others.find_shared_memory();
  }
}

arrival go_to(pid_t pid, const trace& t, const kill_point& point, const waker& wake) {
  const auto next = [&](const sprint* running) {
    return t.by_keeper ? next_stop(pid, running) : stop_awake(pid, wake, running);
  };
  const std::uint32_t anchor = t.steps[point.step].anchor;
  if (anchor != 0 && !sprint(pid, t.steps[anchor].at).run(t.steps[anchor].visit, next)) return arrival::elsewhere;
  for (std::uint32_t i = anchor; i != point.step; ++i) {
    if (instruction(pid) == end_of_operation()) return arrival::elsewhere;
    ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr);
    const stop s = next(nullptr);
    if (s == stop::asleep) return arrival::elsewhere;
    if (s == stop::hung) return arrival::hung;
  }
  if (instruction(pid) != t.steps[point.step].at) return arrival::elsewhere;
  if (!point.asleep) return arrival::there;
  ::ptrace(PTRACE_CONT, pid, nullptr, nullptr);
  switch (next_stop(pid)) {
    case stop::asleep:
      return arrival::there;
    case stop::trapped:
      return arrival::elsewhere;
    case stop::hung:
      break;
  }
  return arrival::hung;
}

bool leave_stopped(pid_t pid, pid_t traced, std::chrono::milliseconds within) {
  const auto until = clock::now() + within;
  const metronome ticking;
  ::kill(pid, SIGSTOP);
  // Fails if it sleeps, until the signal has stopped it.
  bool detached = ::ptrace(PTRACE_DETACH, traced, nullptr, SIGSTOP) == 0;
  while (clock::now() < until) {
    int how = 0;
    if (::waitpid(detached ? pid : traced, &how, __WALL | WUNTRACED) < 0) {
      if (errno == EINTR) continue;
      return false;
    }
    if (!WIFSTOPPED(how)) return false;
    if (detached) return true;
    detached = ::ptrace(PTRACE_DETACH, traced, nullptr, SIGSTOP) == 0;
  }
  return false;
}

std::string describe_address(std::uintptr_t at) {
  Dl_info info{};
  if (::dladdr(reinterpret_cast<const void*>(at), &info) == 0) return "unknown code";
  const std::string_view object = info.dli_fname;
  const auto base = reinterpret_cast<std::uintptr_t>(info.dli_fbase);
  const bool moved = reinterpret_cast<const Elf64_Ehdr*>(base)->e_type == ET_DYN;

  // Of each inlined call, innermost first: its function, and where in it.
  std::array<char, 64> command{};
  std::snprintf(command.data(), command.size(), "addr2line -e /proc/%d/exe -f -C -i 0x%zx 2>/dev/null", ::getpid(),
                static_cast<std::size_t>(moved ? at - base : at));
  std::string function;
  std::string lines;
  std::array<char, 4096> text{};
  Dl_info own{};
  ::dladdr(reinterpret_cast<const void*>(&describe_address), &own);
  if (own.dli_fbase == info.dli_fbase) {
    const std::unique_ptr<FILE, int (*)(FILE*)> answer(::popen(command.data(), "r"), ::pclose);
    while (answer != nullptr && std::fgets(text.data(), text.size(), answer.get()) != nullptr) {
      function = text.data();
      if (std::fgets(text.data(), text.size(), answer.get()) == nullptr) break;
      const std::string line = file_and_line(std::string(text.data(), std::strcspn(text.data(), "\n")));
      if (!line.empty()) lines += (lines.empty() ? "" : " < ") + line;
    }
    function = function.substr(0, function.find_first_of("<(\n"));
    if (function.starts_with('?')) function.clear();
  }
  if (function.empty() && info.dli_sname != nullptr) {
    function =
        std::string(info.dli_sname) + "+" + std::to_string(at - reinterpret_cast<std::uintptr_t>(info.dli_saddr));
  }
  if (!lines.empty()) return function + ": " + lines;
  std::snprintf(text.data(), text.size(), "%s+0x%zx", std::string(object.substr(object.rfind('/') + 1)).c_str(),
                static_cast<std::size_t>(at - base));
  return function.empty() ? text.data() : function + ", " + text.data();
}

}  // namespace millrace::crash
