// What tests of several processes need: children that end, and names that nobody else uses.
#ifndef MILLRACE_TESTS_SUPPORT_H_
#define MILLRACE_TESTS_SUPPORT_H_

#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <new>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/shared_memory.h"

namespace millrace {

// What this is compiled for, by gcc or clang.
#if defined(__has_feature)
inline constexpr bool under_tsan = __has_feature(thread_sanitizer);
inline constexpr bool under_asan = __has_feature(address_sanitizer);
#else
#if defined(__SANITIZE_THREAD__)
inline constexpr bool under_tsan = true;
#else
inline constexpr bool under_tsan = false;
#endif
#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool under_asan = true;
#else
inline constexpr bool under_asan = false;
#endif
#endif

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

// Whether all threads of the process sleep in futex(2) or futex_waitv(2), to be woken by somebody else.
inline bool asleep(pid_t pid) {
  std::error_code gone;
  bool all = false;
  for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task", gone)) {
    std::ifstream file(thread.path() / "syscall");
    long number = -1;  // a running one has none
    file >> number;
    // ThreadSanitizer's own thread looks around now and then.
    const bool runtimes = under_tsan && (number == SYS_nanosleep || number == SYS_clock_nanosleep);
    if (number != SYS_futex && number != SYS_futex_waitv && !runtimes) return false;
    all = true;
  }
  return all;
}

inline std::ptrdiff_t entries(const char* directory) {
  return std::distance(std::filesystem::directory_iterator(directory), std::filesystem::directory_iterator());
}

// What has a name, or a key, beyond its process.
inline std::set<std::string> named_things() {
  std::set<std::string> found;
  for (const char* where : {"/dev/shm", "/dev/mqueue"}) {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator(where, none)) found.insert(entry.path());
  }
  for (const char* kind : {"shm", "msg", "sem"}) {
    std::ifstream file(std::string("/proc/sysvipc/") + kind);
    for (std::string line; std::getline(file, line);) found.insert(kind + line.substr(0, 21));  // key and id
  }
  return found;
}

// Has namespaces of one's own from here on: one of users makes one root in it, where that is allowed.
inline bool unshared(int what) { return ::unshare(what) == 0 || ::unshare(CLONE_NEWUSER | what) == 0; }

// A T in memory that forked children share.
template <class T>
class shared {
 public:
  shared()
      : at_(::mmap(nullptr, sizeof(T), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)),
        value_(::new (at_) T()) {}
  shared(const shared&) = delete;
  shared& operator=(const shared&) = delete;
  ~shared() { ::munmap(at_, sizeof(T)); }

  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  void* at_;
  T* value_;
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
