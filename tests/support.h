// What tests of several processes need: children that end, and names that nobody else uses.
#ifndef MILLRACE_TESTS_SUPPORT_H_
#define MILLRACE_TESTS_SUPPORT_H_

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/shared_memory.h"

#if defined(__SANITIZE_THREAD__)
#define MILLRACE_TEST_UNDER_TSAN
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MILLRACE_TEST_UNDER_TSAN
#endif
#endif

namespace millrace {

// Whether `happened` comes true in time. Asks again and again: nobody wakes us.
template <class F>
bool reached(F happened, std::chrono::milliseconds within = std::chrono::seconds(60)) {
  const deadline until = deadline::after(within);
  while (!happened()) {
    if (deadline::clock::now() >= until.when()) return false;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  }
  return true;
}

// A child process that runs `body` and exits with 0 if it returns true. It dies
// with the test; joining has a deadline and kills.
class child {
 public:
  template <class F>
  explicit child(F body) {
    const pid_t test = ::getpid();
    pid_ = ::fork();
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != test) ::_exit(1);  // it died before the call
    ::_exit(body() ? 0 : 1);
  }
  child(child&& other) noexcept : pid_(std::exchange(other.pid_, -1)) {}
  ~child() {
    if (pid_ > 0) finish(std::chrono::seconds(0));
  }

  pid_t pid() const { return pid_; }

  bool running() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
  }

  bool succeeded(std::chrono::seconds within = std::chrono::seconds(60)) { return finish(within); }

 private:
  bool finish(std::chrono::milliseconds within) {
    int how = 0;
    if (!reached([&] { return ::waitpid(pid_, &how, WNOHANG) != 0; }, within)) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, &how, 0);
    }
    pid_ = -1;
    return WIFEXITED(how) && WEXITSTATUS(how) == 0;
  }

  pid_t pid_ = -1;
};

// A location nobody else uses, unlinked at the end. Test sandboxes may share
// /dev/shm and repeat pids, so only randomness keeps runs apart.
class scratch {
 public:
  static scratch posix() { return scratch(location::posix("millrace-test-" + std::to_string(random()))); }
  static scratch sysv() { return scratch(location::sysv(static_cast<std::int32_t>(random() % 0x7ffffffe) + 1)); }
  explicit scratch(location where) : where_(std::move(where)) {}
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() { (void)shared_memory::unlink(where_); }

  const location& operator*() const { return where_; }
  std::string path() const { return "/dev/shm/" + where_.name(); }

 private:
  static std::uint64_t random() {
    std::random_device source;
    return std::uint64_t{source()} << 32 | source();
  }

  location where_;
};

}  // namespace millrace

#endif  // MILLRACE_TESTS_SUPPORT_H_
