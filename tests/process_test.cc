#include "millrace/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <thread>

namespace millrace {
namespace {

// A child that lives until killed; reaped at the end.
class child {
 public:
  template <class Work>
  explicit child(Work work) : pid_(::fork()) {
    if (pid_ == 0) {
      work();
      for (;;) ::pause();
    }
  }
  child(const child&) = delete;
  child& operator=(const child&) = delete;
  ~child() {
    if (pid_ > 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
  }

  pid_t pid() const { return pid_; }

  void kill() { ::kill(pid_, SIGKILL); }

  // Until it is a zombie, and leaves it one.
  void await_zombie() const {
    siginfo_t info{};
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  }

  void reap() {
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }

 private:
  pid_t pid_;
};

constexpr auto do_nothing = [] {};

TEST(Process, IsAliveToItself) {
  const auto self = process_identity::self();
  EXPECT_EQ(self.pid, ::getpid());
  EXPECT_NE(self.start_time, 0U);
  EXPECT_NE(self.pid_namespace, 0U);
  EXPECT_EQ(probe(self), liveness::alive);
  EXPECT_EQ(self, process_identity::self());
}

TEST(Process, PackingKeepsPidAndStartTime) {
  const auto self = process_identity::self();
  EXPECT_EQ(process_identity::unpack(self.pack(), self.pid_namespace), self);
  const process_identity extreme{(1 << 22) - 1, (std::uint64_t{1} << 42) - 1, 7};
  EXPECT_EQ(extreme.pack(), ~std::uint64_t{0});
  EXPECT_EQ(process_identity::unpack(extreme.pack(), 7), extreme);
}

TEST(Process, AForkedChildIsAnother) {
  child other(do_nothing);
  const auto identity = process_identity::of(other.pid());
  EXPECT_NE(identity, process_identity::self());
  EXPECT_EQ(probe(identity), liveness::alive);
}

TEST(Process, AStoppedProcessIsAlive) {
  child other(do_nothing);
  const auto identity = process_identity::of(other.pid());
  ASSERT_EQ(::kill(other.pid(), SIGSTOP), 0);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(other.pid()), &info, WSTOPPED | WNOWAIT), 0);
  EXPECT_EQ(probe(identity), liveness::alive);
}

TEST(Process, AZombieIsDeadBeforeItIsReapedAndAfter) {
  child other(do_nothing);
  const auto identity = process_identity::of(other.pid());
  other.kill();
  other.await_zombie();
  EXPECT_EQ(probe(identity), liveness::dead);
  other.reap();
  EXPECT_EQ(probe(identity), liveness::dead);
}

TEST(Process, AnotherStartTimeMeansThePidWasGivenAway) {
  auto identity = process_identity::self();
  ++identity.start_time;
  EXPECT_EQ(probe(identity), liveness::dead);
}

TEST(Process, AnotherNamespaceOrNoneIsUnknown) {
  auto identity = process_identity::self();
  ++identity.pid_namespace;
  EXPECT_EQ(probe(identity), liveness::unknown);
  identity.pid_namespace = 0;
  EXPECT_EQ(probe(identity), liveness::unknown);
  EXPECT_EQ(probe(process_identity{}), liveness::unknown);
}

// Its leader is a zombie to /proc, but the process runs.
TEST(Process, OneWhoseLeaderEndedBeforeAnotherThreadIsAlive) {
  child other([] {
    std::thread([] {
      for (;;) ::pause();
    }).detach();
    ::syscall(SYS_exit, 0);  // pthread_exit would unwind into the test's frames
  });
  const auto identity = process_identity::of(other.pid());
  const std::string path = "/proc/" + std::to_string(other.pid()) + "/stat";
  for (std::string line; line.find(") Z ") == std::string::npos; std::this_thread::yield()) {
    std::ifstream file(path);
    ASSERT_TRUE(std::getline(file, line));
  }
  EXPECT_EQ(probe(identity), liveness::alive);
  other.kill();
  other.await_zombie();
  EXPECT_EQ(probe(identity), liveness::dead);
}

TEST(Process, ANameThatImitatesTheFileFoolsNobody) {
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  child other([&] {
    ::prctl(PR_SET_NAME, ") Z 1 (a b) X");
    (void)!::write(ready[1], "x", 1);
  });
  const auto before = process_identity::of(other.pid());
  char c = 0;
  ASSERT_EQ(::read(ready[0], &c, 1), 1);
  EXPECT_EQ(process_identity::of(other.pid()), before);
  EXPECT_EQ(probe(before), liveness::alive);
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace millrace
