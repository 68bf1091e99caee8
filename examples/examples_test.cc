// Each example does what it says, and leaves nothing behind.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/support.h"

namespace {

namespace fs = std::filesystem;

using millrace::named_things;
using millrace::reached;
using words = std::vector<std::string>;

// An example that runs, its output and errors together, its input ours; on a terminal if
// that is asked for.
class program {
 public:
  explicit program(const std::string& name, words arguments = {}, bool on_terminal = false) {
    arguments.insert(arguments.begin(), "examples/" + name);
    int in[2];
    int out[2];
    if (on_terminal) {
      if (::openpty(&out[0], &out[1], nullptr, nullptr, nullptr) != 0) ADD_FAILURE() << "no terminal";
      in[0] = ::dup(out[1]);
      in[1] = ::dup(out[0]);
    } else if (::pipe(in) != 0 || ::pipe(out) != 0) {
      ADD_FAILURE() << "no pipe";
    }
    for (const int end : {in[1], out[0]}) ::fcntl(end, F_SETFD, FD_CLOEXEC);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);
      ::dup2(in[0], 0);
      ::dup2(out[1], 1);
      ::dup2(out[1], 2);
      std::vector<char*> argv;
      for (std::string& a : arguments) argv.push_back(a.data());
      argv.push_back(nullptr);
      ::execv(argv[0], argv.data());
      ::_exit(127);
    }
    ::close(in[0]);
    ::close(out[1]);
    in_ = in[1];
    out_ = out[0];
    ::fcntl(out_, F_SETFL, O_NONBLOCK);
  }
  program(const program&) = delete;
  program& operator=(const program&) = delete;
  ~program() {
    ::kill(-pid_, SIGKILL);
    ::close(out_);
    if (in_ >= 0) ::close(in_);
  }

  const std::string& said() const { return said_; }

  void type(const std::string& text) {
    EXPECT_EQ(::write(in_, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }

  // As Ctrl-C does: it, and the processes that it has started.
  void interrupt() { ::kill(-pid_, SIGINT); }

  // Whether it says so in time.
  bool says(const std::string& text) {
    return reached([&] { return listen() && said_.find(text) != std::string::npos; });
  }

  // How it exited; -1 if it did not.
  int ends() {
    int how = 0;
    const bool ended = reached([&] {
      listen();
      return ::waitpid(pid_, &how, WNOHANG) == pid_;
    });
    listen();
    return ended && WIFEXITED(how) ? WEXITSTATUS(how) : -1;
  }

 private:
  bool listen() {
    std::array<char, 4096> some;
    for (ssize_t n = 0; (n = ::read(out_, some.data(), some.size())) > 0;) {
      for (const char c : std::string(some.data(), static_cast<std::size_t>(n))) {
        if (c != '\r') said_ += c;
      }
    }
    return true;
  }

  pid_t pid_ = -1;
  int in_ = -1;
  int out_ = -1;
  std::string said_;
};

words lines_with(const std::string& text, const std::string& part) {
  words found;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    if (line.find(part) != std::string::npos) found.push_back(line);
  }
  return found;
}

class Examples : public testing::TestWithParam<bool> {
 protected:
  ~Examples() override { EXPECT_EQ(named_things(), before_); }

  static constexpr const char* fast = "--speed=1000";
  std::set<std::string> before_ = named_things();
};

TEST_P(Examples, ShmProducerConsumer) {
  program p("shm_producer_consumer", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  const words consumed = lines_with(p.said(), "consumed ");
  ASSERT_EQ(consumed.size(), 10u) << p.said();
  for (std::size_t i = 0; i != 10; ++i) EXPECT_EQ(consumed[i], "consumed " + std::to_string(i));
  EXPECT_EQ(lines_with(p.said(), "produced ").size(), 10u);
  EXPECT_NE(p.said().find("nothing more to consume\n"), std::string::npos);
}

TEST_P(Examples, MqProducerConsumer) {
  program p("mq_producer_consumer", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  const words received = lines_with(p.said(), "received: ");
  ASSERT_EQ(received.size(), 10u) << p.said();
  for (std::size_t i = 0; i != 10; ++i) EXPECT_EQ(received[i], "received: message " + std::to_string(i));
}

TEST_P(Examples, PipeGreeting) {
  program p("pipe_greeting", {}, GetParam());
  EXPECT_EQ(p.ends(), 0);
  EXPECT_EQ(p.said(), "the child read: Greetings\n");
}

// What docs/tutorial.md shows.
TEST_P(Examples, Backlog) {
  program p("backlog", {}, GetParam());
  EXPECT_EQ(p.ends(), 0);
  EXPECT_EQ(p.said(),
            "nothing is sent yet: 64 KiB\n100000 notes wait: 25024 KiB\nhalf of them are received: 12544 KiB\n"
            "all are received: 64 KiB\n");
}

TEST_P(Examples, FifoWriterAndReader) {
  const std::string path = testing::TempDir() + "fifo-" + std::to_string(::getpid());
  program writer("fifo_writer", {path}, GetParam());
  ASSERT_TRUE(writer.says("waiting for a reader"));
  program reader("fifo_reader", {path}, GetParam());
  ASSERT_TRUE(writer.says("type a line, or exit\n"));
  writer.type("hello there\n");
  ASSERT_TRUE(reader.says("received: hello there\n"));
  writer.type("\nexit\n");
  EXPECT_EQ(writer.ends(), 0) << writer.said();
  EXPECT_EQ(reader.ends(), 0) << reader.said();
  EXPECT_NE(reader.said().find("received: \n"), std::string::npos) << "an empty line is one, too";
  EXPECT_NE(reader.said().find("the writer has gone\n"), std::string::npos);
  EXPECT_FALSE(fs::exists(path));
}

TEST_P(Examples, FifoWriterIsInterrupted) {
  const std::string path = testing::TempDir() + "fifo-" + std::to_string(::getpid());
  for (const bool with_reader : {false, true}) {
    program writer("fifo_writer", {path}, GetParam());
    ASSERT_TRUE(writer.says("waiting for a reader"));
    std::unique_ptr<program> reader;
    if (with_reader) {
      reader = std::make_unique<program>("fifo_reader", words{path});
      ASSERT_TRUE(writer.says("type a line, or exit\n"));
    }
    writer.interrupt();
    EXPECT_EQ(writer.ends(), 130);
    if (with_reader) {
      EXPECT_EQ(reader->ends(), 0);
    }
    EXPECT_FALSE(fs::exists(path));
  }
}

TEST_P(Examples, FifoReaderWithoutAWriterSaysWhatIsMissing) {
  program p("fifo_reader", {"/nowhere/fifo"}, GetParam());
  EXPECT_EQ(p.ends(), 2);
  EXPECT_EQ(lines_with(p.said(), "create it first").size(), 1u) << p.said();
}

TEST_P(Examples, LogCollector) {
  program p("log_collector", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  for (int process = 0; process != 8; ++process) {
    const words logged = lines_with(p.said(), "] process " + std::to_string(process) + ", step ");
    EXPECT_EQ(logged.size(), process < 2 ? 3u : 5u) << p.said();
    for (std::size_t i = 0; i != logged.size(); ++i) {
      EXPECT_TRUE(logged[i].ends_with("step " + std::to_string(i))) << logged[i];
    }
  }
  EXPECT_NE(p.said().find("36 lines; 8 processes logged, 2 of which were killed\n"), std::string::npos) << p.said();
}

TEST_P(Examples, Mailbox) {
  program p("mailbox", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  EXPECT_EQ(lines_with(p.said(), "there is a mailbox now: mpmc_ring of 8 x letter (8 bytes) for 8 members").size(), 1u);
  for (const char* sender : {"P", "Q"}) {
    const words sent = lines_with(p.said(), std::string(sender) + " sends letter ");
    const words received = lines_with(p.said(), std::string(" of ") + sender);
    EXPECT_EQ(sent.size(), 3u) << p.said();
    EXPECT_EQ(received.size(), 3u) << p.said();
  }
  for (const char* receiver : {"R", "S"}) {
    EXPECT_EQ(lines_with(p.said(), std::string(receiver) + " receives letter ").size(), 3u) << p.said();
  }
  EXPECT_TRUE(p.said().ends_with("the mailbox is removed\n")) << p.said();
}

TEST_P(Examples, MailboxIsInterrupted) {
  program p("mailbox", {}, GetParam());
  ASSERT_TRUE(p.says("sends letter 1"));
  p.interrupt();
  EXPECT_EQ(p.ends(), 130);
}

TEST_P(Examples, Rendezvous) {
  program p("rendezvous", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  const std::size_t nobody = p.said().find("A: nobody is at the door\n");
  EXPECT_NE(nobody, std::string::npos) << p.said();
  std::size_t before = nobody;
  for (int i = 1; i <= 3; ++i) {
    const std::string parcel = "parcel " + std::to_string(i) + "\n";
    const std::size_t offered = p.said().find("A: offers " + parcel);
    const std::size_t known = p.said().find("A: B has " + parcel);
    const std::size_t taken = p.said().find("B: takes " + parcel);
    ASSERT_NE(std::max({offered, known, taken}), std::string::npos) << p.said();
    EXPECT_LT(before, offered) << p.said();
    EXPECT_LT(offered, std::min(known, taken)) << p.said();
    before = known;
  }
  EXPECT_EQ(lines_with(p.said(), "B: A has gone").size(), 1u) << p.said();
}

TEST_P(Examples, RendezvousIsInterrupted) {
  program p("rendezvous", {"--speed=0.01"}, GetParam());
  ASSERT_TRUE(p.says("A: offers parcel 1"));
  p.interrupt();
  EXPECT_EQ(p.ends(), -1) << "by the signal";
}

TEST_P(Examples, Broadcast) {
  program p("broadcast", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  const words announced = lines_with(p.said(), "announced: ");
  EXPECT_EQ(announced, (words{"announced: doors open", "announced: next stop: harbour", "announced: doors close"}));
  for (const char* listener : {"A", "B", "C"}) {
    words expected;
    for (const std::string& a : announced) expected.push_back(listener + (" hears: " + a.substr(11)));
    EXPECT_EQ(lines_with(p.said(), listener + std::string(" hears: ")), expected) << p.said();
    EXPECT_EQ(lines_with(p.said(), listener + std::string(" has heard 3 announcements")).size(), 1u) << p.said();
  }
}

// Of a line "NAME: S ticks, M missed, ...".
std::pair<int, int> ticks_of(const std::string& said, const std::string& name) {
  const words lines = lines_with(said, name + ": ");
  int seen = 0;
  int missed = 0;
  if (lines.size() != 1 || std::sscanf(lines[0].c_str() + name.size(), ": %d ticks, %d missed", &seen, &missed) != 2) {
    ADD_FAILURE() << said;
  }
  return {seen, missed};
}

TEST_P(Examples, MarketData) {
  program p("market_data", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  for (const char* name : {"quick", "slow"}) {
    const auto [seen, missed] = ticks_of(p.said(), name);
    EXPECT_EQ(seen + missed, 200) << p.said();
    EXPECT_GE(seen, 16);
  }
  EXPECT_EQ(lines_with(p.said(), "the last price 103.45").size(), 2u) << p.said();
  EXPECT_EQ(lines_with(p.said(), "killed: ").size(), 0u) << p.said();
  EXPECT_NE(p.said().find("the feed has sent 200 ticks\n"), std::string::npos) << p.said();
}

TEST_P(Examples, MarketDataLossless) {
  program p("market_data", {fast, "--lossless"}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  for (const char* name : {"quick", "slow"}) {
    EXPECT_EQ(ticks_of(p.said(), name), std::pair(200, 0)) << p.said();
  }
  EXPECT_EQ(lines_with(p.said(), "killed: ").size(), 0u) << p.said();
}

TEST_P(Examples, Direct) {
  if (millrace::under_tsan) GTEST_SKIP() << "ThreadSanitizer prints a word about children that start threads";
  program p("direct", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  const words expected{
      "customer: order 1",           "customer: order 1 is here",
      "customer: order 2",           "customer: order 2 is here",
      "customer: order 3",           "customer: the shop has gone, with order 3; another opens",
      "customer: order 3",           "customer: order 3 is here",
      "customer: order 4",           "customer: order 4 is here",
      "shop: the customer has gone",
  };
  EXPECT_EQ(lines_with(p.said(), ""), expected);
}

TEST_P(Examples, DirectIsInterrupted) {
  program p("direct", {}, GetParam());
  ASSERT_TRUE(p.says("order 1"));
  p.interrupt();
  EXPECT_EQ(p.ends(), 130);
}

TEST_P(Examples, WorkPool) {
  program p("work_pool", {fast}, GetParam());
  ASSERT_EQ(p.ends(), 0) << p.said();
  const auto ending_with = [&](const std::string& end) {
    return std::ranges::count_if(lines_with(p.said(), end), [&](const std::string& l) { return l.ends_with(end); });
  };
  for (int i = 1; i <= 10; ++i) {
    const std::string number = std::to_string(i);
    EXPECT_EQ(ending_with(" takes job " + number), 1) << p.said();
    EXPECT_EQ(ending_with(" takes over job " + number), i == 3 ? 1 : 0) << p.said();
    EXPECT_EQ(ending_with("job " + number + ": " + std::to_string(i * i)), 1) << p.said();
  }
  EXPECT_TRUE(p.said().ends_with("10 jobs are done; jobs done by another: 1\n")) << p.said();
}

TEST_P(Examples, SpeedIsChecked) {
  program p("shm_producer_consumer", {"--speed=0"}, GetParam());
  EXPECT_EQ(p.ends(), 2);
  EXPECT_EQ(p.said(),
            "shm_producer_consumer: --speed: expected a number from 0.001 to 1000000, found '0'; see --help\n");
}

INSTANTIATE_TEST_SUITE_P(On, Examples, testing::Bool(),
                         [](const auto& test) { return test.param ? "ATerminal" : "APipe"; });

}  // namespace
