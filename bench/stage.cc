#include "bench/stage.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <memory>
#include <thread>
#include <vector>

#include "bench/board.h"
#include "bench/clock.h"
#include "bench/machine.h"
#include "millrace/descriptor.h"
#include "millrace/futex.h"

namespace millrace::bench {
namespace {

constexpr std::chrono::microseconds probe{1000};

// Who ends a run comes before those who run.
constexpr int rank_of_caller = 3;
constexpr int rank_of_stage = 2;
constexpr int rank_of_worker = 1;

void take_core(const worker& w) {
  if (w.job.cores == placement::mixed) return stay_on_any(w.number);
  w.side == role::producer ? stay_on_first_half(w.number) : stay_on_second_half(w.number);
}

void begin(const worker& w) {
  if (w.all.realtime) take_rank(rank_of_worker);
  take_core(w);
  w.all.ready.fetch_add(1, std::memory_order_release);
  while (w.all.started.load(std::memory_order_acquire) == 0) {
    (void)futex_wait(w.all.started, 0, deadline::never());
  }
  w.own().cpu_ns = w.cpu_ns();
}

void refuse(board& b, const char* why) { std::strncpy(b.refused.data(), why, b.refused.size() - 1); }

void labour(queue& q, const worker& w) {
  try {
    q.labour(w, begin);
  } catch (const std::exception& e) {
    refuse(w.all, e.what());
    ::_exit(1);  // the others would wait for it
  }
}

std::uint64_t moved_by(const board& b, std::uint32_t first, std::uint32_t last) {
  std::uint64_t all = 0;
  for (std::uint32_t i = first; i != last; ++i) all += b.desks[i].moved.load(std::memory_order_relaxed);
  return all;
}

std::uint64_t received_of(const work& job, const board& b) {
  if (job.what == task::alone) return moved_by(b, 0, job.producers);
  return moved_by(b, job.producers, job.workers());
}

// A tenth of the window, and until messages have been in all of the memory, as page faults take longer than they do.
void warm_up(const board& b, const work& job, std::chrono::milliseconds window) {
  if (job.what == task::idle) return;
  std::this_thread::sleep_for(std::chrono::microseconds(window) / 10);
  const deadline too_long = deadline::after(std::chrono::milliseconds(200));
  const bool fills = job.what == task::stream || job.what == task::alone;
  while (fills && received_of(job, b) < job.capacity && deadline::clock::now() < too_long.when()) {
    std::this_thread::sleep_for(std::chrono::microseconds(500));
  }
}

void start(board& b, const work& job, std::chrono::milliseconds window) {
  while (b.ready.load(std::memory_order_acquire) != job.workers()) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));  // not a yield: they have a lower rank
  }
  b.started_ns = monotonic_ns();
  b.started.store(1, std::memory_order_release);
  futex_wake_all(b.started);
  warm_up(b, job, window);
  b.received_cold = received_of(job, b);
  b.warm_ns = monotonic_ns();
  b.warm.store(1, std::memory_order_relaxed);
  std::this_thread::sleep_for(window);
  b.enough.store(1, std::memory_order_relaxed);
}

std::vector<worker> cast_of(const work& job, board& b) {
  std::vector<worker> all;
  for (std::uint32_t i = 0; i != job.producers; ++i) all.push_back({job, b, role::producer, i});
  for (std::uint32_t i = 0; i != job.consumers; ++i) all.push_back({job, b, role::consumer, i});
  return all;
}

void with_threads(queue& q, const work& job, board& b, std::chrono::milliseconds window) {
  std::vector<std::thread> all;
  for (const worker& w : cast_of(job, b)) all.emplace_back([&q, w] { labour(q, w); });
  start(b, job, window);
  for (std::thread& t : all) t.join();
}

// Waits for all; false if one ended badly, and then ends the rest.
bool all_end_well(const std::vector<pid_t>& children) {
  for (std::size_t left = children.size(); left != 0; --left) {
    int how = 0;
    (void)::wait(&how);
    if (WIFEXITED(how) && WEXITSTATUS(how) == 0) continue;
    for (const pid_t c : children) ::kill(c, SIGKILL);
    return false;
  }
  return true;
}

bool with_processes(queue& q, const work& job, board& b, std::chrono::milliseconds window) {
  std::vector<pid_t> all;
  for (const worker& w : cast_of(job, b)) {
    const pid_t child = fork_bound();
    if (child < 0) {
      refuse(b, "cannot fork");
      return false;
    }
    if (child == 0) {
      labour(q, w);
      ::_exit(0);
    }
    all.push_back(child);
  }
  start(b, job, window);
  return all_end_well(all);
}

// In the process that is the stage.
bool play(const contender& who, const work& job, board& b, std::chrono::milliseconds window) try {
  if (b.realtime) take_rank(rank_of_stage);
  b.producers_left.store(job.producers, std::memory_order_relaxed);
  b.line_before = line_round_trip(1, probe);
  const std::unique_ptr<queue> q = who.make(job, b);
  if (q == nullptr) {
    refuse(b, "not made for that");
    return false;
  }
  b.bytes = q->bytes();
  if (job.where == place::threads) {
    with_threads(*q, job, b, window);
  } else if (!with_processes(*q, job, b, window)) {
    return false;
  }
  b.line_after = line_round_trip(1, probe);
  return true;
} catch (const std::exception& e) {
  refuse(b, e.what());
  return false;
}

void count(const work& job, const board& b, outcome& o) {
  std::uint64_t least[2] = {UINT64_MAX, UINT64_MAX};
  std::int64_t cpu = 0;
  std::int64_t ended = b.started_ns;
  for (std::uint32_t i = 0; i != job.workers(); ++i) {
    const desk& d = b.desks[i];
    const bool sends = i < job.producers;
    least[sends ? 0 : 1] = std::min(least[sends ? 0 : 1], d.moved.load(std::memory_order_relaxed));
    cpu += d.cpu_ns;
    if (!sends) o.receivers += 1e-9 * static_cast<double>(d.cpu_ns);
    ended = std::max(ended, d.ended_ns);
  }
  o.sent = moved_by(b, 0, job.producers);
  o.received = received_of(job, b);
  o.cold = b.received_cold;
  o.seconds = 1e-9 * static_cast<double>(ended - b.warm_ns);
  const auto share = [](std::uint64_t part, std::uint64_t whole, std::uint32_t many) {
    return whole == 0 ? 0.0 : static_cast<double>(part) * many / static_cast<double>(whole);
  };
  o.least_share = share(least[0], o.sent, job.producers);
  if (job.consumers != 0) o.least_share = std::min(o.least_share, share(least[1], o.received, job.consumers));
  const double could = 1e-9 * static_cast<double>(ended - b.started_ns) *
                       static_cast<double>(std::min<std::size_t>(job.workers(), cores().size()));
  o.busy = could > 0 ? 1e-9 * static_cast<double>(cpu) / could : 0;
}

// Of a run that came to its end.
void audit(const work& job, const board& b, outcome& o) {
  if (job.what == task::alone) {
    o.damaged = b.desks[0].books.torn;
    return;
  }
  for (std::uint32_t p = 0; p != job.producers; ++p) {
    std::uint64_t got = 0;
    std::uint64_t checksum = 0;
    for (std::uint32_t c = 0; c != job.consumers; ++c) {
      const account& a = b.desks[job.producers + c].books.of[p];
      got += a.count();
      checksum += a.checksum();
      o.reordered += a.reordered();
    }
    const std::uint64_t sent = b.desks[p].moved.load(std::memory_order_acquire);
    if (got < sent) o.lost += sent - got;
    if (got > sent) o.doubled += got - sent;
    if (got == sent && checksum != checksum_of_all(sent)) ++o.damaged;
  }
  for (std::uint32_t c = 0; c != job.consumers; ++c) o.damaged += b.desks[job.producers + c].books.torn;
}

}  // namespace

shared_board::shared_board()
    : at_(::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
  if (at_ == MAP_FAILED) throw std::bad_alloc();
  std::construct_at(static_cast<board*>(at_));
}

shared_board::~shared_board() {
  const board& b = **this;
  for (const auto& name : b.segments) {
    if (name.front() != '\0') ::shm_unlink(name.data());
  }
  for (const std::int32_t queue : b.message_queues) {
    if (queue >= 0) ::msgctl(queue, IPC_RMID, nullptr);
  }
  ::munmap(at_, sizeof(board));
}

pid_t fork_bound() {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(1);
  }
  return child;
}

performance::performance(const contender& who, const work& job, std::chrono::milliseconds window, bool realtime,
                         std::chrono::milliseconds beyond)
    : job_(job), limit_(window + beyond) {
  shared_->realtime = realtime;
  if (realtime && !take_rank(rank_of_caller)) {
    refuse(*shared_, "may not take a rank before other processes");
    return;
  }
  stage_ = fork_bound();
  if (stage_ == 0) ::_exit(play(who, job_, *shared_, window) ? 0 : 1);
  if (stage_ < 0) refuse(*shared_, "cannot fork");
}

outcome performance::finish() {
  const board& b = *shared_;
  outcome o;
  int how = 0;
  if (stage_ > 0) {
    const descriptor watched(static_cast<int>(::syscall(SYS_pidfd_open, stage_, 0)));
    pollfd ended{watched.number(), POLLIN, 0};
    o.stuck = ::poll(&ended, 1, static_cast<int>(limit_.count())) == 0;
    if (o.stuck) ::kill(stage_, SIGKILL);
    ::waitpid(stage_, &how, 0);
  }
  if (stage_ < 0 || (!o.stuck && !(WIFEXITED(how) && WEXITSTATUS(how) == 0))) {
    o.failed = b.refused.front() != '\0' ? b.refused.data()
               : WIFSIGNALED(how)        ? std::string("killed by ") + ::strsignal(WTERMSIG(how))
                                         : "a worker ended badly";
    return o;
  }
  o.line_before = b.line_before;
  o.line_after = b.line_after;
  o.bytes = b.bytes;
  count(job_, b, o);
  if (o.stuck) {
    o.seconds = b.warm_ns == 0 ? 0 : 1e-9 * static_cast<double>(monotonic_ns() - b.warm_ns);
  } else {
    audit(job_, b, o);
  }
  o.trips = b.trips;
  return o;
}

outcome perform(const contender& who, const work& job, std::chrono::milliseconds window, bool realtime,
                std::chrono::milliseconds beyond) {
  return performance(who, job, window, realtime, beyond).finish();
}

}  // namespace millrace::bench
