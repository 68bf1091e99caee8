// The demonstration as a user meets it: a process with arguments, a terminal or a log, and signals.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/securebits.h>
#include <pty.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <boost/property_tree/json_parser.hpp>
#include <boost/property_tree/ptree.hpp>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "millrace/mpmc_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "verify/races/history.h"
#include "verify/races/rings.h"

namespace millrace::races {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;
using words = std::vector<std::string>;

constexpr char binary[] = "verify/races/demo";

// --- A demonstration that runs ----------------------------------------------

struct ended {
  int status = 0;  // as waitpid gives it
  std::string out;
  std::string err;
  clock::duration took{};

  int exit_code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status); }
};

[[noreturn]] void execute(const words& args) {
  std::vector<char*> argv{const_cast<char*>(binary)};
  for (const std::string& a : args) argv.push_back(const_cast<char*>(a.c_str()));
  argv.push_back(nullptr);
  execv(binary, argv.data());
  _exit(99);
}

std::string contents(int descriptor) {
  std::string all;
  char part[4096];
  off_t at = 0;
  for (ssize_t n = 0; (n = pread(descriptor, part, sizeof(part), at)) > 0; at += n) {
    all.append(part, static_cast<std::size_t>(n));
  }
  return all;
}

// In a process group of its own, with its output going to files.
class started {
 public:
  // `before` runs in the new process.
  explicit started(
      const words& args, const std::function<void()>& before = [] {})
      : out_(memfd_create("out", MFD_CLOEXEC)), err_(memfd_create("err", MFD_CLOEXEC)), at_(clock::now()) {
    pid_ = fork();
    if (pid_ != 0) return;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is killed leaves none
    dup2(out_, STDOUT_FILENO);
    dup2(err_, STDERR_FILENO);
    before();
    execute(args);
  }
  started(const started&) = delete;
  started& operator=(const started&) = delete;
  ~started() {
    if (!waited_) {
      ::kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    close(out_);
    close(err_);
  }

  pid_t pid() const { return pid_; }

  ended wait() {
    ended e;
    EXPECT_EQ(waitpid(pid_, &e.status, 0), pid_);
    waited_ = true;
    e.took = clock::now() - at_;
    e.out = contents(out_);
    e.err = contents(err_);
    return e;
  }

  std::vector<pid_t> children() const {
    const std::string pid = std::to_string(pid_);
    std::ifstream list("/proc/" + pid + "/task/" + pid + "/children");
    return {std::istream_iterator<pid_t>(list), {}};
  }

 private:
  int out_;
  int err_;
  clock::time_point at_;
  pid_t pid_ = 0;
  bool waited_ = false;
};

ended demo(const words& args) { return started(args).wait(); }

template <class Condition>
::testing::AssertionResult soon(Condition condition) {
  const auto until = clock::now() + 30s;
  while (!condition()) {
    if (clock::now() > until) return ::testing::AssertionFailure() << "not within 30 s";
    sched_yield();
  }
  return ::testing::AssertionSuccess();
}

// --- What it may leave behind -----------------------------------------------

// Names in /dev/shm and ids of System V segments that the process `pid` made.
words leftovers(pid_t pid) {
  words found;
  const std::string prefix = "millrace-demo-" + std::to_string(pid) + "-";
  for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
    if (entry.path().filename().string().starts_with(prefix)) found.push_back(entry.path());
  }
  std::ifstream table("/proc/sysvipc/shm");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::string key, id, mode, size, creator;
    fields >> key >> id >> mode >> size >> creator;
    if (creator == std::to_string(pid)) found.push_back("System V segment " + id);
  }
  return found;
}

bool exists(const std::string& name) { return std::filesystem::exists("/dev/shm/" + name); }

// A name in /dev/shm that is free, and is so again at the end.
class scratch_name {
 public:
  scratch_name() {
    std::random_device random;
    name_ = "millrace-test-" + std::to_string(random()) + "-" + std::to_string(random());
  }
  scratch_name(const scratch_name&) = delete;
  scratch_name& operator=(const scratch_name&) = delete;
  ~scratch_name() { std::filesystem::remove(path()); }

  const std::string& operator*() const { return name_; }
  std::string path() const { return "/dev/shm/" + name_; }
  location where() const { return location::posix(name_); }

 private:
  std::string name_;
};

// Orphans come to this process, so that none escapes it.
class Demo : public testing::Test {
 protected:
  void SetUp() override { ASSERT_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0); }
  void TearDown() override { expect_no_strays(); }

  static void expect_no_strays() {
    EXPECT_TRUE(soon([] {
      while (waitpid(-1, nullptr, WNOHANG) > 0) {
      }
      return waitpid(-1, nullptr, WNOHANG) < 0 && errno == ECHILD;
    })) << "a process outlived its demonstration";
  }
};

void expect_one_line(const ended& e, const words& parts) {
  EXPECT_EQ(e.exit_code(), 2) << e.err;
  EXPECT_EQ(e.out, "");
  EXPECT_TRUE(e.err.ends_with('\n')) << e.err;
  EXPECT_EQ(std::ranges::count(e.err, '\n'), 1) << e.err;
  EXPECT_TRUE(e.err.starts_with("demo: ")) << e.err;
  for (const std::string& part : parts) EXPECT_NE(e.err.find(part), std::string::npos) << part << " in: " << e.err;
}

using tree = boost::property_tree::ptree;

tree parsed(const std::string& json) {
  std::istringstream in(json);
  tree t;
  EXPECT_NO_THROW(boost::property_tree::read_json(in, t)) << json;
  return t;
}

tree the_ring(const tree& report) {
  EXPECT_EQ(report.get_child("rings").size(), 1u);
  return report.get_child("rings").front().second;
}

// --- What it shows ----------------------------------------------------------

TEST_F(Demo, ByDefaultCatchesTheBrokenRingsAndPassesTheShippedOnesWithinAMinute) {
  started it({});
  const pid_t pid = it.pid();
  const ended e = it.wait();
  EXPECT_EQ(e.exit_code(), 0) << e.out << e.err;
  EXPECT_LT(e.took, 60s);
  EXPECT_EQ(e.err, "") << "a log is to stay quiet";
  EXPECT_EQ(e.out.find_first_of("\r\x1b"), std::string::npos) << e.out;
  EXPECT_NE(e.out.find(": as promised\n"), std::string::npos) << e.out;
  for (const contender& c : contenders()) {
    const std::string row = "\n" + std::string(c.name) + " ";
    const auto at = e.out.find(row);
    ASSERT_NE(at, std::string::npos) << c.name << " in:\n" << e.out;
    const std::string line = e.out.substr(at + 1, e.out.find('\n', at + 1) - at - 1);
    EXPECT_NE(line.find(c.shipped() ? "  clean" : "  DAMAGED"), std::string::npos) << line;
    if (c.shipped()) continue;
    EXPECT_NE(e.out.find("\n" + std::string(c.name) + ": slot "), std::string::npos) << e.out;
    EXPECT_NE(e.out.find(c.wrong->why), std::string::npos) << e.out;
  }
  EXPECT_NE(e.out.find("\nprivate_mutex (a mutex that is not process-shared)\n  hung: "), std::string::npos) << e.out;
  EXPECT_NE(e.out.find("13 of 13 mistakes and repairs as promised\n"), std::string::npos) << e.out;
  EXPECT_EQ(leftovers(pid), words{});
}

TEST_F(Demo, OneProducerAndOneConsumerAreLuckyAndHearWhy) {
  const ended e = demo({"--producers", "1", "--consumers", "1", "--items", "20000", "--ring", "naive"});
  EXPECT_EQ(e.exit_code(), 0) << e.out;
  EXPECT_NE(e.out.find("  appears to work\n"), std::string::npos) << e.out;
  EXPECT_NE(e.out.find("That is luck."), std::string::npos) << e.out;
  EXPECT_NE(e.out.find("0 of 1 broken rings caught: as promised\n"), std::string::npos) << e.out;
}

TEST_F(Demo, JsonIsAllThatStdoutHolds) {
  const ended e = demo({"--items", "20000", "--json", "--seed", "7"});
  EXPECT_EQ(e.err, "");
  const tree report = parsed(e.out);
  EXPECT_EQ(report.get<std::string>("producers"), "2");
  EXPECT_EQ(report.get<std::string>("seed"), "7");
  EXPECT_EQ(report.get<std::string>("as_promised"), e.exit_code() == 0 ? "true" : "false");
  EXPECT_EQ(report.get_child("rings").size(), contenders().size());
  EXPECT_EQ(report.get_child("zoo").size(), 13u);
  for (const auto& [unused, ring] : report.get_child("rings")) {
    const bool damaged = ring.get<std::string>("lost") != "0" || ring.get<std::string>("duplicated") != "0" ||
                         ring.get<std::string>("torn") != "0" || ring.get<std::string>("reordered") != "0";
    EXPECT_EQ(ring.get<std::string>("verdict") == "DAMAGED", damaged) << e.out;
    EXPECT_FALSE(damaged && ring.get<std::string>("shipped") == "true") << e.out;
    EXPECT_TRUE(damaged || ring.get<std::string>("example") == "null") << e.out;
  }
}

TEST_F(Demo, ListNamesEveryRingAndRunsNone) {
  const ended text = demo({"--list"});
  const ended json = demo({"--list", "--json"});
  EXPECT_EQ(text.exit_code(), 0);
  EXPECT_EQ(json.exit_code(), 0);
  for (const contender& c : contenders()) EXPECT_NE(text.out.find(c.about), std::string::npos) << text.out;
  EXPECT_EQ(parsed(json.out).size(), contenders().size());
}

// What is shown to people as the line to blame is that line.
TEST_F(Demo, BlamesLinesThatAreWhereItSays) {
  for (const contender& c : contenders()) {
    if (c.shipped()) continue;
    for (const source_line& blamed : {c.wrong->in_push, c.wrong->in_pop}) {
      std::ifstream header{std::string(blamed.file)};
      ASSERT_TRUE(header) << blamed.file << " is not where the test runs";
      std::string line;
      for (unsigned i = 0; i != blamed.number; ++i) std::getline(header, line);
      EXPECT_NE(line.find(blamed.text), std::string::npos) << line;
      EXPECT_EQ(line.find("source_line"), std::string::npos) << line;
    }
  }
}

// --- On a terminal ----------------------------------------------------------

struct on_terminal {
  pid_t pid = 0;
  int master = -1;

  explicit on_terminal(const words& args) {
    pid = forkpty(&master, nullptr, nullptr, nullptr);
    if (pid == 0) execute(args);
  }
  on_terminal(const on_terminal&) = delete;
  on_terminal& operator=(const on_terminal&) = delete;
  ~on_terminal() { close(master); }

  // Reads until `stop`, or to the end.
  std::string read_until(const std::string& stop = "") const {
    std::string all;
    char part[4096];
    for (ssize_t n = 0; (n = read(master, part, sizeof(part))) > 0;) {
      all.append(part, static_cast<std::size_t>(n));
      if (!stop.empty() && all.find(stop) != std::string::npos) break;
    }
    return all;
  }
};

// The screen after that: "\r" goes to the line's start, "\x1b[K" clears from there.
std::string screen(const std::string& written) {
  std::string lines;
  std::string line;
  std::size_t column = 0;
  for (std::size_t i = 0; i != written.size(); ++i) {
    if (written.compare(i, 3, "\x1b[K") == 0) {
      line.resize(column);
      i += 2;
    } else if (written[i] == '\n') {
      lines += line + '\n';
      line.clear();
      column = 0;
    } else if (written[i] == '\r') {
      column = 0;
    } else {
      line.resize(std::max(line.size(), column + 1));
      line[column++] = written[i];
    }
  }
  return lines + line;
}

TEST_F(Demo, OnATerminalProgressIsShownAndGoneAtTheEnd) {
  const on_terminal it({"--ring", "mpmc_ring", "--seconds", "0.5", "--items", "20000000", "--producers", "1"});
  if (it.pid < 0) GTEST_SKIP() << "no pseudo-terminal here";
  const std::string written = it.read_until();
  int status = 0;
  ASSERT_EQ(waitpid(it.pid, &status, 0), it.pid);
  EXPECT_EQ(status, 0) << written;
  EXPECT_NE(written.find("\r\x1b[Kmpmc_ring: "), std::string::npos) << written;
  EXPECT_EQ(screen(written).find(" received\n"), std::string::npos) << screen(written);
  EXPECT_TRUE(screen(written).ends_with(": as promised\n")) << screen(written);
}

TEST_F(Demo, ControlCOnATerminalEndsAllAndCleansTheLine) {
  const scratch_name name;
  const on_terminal it({"--ring", "mpmc_ring", "--seconds", "60", "--items", "10000000", "--name", *name});
  if (it.pid < 0) GTEST_SKIP() << "no pseudo-terminal here";
  std::string written = it.read_until("mpmc_ring: ");
  EXPECT_TRUE(exists(*name));
  ASSERT_EQ(write(it.master, "\x03", 1), 1);
  written += it.read_until();
  int status = 0;
  ASSERT_EQ(waitpid(it.pid, &status, 0), it.pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT) << status;
  EXPECT_EQ(screen(written).find(" sent, "), std::string::npos) << screen(written);
  EXPECT_FALSE(exists(*name));
  EXPECT_EQ(leftovers(it.pid), words{});
}

// --- Bad input --------------------------------------------------------------

struct refusal {
  const char* what;
  words args;
  words says;
};

class Refuses : public Demo, public testing::WithParamInterface<refusal> {};

TEST_P(Refuses, InOneLine) {
  started it(GetParam().args);
  const pid_t pid = it.pid();
  expect_one_line(it.wait(), GetParam().says);
  EXPECT_EQ(leftovers(pid), words{});
}

INSTANTIATE_TEST_SUITE_P(
    Demo, Refuses,
    testing::Values(
        refusal{"NoProducers", {"--producers", "0"}, {"--producers", "from 1 to 64", "'0'", "; "}},
        refusal{"MinusOneProducer", {"--producers", "-1"}, {"--producers", "from 1 to 64", "'-1'", "; "}},
        refusal{"TooManyProducers", {"--producers", "99999999999"}, {"from 1 to 64", "'99999999999'", "; "}},
        refusal{"NoNumber", {"--consumers", "two"}, {"--consumers", "whole number", "'two'", "; "}},
        refusal{"NoValue", {"--producers"}, {"--producers", "; "}},
        refusal{"TooManyItems", {"--items", "20000001"}, {"--items", "from 1 to 20000000", "; "}},
        refusal{"TooManyTogether", {"--items", "20000000"}, {"at most 20000000", "40000000", "; ask for fewer"}},
        refusal{"NoTime", {"--seconds", "0"}, {"--seconds", "from 0.01", "'0'", "; "}},
        refusal{"NotANumberOfSeconds", {"--seconds", "nan"}, {"--seconds", "from 0.01", "'nan'", "; "}},
        refusal{"UnknownRing", {"--ring", "token_ring"}, {"--ring", "naive, ", "mpmc_ring", "'token_ring'", "; "}},
        refusal{"UnknownOption", {"--frobnicate"}, {"'--frobnicate'", "; see --help"}},
        refusal{"Argument", {"mpmc_ring"}, {"'mpmc_ring'", "; see --help"}},
        refusal{"OptionTwice", {"--seed", "1", "--seed", "2"}, {"--seed", "one value", "; give it once"}},
        refusal{"SlashInName", {"--name", "a/b"}, {"--name", "without a slash", "'a/b'", "; try"}},
        refusal{"SlashBeforeName", {"--name", "/ticks"}, {"--name", "without a slash", "; try --name ticks"}},
        refusal{"EmptyName", {"--name", ""}, {"--name", "1 to 200", "; try"}},
        refusal{"LongName", {"--name", std::string(201, 'x')}, {"--name", "201 characters", "; try"}},
        refusal{"NewlineInName", {"--name", "a\nb"}, {"--name", "printable", "; try"}},
        refusal{"CapacityThatARingRefuses", {"--capacity", "3"}, {"mpmc_ring", "3", "power of two", "; try 4"}},
        refusal{"JsonToo", {"--json", "--producers", "0"}, {"--producers", "; "}}),
    [](const auto& test) { return test.param.what; });

template <class Ring>
shared_ring<Ring> made(const scratch_name& name, std::uint64_t capacity) {
  auto ring = shared_ring<Ring>::create(name.where(), {.capacity = capacity, .members = 4});
  EXPECT_TRUE(ring) << ring.error().message;
  return *std::move(ring);
}

// The name is refused before any ring has run, and what it names stays.
void expect_name_refused(const scratch_name& name, const words& says, const words& more = {}) {
  words args{"--name", *name, "--items", "1000"};
  args.insert(args.end(), more.begin(), more.end());
  started it(args);
  const pid_t pid = it.pid();
  words all{*name, "; "};
  all.insert(all.end(), says.begin(), says.end());
  expect_one_line(it.wait(), all);
  EXPECT_TRUE(exists(*name)) << "it was somebody else's";
  EXPECT_EQ(leftovers(pid), words{});
}

TEST_F(Demo, RefusesANameThatHoldsTheSameRingWithAnotherCapacity) {
  const scratch_name name;
  const auto there = made<mpmc_ring<parcel>>(name, 1024);
  expect_name_refused(name, {"expected a free name", "1024"}, {"--ring", "mpmc_ring"});
}

TEST_F(Demo, RefusesANameThatHoldsAnotherRing) {
  const scratch_name name;
  const auto there = made<spsc_ring<parcel>>(name, 8);
  expect_name_refused(name, {"spsc_ring", "expected a mpmc_ring"}, {"--ring", "mpmc_ring"});
}

TEST_F(Demo, RefusesANameThatHoldsAnotherType) {
  const scratch_name name;
  const auto there = made<mpmc_ring<int>>(name, 8);
  expect_name_refused(name, {"int", "parcel"}, {"--ring", "mpmc_ring"});
}

TEST_F(Demo, RefusesANameThatHoldsNoRing) {
  const scratch_name name;
  std::ofstream(name.path()) << "somebody's notes";
  expect_name_refused(name, {});
}

// Root may open anything; without its capabilities nobody may open a file of mode 0.
TEST_F(Demo, RefusesANameThatItMayNotOpen) {
  const scratch_name name;
  const auto there = made<mpmc_ring<parcel>>(name, 8);
  ASSERT_EQ(chmod(name.path().c_str(), 0), 0);
  started it({"--name", *name}, [&] {
    prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED);  // execv then drops them; refused if there are none
  });
  const pid_t pid = it.pid();
  expect_one_line(it.wait(), {*name, "expected to be let in", "mode 00", "; "});
  EXPECT_TRUE(exists(*name));
  EXPECT_EQ(leftovers(pid), words{});
}

TEST_F(Demo, RefusesWhereDevShmHasNoRoom) {
  constexpr int cannot_mount = 77;
  started it({"--name", "ticks", "--ring", "mpmc_ring", "--capacity", "1048576"}, [] {
    if (unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) _exit(cannot_mount);
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    if (mount("tmpfs", "/dev/shm", "tmpfs", 0, "size=65536") != 0) _exit(cannot_mount);
    // The demonstration as a child, to look at what it leaves in this /dev/shm.
    const pid_t child = fork();
    if (child == 0) return;
    int status = 0;
    waitpid(child, &status, 0);
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm")) {
      dprintf(STDERR_FILENO, "left %s\n", entry.path().c_str());
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 98);
  });
  const ended e = it.wait();
  if (e.exit_code() == cannot_mount) GTEST_SKIP() << "may not mount a small /dev/shm here";
  expect_one_line(e, {"needed", "available", "/dev/shm", "; "});
}

TEST_F(Demo, SaysThatItsReportCannotBeWritten) {
  const ended e = started({"--list"}, [] { dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO); }).wait();
  expect_one_line(e, {"No space left", "; "});
}

// --- Workers that stop, and die ---------------------------------------------

words long_run(const std::string& ring) {
  return {"--ring", ring, "--producers", "1", "--consumers", "1", "--items", "10000000", "--seconds", "100", "--json"};
}

class Worker : public Demo, public testing::WithParamInterface<const char*> {};

TEST_P(Worker, ThatHangsIsNamedAndCleanedUp) {
  started it(long_run(GetParam()));
  ASSERT_TRUE(soon([&] { return it.children().size() == 2; }));
  const auto stopped_at = clock::now();
  ASSERT_EQ(kill(it.children()[0], SIGSTOP), 0);
  const pid_t pid = it.pid();
  const ended e = it.wait();
  EXPECT_LT(clock::now() - stopped_at, 20s);
  const tree ring = the_ring(parsed(e.out));
  EXPECT_EQ(ring.get<std::string>("verdict"), "HUNG");
  EXPECT_NE(ring.get<std::string>("hung").find("producer 1 after "), std::string::npos) << e.out;
  EXPECT_EQ(e.exit_code(), std::string(GetParam()) == "naive" ? 0 : 1);
  EXPECT_EQ(leftovers(pid), words{});
}

TEST_P(Worker, ThatIsKilledIsNamed) {
  started it(long_run(GetParam()));
  ASSERT_TRUE(soon([&] { return it.children().size() == 2; }));
  ASSERT_EQ(kill(it.children()[1], SIGKILL), 0);
  const ended e = it.wait();
  const tree ring = the_ring(parsed(e.out));
  EXPECT_EQ(ring.get<std::string>("verdict"), "BROKEN");
  EXPECT_EQ(ring.get<std::string>("died"), "consumer 1 was killed by signal 9 (Killed)");
  EXPECT_EQ(e.exit_code(), 1) << "which shows nothing of the ring";
}

INSTANTIATE_TEST_SUITE_P(Demo, Worker, testing::Values("naive", "mpmc_ring", "semaphore_ring"),
                         [](const auto& test) { return std::string(test.param); });

// Ctrl-Z and fg: nothing moved for longer than the patience with a hang, and nobody hung.
TEST_F(Demo, APauseOfAllIsNoHang) {
  started it({"--ring", "mutex_ring", "--items", "10000000", "--seconds", "0.5", "--json"});
  ASSERT_TRUE(soon([&] { return it.children().size() == 4; }));
  ASSERT_EQ(kill(-it.pid(), SIGSTOP), 0);
  const auto paused_at = clock::now();
  ASSERT_TRUE(soon([&] { return clock::now() - paused_at > 2500ms; }));
  ASSERT_EQ(kill(-it.pid(), SIGCONT), 0);
  const ended e = it.wait();
  EXPECT_EQ(e.exit_code(), 0) << e.out;
}

// --- A demonstration that is ended from outside -----------------------------

words short_run(const std::string& ring, const std::string& name) {
  return {"--ring", ring, "--consumers", "1", "--items", "20", "--name", name};
}

// Runs to the `nth` system call (0 is the first after execv) and stays there.
class traced {
 public:
  traced(const words& args, unsigned nth)
      : demo_(args, [] {
          setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // a leak check wants to trace by itself
          ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
        }) {
    int status = 0;
    EXPECT_EQ(waitpid(demo_.pid(), &status, 0), demo_.pid());  // at execv
    ptrace(PTRACE_SETOPTIONS, demo_.pid(), nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
    unsigned stops = 0;  // two a call: at its entry, where this one ends, and at its exit
    while (stops <= 2 * nth && WIFSTOPPED(status)) {
      const bool call = WSTOPSIG(status) == (SIGTRAP | 0x80);
      const long pass_on = call || WSTOPSIG(status) == SIGTRAP ? 0 : WSTOPSIG(status);
      ptrace(PTRACE_SYSCALL, demo_.pid(), nullptr, pass_on);
      EXPECT_EQ(waitpid(demo_.pid(), &status, 0), demo_.pid());
      if (WIFSTOPPED(status) && WSTOPSIG(status) == (SIGTRAP | 0x80)) ++stops;
    }
    there_ = WIFSTOPPED(status);
    calls_ = stops / 2;
  }

  bool there() const { return there_; }      // else it has ended before
  unsigned calls() const { return calls_; }  // so many came before
  pid_t pid() const { return demo_.pid(); }

  ended go_on_with(int signal) {
    kill(demo_.pid(), signal);
    ptrace(PTRACE_DETACH, demo_.pid(), nullptr, nullptr);
    return demo_.wait();
  }

 private:
  started demo_;
  bool there_ = false;
  unsigned calls_ = 0;
};

// Every call of an ordinary build is tried; a sanitizer adds many of its own.
unsigned stride(const words& args) {
  constexpr unsigned most = 300;
  return 1 + traced(args, 1u << 20).calls() / most;
}

class Ended : public Demo, public testing::WithParamInterface<const char*> {};

TEST_P(Ended, ByCtrlCAtAnySystemCallLeavesNothing) {
  const scratch_name name;
  const unsigned step = stride(short_run(GetParam(), *name));
  unsigned nth = 0;
  for (;; nth += step) {
    traced it(short_run(GetParam(), *name), nth);
    if (!it.there()) break;
    const ended e = it.go_on_with(SIGINT);
    ASSERT_TRUE(e.exit_code() == -SIGINT || e.exit_code() == 0 || e.exit_code() == 1) << "call " << nth << e.err;
    ASSERT_FALSE(exists(*name)) << "call " << nth;
    ASSERT_EQ(leftovers(it.pid()), words{}) << "call " << nth;
    ASSERT_NO_FATAL_FAILURE(expect_no_strays());
  }
  EXPECT_GT(nth, 50u) << "the run is longer than that";
}

TEST_P(Ended, BySigkillAtAnySystemCallLeavesNothingThatTheNextRunDoesNotSweep) {
  const scratch_name name;
  const unsigned step = stride(short_run(GetParam(), *name));
  unsigned swept = 0;
  for (unsigned nth = 0;; nth += step) {
    traced it(short_run(GetParam(), *name), nth);
    if (!it.there()) break;
    it.go_on_with(SIGKILL);
    ASSERT_NO_FATAL_FAILURE(expect_no_strays());
    if (leftovers(it.pid()).empty()) {
      ASSERT_FALSE(exists(*name)) << "call " << nth;
      continue;
    }
    ++swept;
    demo({"--ring", "mutex_ring", "--items", "1"});
    ASSERT_EQ(leftovers(it.pid()), words{}) << "call " << nth;
    ASSERT_FALSE(exists(*name)) << "call " << nth;
  }
  EXPECT_GT(swept, 0u) << "between creating and removing there is always a moment";
}

INSTANTIATE_TEST_SUITE_P(Demo, Ended, testing::Values("naive", "mpmc_ring", "spsc_ring"),
                         [](const auto& test) { return std::string(test.param); });

// As from the terminal, and from `kill`, while messages flow.
TEST_F(Demo, EndedInMidRunLeavesNothing) {
  for (const bool whole_group : {false, true}) {
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGKILL}) {
      const scratch_name name;
      started it({"--ring", "spsc_ring", "--items", "10000000", "--seconds", "60", "--name", *name}, [] {
        const rlimit none{0, 0};  // for SIGQUIT
        setrlimit(RLIMIT_CORE, &none);
      });
      ASSERT_TRUE(soon([&] { return it.children().size() == 4; }));
      const pid_t pid = it.pid();
      kill(whole_group ? -pid : pid, signal);
      const ended e = it.wait();
      EXPECT_EQ(e.exit_code(), -signal) << e.err;
      expect_no_strays();
      if (signal == SIGKILL) demo({"--ring", "naive", "--items", "1"});
      EXPECT_EQ(leftovers(pid), words{}) << strsignal(signal);
      EXPECT_FALSE(exists(*name)) << strsignal(signal);
    }
  }
}

}  // namespace
}  // namespace millrace::races
