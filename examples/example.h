// What the examples share: their ends, and processes beside them.
#ifndef MILLRACE_EXAMPLES_EXAMPLE_H_
#define MILLRACE_EXAMPLES_EXAMPLE_H_

#include <fmt/core.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "millrace/result.h"
#include "tools/command_line.h"

namespace example {

// The value, or the end of the program with a line that says why there is none.
template <class T>
T need(millrace::result<T> r) {
  if (r) return *std::move(r);
  fmt::print(stderr, "{}\n", r.error().message);
  std::exit(2);
}

// A line, seen at once also where the output is a file.
template <class... Args>
void say(fmt::format_string<Args...> format, Args&&... args) {
  fmt::print(format, std::forward<Args>(args)...);
  std::fputc('\n', stdout);
  std::fflush(stdout);
}

// Text of a fixed size, as a message has it; cut short if longer, and ended by 0.
template <std::size_t N>
std::array<char, N> text(std::string_view from) {
  std::array<char, N> to{};
  from.copy(to.data(), N - 1);
  return to;
}

// Takes a file away when this process ends, also if by Ctrl-C.
inline void leave_no(std::string path) {
  static std::string leftover;
  leftover = std::move(path);
  std::atexit([] { ::unlink(leftover.c_str()); });
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    std::signal(signal, [](int s) {
      ::unlink(leftover.c_str());
      ::_exit(128 + s);
    });
  }
}

// Work takes time; --speed makes it less. Reads the program's options, or ends it.
class worker {
 public:
  worker(millrace::command_line& command, int argc, char** argv) {
    command.number("--speed", speed_, 0.001, 1e6, "how many times as fast as on paper");
    if (const auto status = command.parse(argc, argv)) std::exit(*status);
  }
  void works(std::chrono::duration<double> for_so_long) const { std::this_thread::sleep_for(for_so_long / speed_); }

 private:
  double speed_ = 1;
};

// Children, which end with this process, however it ends.
class family {
 public:
  ~family() { wait(); }

  template <class Body>
  pid_t start(Body body) {
    const pid_t parent = ::getpid();
    const pid_t pid = ::fork();
    if (pid < 0) {
      std::perror("fork");
      std::exit(2);
    }
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::getppid() != parent) ::_exit(1);
      children_.clear();
      body();
      std::fflush(stdout);
      ::_exit(0);
    }
    children_.push_back(pid);
    return pid;
  }

  void wait() {
    for (const pid_t child : children_) ::waitpid(child, nullptr, 0);
    children_.clear();
  }

 private:
  std::vector<pid_t> children_;
};

}  // namespace example

#endif  // MILLRACE_EXAMPLES_EXAMPLE_H_
