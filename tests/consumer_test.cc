// Can a stranger use the library: from a Bazel workspace of his own, with nothing
// but a compiler, and with any one of the headers?
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace {

namespace fs = std::filesystem;

std::string quoted(const fs::path& p) { return "'" + p.string() + "'"; }

std::string compiler() {
  const char* chosen = std::getenv("CXX");
  return (chosen != nullptr ? std::string(chosen) : std::string("g++")) +
         " -std=c++20 -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror ";
}

class Consumer : public testing::Test {
 protected:
  // A checkout of its own: the runfiles are links, which lead a compiler or a
  // Bazel that follows them to files that this test does not declare.
  void SetUp() override {
    fs::create_directories(root_);
    for (const char* part : {"include", "src", "third_party", "tests/consumer", "BUILD", "WORKSPACE"}) {
      fs::create_directories((root_ / part).parent_path());
      ASSERT_EQ(run("cp -rL " + std::string(part) + " " + quoted(root_ / part)), 0);
    }
  }

  void TearDown() override { fs::remove_all(root_); }

  static int run(const std::string& command) { return std::system(command.c_str()); }

  const fs::path temporary_ = std::getenv("TEST_TMPDIR");
  const fs::path root_ = temporary_ / "millrace";
};

TEST_F(Consumer, BuildsAndRunsInAWorkspaceOfItsOwn) {
  // Batch: leaves no server behind. The folder that holds its outputs is made
  // read-only in part, so it is Bazel that has to clear it away.
  const std::string bazel = "cd " + quoted(root_ / "tests/consumer") + " && HOME=" + quoted(temporary_) +
                            " bazel --batch --output_user_root=" + quoted(temporary_ / "bazel") + " ";
  EXPECT_EQ(run(bazel + "run --symlink_prefix=/ //:consumer 2>&1"), 0);
  EXPECT_EQ(run(bazel + "clean --expunge 2>&1"), 0);
}

TEST_F(Consumer, BuildsAndRunsWithACompilerAlone) {
  EXPECT_EQ(run("cd " + quoted(root_) + " && " + compiler() +
                "-Iinclude tests/consumer/main.cc src/*.cc -pthread -o consumer && ./consumer"),
            0);
}

TEST_F(Consumer, MayIncludeAnyHeaderFirst) {
  int headers = 0;
  for (const auto& entry : fs::directory_iterator(root_ / "include/millrace")) {
    if (entry.path().extension() != ".h") continue;
    const std::string name = entry.path().filename().string();
    EXPECT_EQ(run("printf '#include <millrace/" + name + ">\\n' | " + compiler() + "-fsyntax-only -x c++ -I" +
                  quoted(root_ / "include") + " -"),
              0)
        << name;
    ++headers;
  }
  EXPECT_GT(headers, 10);
}

}  // namespace
