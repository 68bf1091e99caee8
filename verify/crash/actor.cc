#include "verify/crash/actor.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <span>
#include <stdexcept>
#include <system_error>
#include <vector>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "millrace/platform.h"
#include "verify/crash/tracer.h"

namespace millrace::crash {
namespace {

// The operating side: one handle, one order at a time.
class operative {
 public:
  operative(const workplace& at, mailbox& mail) : at_(at), ring_(at.inherited), mail_(mail) {}

  void obey(const order& o) {
    const std::span<parcel> all(mail_.messages.data(), std::min(o.count, mailbox::room));
    if (pushes(o.what)) {
      for (std::uint32_t i = 0; i != all.size(); ++i) all[i] = races::pack(o.producer, o.first + i, seed);
    }
    const deadline until = o.patience.count() < 0 ? deadline::never() : deadline::after(o.patience);
    if (o.traced) asm volatile("int3" ::: "memory");
    call(o, all, until);
    operation_ends();
  }

 private:
  static bool pushes(verb v) {
    return v == verb::try_push || v == verb::try_push_n || v == verb::push || v == verb::push_n || v == verb::reserve ||
           v == verb::select_push;
  }

  // Only this is stepped through.
  [[gnu::noinline]] void call(const order& o, std::span<parcel> all, deadline until) {
    switch (o.what) {
      case verb::join:
        seat_ = ring_->attach(o.receives);
        return answer(seat_ != nullptr ? status::ok : status::full, seat_ != nullptr ? 1 : 0);
      case verb::leave:
        seat_.reset();
        return answer(status::ok, 1);
      case verb::join_again:
        second_ = ring_->attach(o.receives);
        return answer(second_ != nullptr ? status::ok : status::full, second_ != nullptr ? 1 : 0);
      case verb::leave_again:
        second_.reset();
        return answer(status::ok, 1);
      case verb::try_push: {
        const status s = seat_->try_push(all[0]);
        return answer(s, s == status::ok ? 1 : 0);
      }
      case verb::push: {
        const status s = seat_->push(all[0], until);
        return answer(s, s == status::ok ? 1 : 0);
      }
      case verb::try_push_n:
        return answer(seat_->try_push_n(all));
      case verb::push_n:
        return answer(seat_->push_n(all));
      case verb::try_pop:
        return answer(seat_->try_pop(all[0]));
      case verb::pop:
        return answer(seat_->pop(all[0], until));
      case verb::try_pop_n:
        return answer(seat_->try_pop_n(all));
      case verb::pop_n:
        return answer(seat_->pop_n(all));
      case verb::reserve: {
        const status s = seat_->reserve(all[0], until);
        return answer(s, s == status::ok ? 1 : 0);
      }
      case verb::withdraw:
        seat_->withdraw();
        return answer(status::ok, 0);
      case verb::peek:
        return answer(seat_->peek(all[0], until));
      case verb::select_push: {
        const status s = seat_->select_push(all[0]);
        return answer(s, s == status::ok ? 1 : 0);
      }
      case verb::select_pop:
        return answer(seat_->select_pop(all[0]));
      case verb::close:
        seat_->close();
        return answer(status::ok, 1);
      case verb::drain:
        return drain(until);
      case verb::fill:
        return fill(o, until);
      case verb::settle:
        return settle();
      case verb::create:
        return take(at_.type->create(at_.where, at_.options));
      case verb::open:
        return take(at_.type->open_or_create(at_.where, at_.options));
    }
  }

  void answer(status why, std::size_t count) {
    mail_.why = why;
    mail_.count = static_cast<std::uint32_t>(count);
    mail_.missed = seat_ != nullptr ? seat_->missed() : 0;
    mail_.answered.store(1, std::memory_order_release);  // pairs with the director's look after our death
  }
  void answer(const batch_result& r) { answer(r.why, r.count); }
  void answer(const popped& p) {
    mail_.redelivered[0] = p.redelivered;  // alone, or not
    answer(p.why, p.count);
  }

  void take(result<std::unique_ptr<segment>> made) {
    if (made) own_ = *std::move(made);
    if (made) ring_ = own_.get();
    answer(made ? status::ok : status::closed, made ? 1 : 0);
  }

  void drain(deadline until) {
    std::uint32_t count = 0;
    for (unsigned turn = 0; count != mailbox::room; ++turn) {
      const popped p = seat_->try_pop(mail_.messages[count]);
      if (p.why == status::ok) {
        mail_.redelivered[count++] = p.redelivered;
      } else if (p.why != status::busy || deadline::clock::now() >= until.when()) {
        return answer(p.why, count);
      }
      native::relax(turn);
    }
    answer(status::ok, count);
  }

  void fill(const order& o, deadline until) {
    for (std::uint32_t i = 0; i != o.count; ++i) {
      const status s = seat_->push(races::pack(o.producer, o.first + i, seed), until);
      if (s != status::ok) return answer(s, i);
    }
    status more = status::busy;
    for (unsigned turn = 0; more == status::busy && deadline::clock::now() < until.when(); ++turn) {
      more = seat_->try_push(races::pack(o.producer, o.first + o.count, seed));
      native::relax(turn);
    }
    answer(more, o.count + (more == status::ok ? 1 : 0));
  }

  void settle() {
    std::vector<std::unique_ptr<seat>> taken;
    while (auto one = ring_->attach(false)) taken.push_back(std::move(one));
    answer(status::ok, taken.size());
  }

  const workplace& at_;
  std::unique_ptr<segment> own_;
  segment* ring_;
  mailbox& mail_;
  std::unique_ptr<seat> seat_;
  std::unique_ptr<seat> second_;
};

[[noreturn]] void act(const workplace& at, mailbox& mail, pid_t director) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != director) ::_exit(1);  // it died before the call
  operative me(at, mail);
  for (std::uint32_t turn = 0;; turn += 2) {
    while (mail.turn.load(std::memory_order_acquire) == turn) futex_wait(mail.turn, turn, deadline::never());
    me.obey(mail.told);
    mail.turn.store(turn + 2, std::memory_order_release);
    futex_wake_all(mail.turn);
  }
}

// The text of a file of /proc, cut off where it does not fit.
template <std::size_t N>
std::string_view read_proc(const char* path, std::array<char, N>& text) {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return {};
  const ssize_t n = ::read(file, text.data(), N - 1);
  ::close(file);
  text[n > 0 ? static_cast<std::size_t>(n) : 0] = 0;
  return {text.data(), n > 0 ? static_cast<std::size_t>(n) : 0};
}

}  // namespace

actor::actor(std::string_view name, const workplace& at, mailbox& mail, bool traced)
    : name_(name), mail_(*std::construct_at(&mail)), pid_(-1) {
  const pid_t director = ::getpid();
  pid_ = ::fork();
  if (pid_ < 0) throw std::runtime_error(std::string("cannot fork: ") + std::strerror(errno));
  if (pid_ == 0) act(at, mail, director);
  if (traced && ::ptrace(PTRACE_SEIZE, pid_, nullptr, nullptr) != 0) {
    const int why = errno;
    die();
    throw std::runtime_error(std::string("cannot trace a child: ") + std::strerror(why));
  }
}

actor::~actor() { die(); }

void actor::tell(const order& o) {
  mail_.told = o;
  mail_.answered.store(0, std::memory_order_relaxed);
  mail_.count = 0;
  mail_.turn.fetch_add(1, std::memory_order_release);
  futex_wake_all(mail_.turn);
}

bool actor::done() const { return mail_.turn.load(std::memory_order_acquire) % 2 == 0; }

bool actor::finish(std::chrono::milliseconds within) {
  const deadline until = deadline::after(within);
  for (;;) {
    const std::uint32_t turn = mail_.turn.load(std::memory_order_acquire);
    if (turn % 2 == 0) return true;
    if (futex_wait(mail_.turn, turn, until) == wait_result::timed_out) return done();
  }
}

pid_t actor::halt_keeper() { return keeper_ = crash::halt_keeper(pid_); }

bool actor::leave_stopped(std::chrono::milliseconds within) {
  const bool stopped = crash::leave_stopped(pid_, keeper_ > 0 ? keeper_ : pid_, within);
  if (stopped) keeper_ = -1;
  return stopped;
}

void actor::die() {
  if (pid_ <= 0) return;
  ::kill(pid_, SIGKILL);
  for (bool dead = false; !dead; ::sched_yield()) {
    // Threads that are traced hold up the process's end until their tracer has heard of theirs.
    for (const pid_t thread : threads(pid_)) {
      if (thread != pid_) (void)::waitpid(thread, nullptr, __WALL | WNOHANG);
    }
    int how = 0;
    const pid_t heard = ::waitpid(pid_, &how, __WALL | WNOHANG);  // first perhaps of a stop
    dead = heard < 0 ? errno != EINTR : heard == pid_ && !WIFSTOPPED(how);
  }
  pid_ = -1;
}

std::optional<bed> asleep_at(pid_t thread) {
  std::array<char, 256> text{};
  // "running", or the number of the call, its six arguments, the stack and the next instruction
  if (read_proc(fmt::format("/proc/{}/syscall", thread).c_str(), text).empty()) return {};
  long call = 0;
  bed here;
  if (std::sscanf(text.data(), "%ld %*s %*s %*s %*s %*s %*s %zx %zx", &call, &here.stack, &here.behind) != 3) return {};
  if (call != SYS_futex && call != SYS_futex_waitv) return {};
  return here;
}

std::vector<pid_t> threads(pid_t pid) {
  std::vector<pid_t> all;
  std::error_code gone;
  for (std::filesystem::directory_iterator i(fmt::format("/proc/{}/task", pid), gone), end; i != end;
       i.increment(gone)) {
    all.push_back(std::stoi(i->path().filename()));
  }
  return all;
}

std::string whereabouts(pid_t pid) {
  std::string all;
  for (const pid_t thread : threads(pid)) {
    std::array<char, 256> text{};
    const std::string_view now = read_proc(fmt::format("/proc/{}/task/{}/syscall", pid, thread).c_str(), text);
    const std::string_view call = now.substr(0, now.find_first_of(" \n"));  // nothing, of one that has ended
    all += fmt::format("{}{}{}", all.empty() ? "" : "; ", call == "running" ? "" : "in system call ",
                       call.empty() ? "none" : call);
  }
  return all;
}

std::uint64_t thread_rest(pid_t thread) {
  std::array<char, 4096> text{};
  const std::string_view status = read_proc(fmt::format("/proc/{}/status", thread).c_str(), text);
  const std::size_t state = status.find("\nState:\t");
  if (state == std::string_view::npos || (status[state + 8] != 'S' && status[state + 8] != 'Z')) return 0;
  std::uint64_t sum = 1;
  for (const char* field : {"\nvoluntary_ctxt_switches:\t", "\nnonvoluntary_ctxt_switches:\t"}) {
    const std::size_t at = status.find(field);
    if (at == std::string_view::npos) return 0;
    sum = sum * 31 + static_cast<std::uint64_t>(std::atoll(status.data() + at + std::strlen(field)));
  }
  return sum;
}

std::uint64_t rest(pid_t pid) {
  std::uint64_t sum = 0;
  for (const pid_t thread : threads(pid)) {
    const std::uint64_t one = thread_rest(thread);
    if (one == 0) return 0;
    sum = sum * 31 + one;
  }
  return sum;
}

}  // namespace millrace::crash
