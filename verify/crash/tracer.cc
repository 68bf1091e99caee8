#include "verify/crash/tracer.h"

#include <dlfcn.h>
#include <elf.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
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
#include <utility>

#include "verify/crash/actor.h"
#include "verify/crash/sprint.h"

namespace millrace::crash {
namespace {

using clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

constexpr std::size_t longest_operation = 1'000'000;  // instructions
constexpr std::uint32_t cost_of_a_visit = 16;         // steps: how often a loop goes round may change

std::uintptr_t end_of_operation() { return reinterpret_cast<std::uintptr_t>(&operation_ends); }

// The next stop of one that sleeps, or looks like it: it is woken until it does.
stop await_awake(pid_t thread, __ptrace_request how, const waker& wake, const sprint* running = nullptr) {
  stop s = stop::asleep;
  for (const auto until = clock::now() + longest_wait; s == stop::asleep && clock::now() < until;) {
    wake();
    s = await_stop(thread, how, running);
  }
  return s;
}

// How the thread is let on: each time that it sleeps, it is woken. A keeper's sleep is its end.
advance advance_of(pid_t thread, bool by_keeper, waker wake) {
  if (by_keeper) return [=](__ptrace_request how, const sprint* running) { return go_on(thread, how, running); };
  return [=, wake = std::move(wake)](__ptrace_request how, const sprint* running) {
    const stop s = go_on(thread, how, running);
    return s == stop::asleep ? await_awake(thread, how, wake, running) : s;
  };
}

// Of one that is about to.
bool traps(pid_t thread) {
  return await_awake(thread, PTRACE_CONT, [] {}) == stop::trapped;
}

// Where the kernel's part of the process is; ours is where that of each who is forked from us is.
bool is_in_vdso(std::uintptr_t at) {
  static const auto begin = static_cast<std::uintptr_t>(::getauxval(AT_SYSINFO_EHDR));
  static const std::uintptr_t bytes = [] {
    std::uintptr_t most = 0;
    const auto* const file = reinterpret_cast<const Elf64_Ehdr*>(begin);
    const auto* const parts = reinterpret_cast<const Elf64_Phdr*>(begin + (begin == 0 ? 0 : file->e_phoff));
    for (int i = 0; begin != 0 && i != file->e_phnum; ++i) {
      if (parts[i].p_type == PT_LOAD) most = std::max<std::uintptr_t>(most, parts[i].p_vaddr + parts[i].p_memsz);
    }
    return most;
  }();
  return at - begin < bytes;
}

// One instruction on, and through the vDSO at full speed: others see nothing of it, and it reads a clock again
// and again until no tick of the timer has come between, which by slow steps one always has.
stop step(pid_t thread, const advance& on) {
  const stop s = on(PTRACE_SINGLESTEP, nullptr);
  if (s != stop::trapped || !is_in_vdso(instruction(thread))) return s;
  const long stack = ::ptrace(PTRACE_PEEKUSER, thread, offsetof(user, regs.rsp), nullptr);
  const long caller = ::ptrace(PTRACE_PEEKDATA, thread, stack, nullptr);
  const stop there = sprint(thread, static_cast<std::uintptr_t>(caller), end_of_operation()).run(0, on);
  return there == stop::asleep ? stop::astray : there;  // it has come out unseen
}

// Begins with a lock prefix, or is an xchg with memory.
bool locks(long text) {
  const auto byte = [&](int i) { return static_cast<unsigned>(text >> (8 * i)) & 0xff; };
  if (byte(0) == 0xf0) return true;
  const int opcode = (byte(0) & 0xf0) == 0x40 ? 1 : 0;  // behind a REX prefix
  return (byte(opcode) == 0x86 || byte(opcode) == 0x87) && byte(opcode + 1) < 0xc0;
}

bool is_call(long text) { return (text & 0xffff) == 0x050f; }  // syscall
constexpr std::uintptr_t length_of_a_call = 2;

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
  if (!traps(pid)) throw std::runtime_error("the process to be traced did not begin");
}

pid_t halt_keeper(pid_t pid) {
  for (const pid_t keeper : threads(pid)) {
    std::string name;
    std::getline(std::ifstream(fmt::format("/proc/{}/task/{}/comm", pid, keeper)), name);
    if (name != "millrace keeper") continue;
    for (const auto until = clock::now() + longest_wait; !asleep(keeper);) {
      if (clock::now() >= until) throw std::runtime_error("the keeper does not fall asleep");
      std::this_thread::yield();
    }
    if (::ptrace(PTRACE_SEIZE, keeper, nullptr, nullptr) != 0 ||
        ::ptrace(PTRACE_INTERRUPT, keeper, nullptr, nullptr) != 0 || !traps(keeper)) {
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
  const advance on = advance_of(pid, by_keeper, [&] {
    t.steps.back().sleeps = true;
    wake();
  });
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
    const long text = ::ptrace(PTRACE_PEEKTEXT, pid, at, nullptr);
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
    const stop s = step(pid, on);
    if (s == stop::asleep && by_keeper) {
      t.steps.back().sleeps = true;
      return t;
    }
    if (s == stop::astray) throw std::runtime_error("the operation to be traced ran on behind a call to the vDSO");
    if (s != stop::trapped) throw std::runtime_error("the operation to be traced hangs");
    if (t.steps.back().kernel) others.find_shared_memory();
  }
}

arrival go_to(pid_t pid, const trace& t, const kill_point& point, const waker& wake) {
  const advance on = advance_of(pid, t.by_keeper, wake);
  const std::uint32_t anchor = t.steps[point.step].anchor;
  stop s = stop::trapped;
  if (anchor != 0) s = sprint(pid, t.steps[anchor].at, end_of_operation()).run(t.steps[anchor].visit, on);
  for (std::uint32_t i = anchor; s == stop::trapped && i != point.step; ++i) {
    if (instruction(pid) == end_of_operation()) return arrival::elsewhere;
    s = step(pid, on);
  }
  if (s == stop::hung) return arrival::hung;
  if (s != stop::trapped) return arrival::elsewhere;
  if (instruction(pid) != t.steps[point.step].at) return arrival::elsewhere;
  if (!point.asleep) return arrival::there;
  const bed here{static_cast<std::uintptr_t>(::ptrace(PTRACE_PEEKUSER, pid, offsetof(user, regs.rsp), nullptr)),
                 instruction(pid) + length_of_a_call};
  s = go_on(pid, PTRACE_CONT);
  if (s == stop::asleep && asleep_at(pid) == here) return arrival::there;
  return s == stop::hung ? arrival::hung : arrival::elsewhere;
}

bool leave_stopped(pid_t pid, pid_t traced, std::chrono::milliseconds within) {
  const auto until = clock::now() + within;
  ::kill(pid, SIGSTOP);
  // Fails if it sleeps, until the signal has stopped it.
  bool detached = ::ptrace(PTRACE_DETACH, traced, nullptr, SIGSTOP) == 0;
  for (; clock::now() < until; std::this_thread::yield()) {
    int how = 0;
    const pid_t heard = ::waitpid(detached ? pid : traced, &how, __WALL | WUNTRACED | WNOHANG);
    if (heard == 0) continue;
    if (heard < 0 || !WIFSTOPPED(how)) return false;
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
