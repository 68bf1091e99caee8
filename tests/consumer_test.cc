// Can a stranger use the library: from a Bazel workspace of his own, with nothing
// but a compiler, as the README shows, and with any one of the headers? And do the commands in its texts exist?
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

namespace fs = std::filesystem;

std::string quoted(const fs::path& p) { return "'" + p.string() + "'"; }

std::string text_of(const fs::path& p) {
  std::ostringstream text;
  text << std::ifstream(p).rdbuf();
  return text.str();
}

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
    for (const char* part : {"include", "src", "third_party", "tests/consumer", "BUILD", "README.md", "WORKSPACE"}) {
      fs::create_directories((root_ / part).parent_path());
      ASSERT_EQ(run("cp -rL " + std::string(part) + " " + quoted(root_ / part)), 0);
    }
  }

  void TearDown() override { fs::remove_all(root_); }

  // The library as a compiler alone makes it, once for all who link it.
  static void SetUpTestSuite() {
    ASSERT_EQ(run("mkdir -p " + quoted(objects_) + " && printf '%s\\n' src/*.cc | xargs -P2 -I{} sh -c '" + compiler() +
                  "-Iinclude -c {} -o \"$0/$(basename {} .cc).o\"' " + quoted(objects_)),
              0);
  }
  static void TearDownTestSuite() { fs::remove_all(objects_); }

  static int run(const std::string& command) { return std::system(command.c_str()); }

  static inline const fs::path temporary_ = std::getenv("TEST_TMPDIR");
  static inline const fs::path objects_ = temporary_ / "objects";
  const fs::path root_ = temporary_ / "millrace";
};

TEST_F(Consumer, BuildsAndRunsInAWorkspaceOfItsOwn) {
  // Batch: leaves no server behind.
  const fs::path outputs = temporary_ / "bazel";
  EXPECT_EQ(run("cd " + quoted(root_ / "tests/consumer") + " && HOME=" + quoted(temporary_) +
                " bazel --batch --output_user_root=" + quoted(outputs) + " run --symlink_prefix=/ //:consumer 2>&1"),
            0);
  EXPECT_EQ(run("chmod -R u+w " + quoted(outputs)), 0) << "Bazel makes it read-only in part";
  fs::remove_all(outputs);
}

TEST_F(Consumer, BuildsAndRunsWithACompilerAlone) {
  EXPECT_EQ(run("cd " + quoted(root_) + " && " + compiler() + "-Iinclude tests/consumer/main.cc " + quoted(objects_) +
                "/*.o -pthread -o consumer && ./consumer"),
            0);
}

// The example itself, not a copy of it, under a name that no other run uses.
TEST_F(Consumer, FindsAnExampleInTheReadmeThatWorks) {
  const std::string readme = text_of(root_ / "README.md");
  const std::string_view fence = "```cpp\n";
  const std::size_t begin = readme.find(fence) + fence.size();
  const std::size_t end = readme.find("```", begin);
  ASSERT_GE(begin, fence.size()) << "no ```cpp block";
  ASSERT_NE(end, std::string::npos);
  EXPECT_EQ(readme.find(fence, end), std::string::npos) << "a second example, which nothing tests";
  const std::string example = readme.substr(begin, end - begin);
  EXPECT_LE(std::count(example.begin(), example.end(), '\n'), 20) << "too long for a first look";
  ASSERT_NE(example.find("\"/ticks\""), std::string::npos) << "uses another segment, which this test must rename";

  const std::string name = "/millrace-test-" + std::to_string(std::random_device{}());
  std::ofstream(root_ / "example.cc") << std::regex_replace(example, std::regex("\"/ticks\""), '"' + name + '"');
  EXPECT_EQ(run("cd " + quoted(root_) + " && " + compiler() + "-Iinclude example.cc " + quoted(objects_) +
                "/*.o -pthread -o example && timeout 60 ./example > printed"),
            0);
  EXPECT_EQ(text_of(root_ / "printed"), "100 5\n");
  EXPECT_FALSE(fs::remove("/dev/shm" + name)) << "the example left its segment";
}

TEST_F(Consumer, MayIncludeAnyHeaderFirst) {
  int headers = 0;
  for (const auto& entry : fs::directory_iterator(root_ / "include/millrace")) {
    if (entry.path().extension() != ".h") continue;
    const std::string name = entry.path().filename().string();
    // Its own source includes it first, and has been compiled.
    if (text_of(root_ / "src" / entry.path().stem().concat(".cc")).starts_with("#include \"millrace/" + name)) continue;
    EXPECT_EQ(run("printf '#include <millrace/" + name + ">\\n' | " + compiler() + "-fsyntax-only -x c++ -I" +
                  quoted(root_ / "include") + " -"),
              0)
        << name;
    ++headers;
  }
  EXPECT_GT(headers, 10);
}

// Each target that a command in the README or docs/ names is one that tests/BUILD has found.
TEST(Documents, NameOnlyTargetsThatThereAre) {
  std::set<std::string> known;
  std::istringstream lines(text_of("tests/documented"));
  for (std::string label; std::getline(lines, label);) known.insert(label);
  std::set<std::string> named;
  std::vector<fs::path> texts{"README.md"};
  for (const auto& entry : fs::directory_iterator("docs")) texts.push_back(entry.path());
  EXPECT_GT(texts.size(), 2u);
  for (const fs::path& path : texts) {
    const std::string text = text_of(path);
    const std::regex command("bazel (run|test)([^`\n]*)");
    const std::regex label("//[a-z0-9_/]*:[A-Za-z0-9_]+");
    for (std::sregex_iterator c(text.begin(), text.end(), command), end; c != end; ++c) {
      const std::string arguments = c->str(2);
      for (std::sregex_iterator l(arguments.begin(), arguments.end(), label); l != end; ++l) {
        EXPECT_TRUE(known.contains(l->str())) << path << ": bazel " << c->str(1) << ' ' << l->str();
        named.insert(l->str());
      }
    }
  }
  EXPECT_GT(named.size(), 20u);
}

}  // namespace
