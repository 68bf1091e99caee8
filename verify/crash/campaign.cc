#include "verify/crash/campaign.h"

#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <climits>
#include <cstring>
#include <exception>
#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <unordered_map>

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds little = 300ms;  // once the cell has failed anyhow
constexpr std::size_t sure_after = 3;                // failures
constexpr auto longest_silence = 200s;               // of a worker that only ever waits for a few times its patience

// What a worker tells, one write each, shorter than a pipe's unit of writing.
struct message {
  enum class kind : std::uint8_t { begun, tried, failed, finished, broken };

  kind what;
  bool asleep = false;
  std::uint32_t worker = 0;
  std::uint32_t cell = 0;
  std::uint32_t number = 0;  // begun: instructions; tried: points; failed: the step
  std::uint32_t elsewhere = 0;
  std::uint32_t before = 0;  // failed: see strike_point
  std::array<char, 256> wrong{};
  std::array<char, 512> where{};
};
static_assert(sizeof(message) <= PIPE_BUF);

template <std::size_t N>
void put(std::array<char, N>& to, std::string_view from) {
  std::memcpy(to.data(), from.data(), std::min(from.size(), N - 1));
}

// Keeps us, and who is forked from now on, on one core until the next call: to step a process
// that runs on another takes twice as long. On one that is free, if there is: that is
// where the kernel puts who wakes up.
void settle_on_a_core(const cpu_set_t& allowed) {
  ::sched_setaffinity(0, sizeof allowed, &allowed);
  std::this_thread::sleep_for(1ms);
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(static_cast<unsigned>(::sched_getcpu()), &here);
  ::sched_setaffinity(0, sizeof here, &here);
}

class worker {
 public:
  worker(std::span<const cell> cells, const request& how, std::uint32_t number, int pipe)
      : cells_(cells), how_(how), number_(number), pipe_(pipe) {}

  void work(std::atomic<std::uint32_t>& next) {
    cpu_set_t allowed;
    ::sched_getaffinity(0, sizeof allowed, &allowed);
    for (std::uint32_t i = next++; i < cells_.size(); i = next++) {
      settle_on_a_core(allowed);
      try {
        try_cell(i);
      } catch (const std::exception& e) {
        message m{.what = message::kind::broken, .cell = i};
        put(m.wrong, e.what());
        say(m);
      }
    }
  }

 private:
  void try_cell(std::uint32_t i) {
    const cell& c = cells_[i];
    say({.what = message::kind::begun, .cell = i});
    const play p = rehearse(c, [&] { say({.what = message::kind::begun, .cell = i}); });
    std::uint32_t instructions = 0;
    std::size_t all = 0;
    for (const act& a : p.acts) {
      instructions += static_cast<std::uint32_t>(a.what.steps.size() - 1);
      all += chosen(a, c.how).size();
    }
    if (all == 0) throw std::runtime_error("the operation has no such point");
    say({.what = message::kind::begun, .cell = i, .number = instructions});
    std::size_t failures = 0;
    std::size_t passed_over = 0;
    const std::size_t stride = how_.most == 0 ? how_.stride : std::max<std::size_t>(how_.stride, all / how_.most);
    for (const act& a : p.acts) {
      for (const kill_point& point : chosen(a, c.how)) {
        if (passed_over++ % stride != 0) continue;
        const finding f =
            strike(c, p, a, point, failures < sure_after ? how_.patience : std::min(how_.patience, little));
        if (!f.wrong.empty()) {
          ++failures;
          message m{.what = message::kind::failed, .asleep = point.asleep, .cell = i, .number = point.step};
          m.before = a.before;
          put(m.wrong, f.wrong);
          put(m.where, where(a.what.steps[point.step].at));
          say(m);
        }
        say({.what = message::kind::tried, .cell = i, .number = 1, .elsewhere = f.elsewhere ? 1u : 0u});
      }
    }
    say({.what = message::kind::finished, .cell = i});
  }

  std::vector<kill_point> chosen(const act& a, blow how) const {
    if (!how_.only) return how_.each ? all_points(a.what) : points(a.what, how);
    const kill_point& at = how_.only->at;
    const bool here = how_.only->before == a.before && at.step < a.what.steps.size();
    if (!here || (at.asleep && !a.what.steps[at.step].sleeps)) return {};
    return {at};
  }

  const std::string& where(std::uintptr_t at) {
    std::string& known = described_[at];
    if (known.empty()) known = describe_address(at);
    return known;
  }

  void say(message m) const {
    m.worker = number_;
    if (::write(pipe_, &m, sizeof m) != sizeof m) ::_exit(1);  // nobody listens
  }

  std::span<const cell> cells_;
  const request& how_;
  std::uint32_t number_;
  int pipe_;
  std::unordered_map<std::uintptr_t, std::string> described_;
};

// The workers of one run; none outlives it.
class crew {
 public:
  crew(std::span<const cell> cells, const request& how) : cells_(cells), how_(how) {
    void* const at = ::mmap(nullptr, sizeof *next_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    next_ = std::construct_at(static_cast<std::atomic<std::uint32_t>*>(at), 0u);
    if (::pipe(pipe_.data()) != 0) throw std::runtime_error(std::string("pipe: ") + std::strerror(errno));
    members_.resize(how.jobs);
    for (std::uint32_t i = 0; i != how.jobs; ++i) hire(i);
  }
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;
  ~crew() {
    for (std::uint32_t i = 0; i != members_.size(); ++i) dismiss(i);
    ::close(pipe_[0]);
    ::close(pipe_[1]);
    ::munmap(next_, sizeof *next_);
  }

  bool busy() const {
    return std::ranges::any_of(members_, [](const member& m) { return m.pid > 0; });
  }

  // The next message; false if there was none for some time.
  bool listen(message& m) {
    pollfd there{pipe_[0], POLLIN, 0};
    if (::poll(&there, 1, 100) <= 0) return false;
    if (::read(pipe_[0], &m, sizeof m) != sizeof m) return false;
    member& from = members_[m.worker];
    from.heard = std::chrono::steady_clock::now();
    if (m.what == message::kind::begun) from.at = m.cell;
    if (m.what == message::kind::finished || m.what == message::kind::broken) from.at = nowhere;
    return true;
  }

  // Buries who is done. One who died at work, or is silent, is replaced: `lost` is
  // called with the cell.
  template <class F>
  void look_after(F lost) {
    for (std::uint32_t i = 0; i != members_.size(); ++i) {
      member& m = members_[i];
      if (m.pid <= 0) continue;
      const bool silent = std::chrono::steady_clock::now() - m.heard > longest_silence;
      if (silent) dismiss(i);
      if (!silent && ::waitpid(m.pid, nullptr, WNOHANG) != m.pid) continue;
      m.pid = -1;
      if (m.at == nowhere) continue;
      lost(m.at, silent ? "the matrix itself hung in it" : "the matrix itself crashed in it");
      hire(i);
    }
  }

 private:
  static constexpr std::uint32_t nowhere = 0xffffffff;

  struct member {
    pid_t pid = -1;
    std::uint32_t at = nowhere;  // the cell
    std::chrono::steady_clock::time_point heard{};
  };

  void hire(std::uint32_t i) {
    const pid_t me = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) throw std::runtime_error(std::string("cannot fork: ") + std::strerror(errno));
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != me) ::_exit(1);  // it died before the call
      worker(cells_, how_, i, pipe_[1]).work(*next_);
      ::_exit(0);
    }
    members_[i] = {pid, nowhere, std::chrono::steady_clock::now()};
  }

  void dismiss(std::uint32_t i) {
    if (members_[i].pid <= 0) return;
    ::kill(members_[i].pid, SIGKILL);
    ::waitpid(members_[i].pid, nullptr, 0);
    members_[i].pid = -1;
  }

  std::span<const cell> cells_;
  const request& how_;
  std::atomic<std::uint32_t>* next_ = nullptr;  // cell to be tried
  std::array<int, 2> pipe_{-1, -1};
  std::vector<member> members_;
};

}  // namespace

std::vector<outcome> run(std::span<const cell> cells, const request& how,
                         const std::function<void(const progress&)>& tell) {
  std::vector<outcome> all;
  for (const cell& c : cells) all.push_back({.what = c, .broken = "nobody has come to it"});
  progress made;
  const auto done = [&](const outcome& o) {
    ++made.cells;
    made.just_done = &o;
  };
  crew workers(cells, how);
  message m{};
  for (bool heard = true; heard || workers.busy();) {
    made.just_done = nullptr;
    heard = workers.listen(m);
    if (!heard) {
      workers.look_after([&](std::uint32_t cell, const char* why) {
        all[cell].broken = why;
        done(all[cell]);
        tell(made);
      });
      continue;
    }
    outcome& o = all[m.cell];
    switch (m.what) {
      case message::kind::begun:
        o.instructions = m.number;
        break;
      case message::kind::tried:
        o.points += m.number;
        o.elsewhere += m.elsewhere;
        made.points += m.number;
        break;
      case message::kind::failed:
        o.failures.push_back({{m.before, {m.number, m.asleep}}, m.wrong.data(), m.where.data()});
        break;
      case message::kind::broken:
        o.broken = m.wrong.data();
        done(o);
        break;
      case message::kind::finished:
        o.broken.clear();
        done(o);
        break;
    }
    tell(made);
  }
  return all;
}

}  // namespace millrace::crash
