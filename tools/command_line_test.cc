#include "tools/command_line.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace millrace {
namespace {

class CommandLineTest : public testing::Test {
 protected:
  CommandLineTest() {
    line.flag("--quick", quick, "in short");
    line.number("--jobs", jobs, 1, 64, "at once");
    line.number("--seed", seed, 0, UINT64_MAX, "of chance");
    line.number("--seconds", seconds, 0.1, 100, "for each");
    line.text("--name", name, "NAME", "of all", [](const std::string& given) {
      return given == "bad" ? "expected a good name, found '" + given + "'" : std::string();
    });
    line.choice("--ring", ring, {"all", "one"}, "which");
    line.choices("--only", only, {"a", "b", "c"}, "some");
    line.required("file", file, "FILE", "to read");
    line.required("files", files, "FILE", "to read, too");
  }

  // What it says, on stdout if that is well, on stderr if not.
  std::string said(std::vector<const char*> arguments, std::optional<int> expected) {
    arguments.insert(arguments.begin(), "/where/it/is");
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    EXPECT_EQ(line.parse(static_cast<int>(arguments.size()), arguments.data()), expected);
    const std::string out = testing::internal::GetCapturedStdout();
    const std::string err = testing::internal::GetCapturedStderr();
    EXPECT_TRUE(expected == 0 ? err.empty() : out.empty());
    return out + err;
  }

  std::string refusal(std::vector<const char*> arguments) {
    return said(std::move(arguments), command_line::bad_input);
  }

  command_line line{"grind", "Grinds.", "Exit status: 0."};
  bool quick = false;
  unsigned jobs = 2;
  std::optional<std::uint64_t> seed;
  double seconds = 10;
  std::string name;
  std::string ring = "all";
  std::vector<std::string> only;
  std::string file;
  std::vector<std::string> files;
};

TEST_F(CommandLineTest, ReadsAll) {
  EXPECT_EQ(said({"--only=a,c", "--quick", "--jobs=64", "--seed=18446744073709551615", "--seconds", "0.5", "--name",
                  "it", "--ring", "one", "x", "y", "z"},
                 std::nullopt),
            "");
  EXPECT_TRUE(quick);
  EXPECT_EQ(jobs, 64u);
  EXPECT_EQ(seed, UINT64_MAX);
  EXPECT_EQ(seconds, 0.5);
  EXPECT_EQ(name, "it");
  EXPECT_EQ(ring, "one");
  EXPECT_EQ(only, (std::vector<std::string>{"a", "c"}));
  EXPECT_EQ(file, "x");
  EXPECT_EQ(files, (std::vector<std::string>{"y", "z"}));
}

TEST_F(CommandLineTest, WhatIsNotGivenStaysAsItWas) {
  EXPECT_EQ(said({"x", "y"}, std::nullopt), "");
  EXPECT_EQ(jobs, 2u);
  EXPECT_EQ(seed, std::nullopt);
  EXPECT_EQ(seconds, 10);
  EXPECT_EQ(ring, "all");
}

TEST_F(CommandLineTest, HelpNamesTheCommandAndDefaults) {
  const std::string help = said({"--help"}, 0);
  for (const char* part : {"Grinds.\n", "Usage: grind [OPTIONS] file files...\n", "Exit status: 0.\n", "1..64=2", "=10",
                           "NAME ", "{all,one}=all", "{a,b,c}", "of chance"}) {
    EXPECT_NE(help.find(part), std::string::npos) << part << "\n" << help;
  }
}

TEST_F(CommandLineTest, RefusesInOneLine) {
  EXPECT_EQ(refusal({"--jobs", "0", "x", "y"}),
            "grind: --jobs: expected a whole number from 1 to 64, found '0'; see --help\n");
  EXPECT_EQ(refusal({"--seed", "-1", "x", "y"}),
            "grind: --seed: expected a whole number from 0 to 18446744073709551615, found '-1'; see --help\n");
  EXPECT_EQ(refusal({"--seconds", "nan", "x", "y"}),
            "grind: --seconds: expected a number from 0.1 to 100, found 'nan'; see --help\n");
  EXPECT_EQ(refusal({"--name", "bad", "x", "y"}), "grind: --name: expected a good name, found 'bad'; see --help\n");
  EXPECT_EQ(refusal({"--ring", "two", "x", "y"}), "grind: --ring: found 'two', expected one of all, one; see --help\n");
  EXPECT_EQ(refusal({"--only", "a,d", "x", "y"}), "grind: --only: found 'd', expected one of a, b, c; see --help\n");
  EXPECT_EQ(refusal({"--jobs", "1\n2", "x", "y"}),
            "grind: --jobs: expected a whole number from 1 to 64, found '1?2'; see --help\n");
  EXPECT_EQ(refusal({"x", "y", "--what"}), "grind: there is no option '--what'; see --help\n");
  EXPECT_EQ(refusal({"x"}), "grind: files is required; see --help\n");
}

TEST_F(CommandLineTest, AHintOfItsOwnStandsForTheOneToHelp) {
  testing::internal::CaptureStderr();
  EXPECT_EQ(line.refuse("too many; ask for fewer"), command_line::bad_input);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "grind: too many; ask for fewer\n");
}

}  // namespace
}  // namespace millrace
