#include "verify/crash/tracer.h"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
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
#include <filesystem>
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

// Waits until the tracee traps, or sleeps in the kernel.
stop next_stop(pid_t pid) {
  const auto until = clock::now() + patience;
  const metronome ticking;
  for (;;) {
    int how = 0;
    if (::waitpid(pid, &how, __WALL) == pid) {
      if (WIFSTOPPED(how) && WSTOPSIG(how) == SIGTRAP) return stop::trapped;
      if (!WIFSTOPPED(how)) throw std::runtime_error("the process to be traced died by itself");
      ::ptrace(PTRACE_CONT, pid, nullptr, WSTOPSIG(how));
    } else if (errno != EINTR) {
      throw std::runtime_error(std::string("waitpid: ") + std::strerror(errno));
    } else if (asleep(pid)) {
      return stop::asleep;
    }
    if (clock::now() >= until) return stop::hung;
  }
}

stop stop_awake(pid_t pid, const waker& wake) {
  stop s = next_stop(pid);
  for (auto until = clock::now() + patience; s == stop::asleep && clock::now() < until; s = next_stop(pid)) wake();
  return s;
}

std::uintptr_t instruction(pid_t pid) {
  return static_cast<std::uintptr_t>(::ptrace(PTRACE_PEEKUSER, pid, offsetof(user, regs.rip), nullptr));
}
long text_at(pid_t pid, std::uintptr_t at) { return ::ptrace(PTRACE_PEEKTEXT, pid, at, nullptr); }

// Begins with a lock prefix, or is an xchg with memory.
bool locks(long text) {
  const auto byte = [&](int i) { return static_cast<unsigned>(text >> (8 * i)) & 0xff; };
  if (byte(0) == 0xf0) return true;
  const int opcode = (byte(0) & 0xf0) == 0x40 ? 1 : 0;  // behind a REX prefix
  return (byte(opcode) == 0x86 || byte(opcode) == 0x87) && byte(opcode + 1) < 0xc0;
}

bool is_call(long text) { return (text & 0xffff) == 0x050f; }  // syscall

std::uintptr_t end_of_operation() { return reinterpret_cast<std::uintptr_t>(&operation_ends); }

// Breakpoints of the processor's, which are this thread's alone: others of its
// process pass them by. One there, and one at the operation's end.
bool set_breakpoints(pid_t pid, std::uintptr_t at) {
  constexpr std::uintptr_t first = 1, second = 4;  // enabled, for instructions
  return ::ptrace(PTRACE_POKEUSER, pid, offsetof(user, u_debugreg[0]), at) == 0 &&
         ::ptrace(PTRACE_POKEUSER, pid, offsetof(user, u_debugreg[1]), end_of_operation()) == 0 &&
         ::ptrace(PTRACE_POKEUSER, pid, offsetof(user, u_debugreg[7]), first | second) == 0;
}
void clear_breakpoints(pid_t pid) { ::ptrace(PTRACE_POKEUSER, pid, offsetof(user, u_debugreg[7]), 0); }

// To the step. False if the operation ended before.
bool run_to(pid_t pid, const trace::step& there, const std::function<stop()>& next) {
  if (!set_breakpoints(pid, there.at)) {
    throw std::runtime_error(std::string("cannot set a hardware breakpoint: ") + std::strerror(errno));
  }
  bool comes = true;
  for (std::uint32_t i = 0; comes && i <= there.visit; ++i) {
    ::ptrace(PTRACE_CONT, pid, nullptr, nullptr);
    comes = next() == stop::trapped && instruction(pid) == there.at;
  }
  clear_breakpoints(pid);  // they would outlive our tracing, and kill one that goes on
  return comes;
}

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

bool can_stop_at_breakpoints() {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGTRAP);
    operation_ends();
    ::_exit(0);
  }
  int how = 0;
  if (pid < 0 || ::waitpid(pid, &how, 0) != pid) return false;
  bool stops = WIFSTOPPED(how) && set_breakpoints(pid, end_of_operation());
  if (stops) {
    ::ptrace(PTRACE_CONT, pid, nullptr, nullptr);
    stops = ::waitpid(pid, &how, 0) == pid && WIFSTOPPED(how) && instruction(pid) == end_of_operation();
  }
  if (WIFSTOPPED(how)) {
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }
  return stops;
}

void await_mark(pid_t pid) {
  if (stop_awake(pid, [] {}) != stop::trapped) throw std::runtime_error("the process to be traced did not begin");
}

pid_t halt_keeper(pid_t pid) {
  for (const auto& thread : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid))) {
    std::string name;
    std::getline(std::ifstream(thread.path() / "comm"), name);
    if (name != "millrace keeper") continue;
    const pid_t keeper = std::stoi(thread.path().filename());
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
  const auto next = [&] { return t.by_keeper ? next_stop(pid) : stop_awake(pid, wake); };
  const std::uint32_t anchor = t.steps[point.step].anchor;
  if (anchor != 0 && !run_to(pid, t.steps[anchor], next)) return arrival::elsewhere;
  for (std::uint32_t i = anchor; i != point.step; ++i) {
    if (instruction(pid) == end_of_operation()) return arrival::elsewhere;
    ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr);
    const stop s = next();
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

bool leave_stopped(pid_t pid, pid_t keeper, std::chrono::milliseconds within) {
  const auto until = clock::now() + within;
  const metronome ticking;
  // Fails unless it is stopped already; one that sleeps is stopped by the signal first.
  bool detached = ::ptrace(PTRACE_DETACH, pid, nullptr, SIGSTOP) == 0;
  if (!detached) ::kill(pid, SIGSTOP);
  while (clock::now() < until) {
    int how = 0;
    if (::waitpid(pid, &how, __WALL | WUNTRACED) != pid) {
      if (errno == EINTR) continue;
      return false;
    }
    if (!WIFSTOPPED(how)) return false;
    if (detached) return true;
    detached = ::ptrace(PTRACE_DETACH, pid, nullptr, SIGSTOP) == 0;
    if (detached && keeper > 0 && ::ptrace(PTRACE_DETACH, keeper, nullptr, nullptr) != 0) return false;
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
