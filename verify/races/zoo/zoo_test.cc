// The other columns of the table: each play is run under its tool.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "verify/races/zoo/table.h"

namespace millrace::races {
namespace {

const std::string zoo = "verify/races/zoo/";

// What a child said, on both streams, and how it ended.
struct ran {
  std::string said;
  int status = -1;

  bool exited_with(int code) const { return WIFEXITED(status) && WEXITSTATUS(status) == code; }
  // The shell says so of its child by 128 and the signal's number.
  bool was_killed() const { return exited_with(128 + SIGKILL) || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); }
  bool was_fine() const { return said.find("\nfine\n") != std::string::npos; }
  bool was_damaged() const { return said.find("\ndamaged: ") != std::string::npos; }
  bool hung() const { return said.find("\nhung: ") != std::string::npos; }
};

ran run(const std::string& command) {
  ran r{"\n"};
  FILE* const child = popen((command + " 2>&1").c_str(), "r");
  if (child == nullptr) return r;
  for (int c = std::fgetc(child); c != EOF; c = std::fgetc(child)) r.said += static_cast<char>(c);
  r.status = pclose(child);
  return r;
}

// How a tool is asked, and how it words a race.
struct detector {
  std::string runs;       // the start of the command
  std::string race;       // begins a report
  std::string other_end;  // in it, begins the second stack
};

const detector& detector_of(tool t) {
  // Exit status 66 says that there was a report. Not at random addresses, where that
  // is allowed: ThreadSanitizer cannot map its shadow where mmap_rnd_bits is 32.
  static const detector tsan{"s=; setarch -R true 2>/dev/null && s='setarch -R'; exec $s " + zoo + "perform_tsan ",
                             "WARNING: ThreadSanitizer: data race", "\n  Previous "};
  // Fair: else one thread can keep the others from running at all.
  static const detector helgrind{"exec valgrind --tool=helgrind --fair-sched=yes " + zoo + "perform_plain ",
                                 "Possible data race", " This conflicts with a previous "};
  return t == tool::tsan ? tsan : helgrind;
}

ran perform(const bug& b, const std::string& which, tool t) {
  const std::string play = std::string(b.name) + " " + which;
  if (t == tool::processes) return run("exec " + zoo + "perform_plain " + play + " processes");
  return run(detector_of(t).runs + play + " threads");
}

struct report {
  std::string one;  // stack
  std::string other;
};

std::vector<report> reports_in(const std::string& said, const detector& d) {
  std::vector<report> found;
  for (std::size_t at = said.find(d.race); at != std::string::npos;) {
    const std::size_t next = said.find(d.race, at + 1);
    const std::string text = said.substr(at, next - at);
    const std::size_t middle = text.find(d.other_end);
    found.push_back({text.substr(0, middle), middle == std::string::npos ? "" : text.substr(middle)});
    at = next;
  }
  return found;
}

// The number of the one line of `file` that holds `piece`, as stacks have it: "naive_ring.h:12".
std::string place_of(std::string_view file, std::string_view piece) {
  const std::string path = "verify/races/" + std::string(file);
  std::ifstream source(path);
  EXPECT_TRUE(source) << path << " is not where the test runs";
  unsigned number = 0;
  unsigned found = 0;
  std::string line;
  for (unsigned n = 1; std::getline(source, line); ++n) {
    if (line.find(piece) == std::string::npos) continue;
    EXPECT_EQ(found, 0u) << path << ": '" << piece << "' is on two lines";
    found = number = n;
  }
  EXPECT_NE(found, 0u) << path << ": no line holds '" << piece << "'";
  return path.substr(path.rfind('/') + 1) + ":" + std::to_string(number);
}

bool names(const std::string& stack, const std::string& place) {
  for (std::size_t at = stack.find(place); at != std::string::npos; at = stack.find(place, at + 1)) {
    const char after = at + place.size() < stack.size() ? stack[at + place.size()] : ' ';
    if (after < '0' || after > '9') return true;
  }
  return false;
}

void expect_race_at(const lines& where, const std::vector<report>& reports, const std::string& said) {
  const std::string one = place_of(where.file, where.one);
  const std::string other = place_of(where.file, where.other);
  EXPECT_TRUE(std::ranges::any_of(reports,
                                  [&](const report& r) {
                                    return (names(r.one, one) && names(r.other, other)) ||
                                           (names(r.one, other) && names(r.other, one));
                                  }))
      << "no report has one stack through " << one << " and the other through " << other << "\n"
      << said;
}

class ZooTest : public testing::TestWithParam<std::tuple<bug, tool>> {
 protected:
  const bug& shown() const { return std::get<0>(GetParam()); }
  tool by() const { return std::get<1>(GetParam()); }
  finding expected() const { return shown().by(by()).what; }
};

TEST_P(ZooTest, IsObservedAsTheTableSays) {
  SCOPED_TRACE(std::string(shown().name) + ", played by " + std::string(to_string(by())) + ": the table says " +
               std::string(to_string(expected())));
#if defined(__clang__)
  if (by() == tool::tsan && expected() == finding::race) {
    GTEST_SKIP() << "clang's ThreadSanitizer sleeps while another process finds it the lines of a report, which the "
                    "play takes for sleep in the ring; gcc's finds them itself";
  }
#endif
  const ran r = perform(shown(), "wrong", by());
  const auto reports = by() == tool::processes ? std::vector<report>{} : reports_in(r.said, detector_of(by()));
  switch (expected()) {
    case finding::race:
      return expect_race_at(shown().racing, reports, r.said);
    case finding::damage:
      EXPECT_TRUE(r.was_damaged()) << r.said;
      return;
    case finding::hang:
      EXPECT_TRUE(r.hung()) << r.said;
      return;
    case finding::works:
#if !defined(__x86_64__)
      if (by() == tool::processes) GTEST_SKIP() << "what works on x86 may work here, or not";
#endif
      EXPECT_TRUE(r.was_fine() && reports.empty()) << r.said;
      return;
    case finding::unseen_loss:
      EXPECT_TRUE(r.was_damaged() && reports.empty()) << r.said;
      return;
    case finding::unseen_hang:
      EXPECT_TRUE(r.hung() && reports.empty()) << r.said;
      return;
    case finding::false_alarm:
      EXPECT_FALSE(reports.empty()) << r.said;
      return;
    case finding::all_die:
      EXPECT_TRUE(r.was_killed() && reports.empty()) << r.said;
      return;
  }
}

TEST_P(ZooTest, TheRepairedRingIsClean) {
  const ran r = perform(shown(), "repaired", by());
  if (expected() == finding::all_die) {
    EXPECT_TRUE(r.was_killed()) << r.said;
    return;
  }
  EXPECT_TRUE(r.was_fine()) << shown().repaired << ", which repairs '" << shown().name << "' (" << shown().what
                            << "), played by " << by() << ", is to end fine, and said:" << r.said
                            << "If //verify/model/... is clean, the fault is in src/, which no model sees: futex.cc, "
                               "keeper.cc. Again by hand: bazel run //verify/races/zoo:perform -- "
                            << shown().name << " repaired " << (by() == tool::processes ? "processes" : "threads");
  if (by() == tool::processes) return;
  // Helgrind knows no atomics, and the shipped rings are made of them: a false alarm
  // of each, whatever it says of the wrong ring.
  EXPECT_EQ(reports_in(r.said, detector_of(by())).empty(), by() == tool::tsan) << r.said;
}

INSTANTIATE_TEST_SUITE_P(Zoo, ZooTest,
                         testing::Combine(testing::ValuesIn(bugs().begin(), bugs().end()),
                                          testing::Values(tool::tsan, tool::helgrind, tool::processes)),
                         [](const auto& each) {
                           return std::string(std::get<0>(each.param).name) + "_" +
                                  std::string(to_string(std::get<1>(each.param)));
                         });

TEST(ZooTableTest, TheLineToBlameIsInItsHeader) {
  for (const bug& b : bugs()) place_of(b.header, b.blamed);
}

TEST(ZooTableTest, TheReadmeIsCurrent) {
  std::ifstream file("verify/races/README.md");
  ASSERT_TRUE(file) << "verify/races/README.md is not where the test runs";
  std::ostringstream text;
  text << file.rdbuf();
  EXPECT_EQ(text.str(), as_markdown()) << "run: bazel run //verify/races:zoo -- --markdown > verify/races/README.md";
}

}  // namespace
}  // namespace millrace::races
