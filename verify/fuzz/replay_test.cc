// The games that the fuzzer found worth keeping, and many more like them.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

#include "verify/fuzz/play.h"

namespace millrace::fuzz {
namespace {

using script = std::vector<std::uint8_t>;

std::vector<script> corpus() {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator("verify/fuzz/corpus")) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<script> scripts;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    scripts.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return scripts;
}

TEST(Replay, TheCorpus) {
  const auto scripts = corpus();
  ASSERT_GE(scripts.size(), 20u);
  for (const script& s : scripts) play(s);
}

// A few bytes of each game changed, taken out or put in, and its ring another.
TEST(Replay, MutationsOfTheCorpus) {
  std::mt19937_64 random(1);
  const auto upto = [&](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  const auto scripts = corpus();
  for (int game = 0; game != 20'000; ++game) {
    script s = scripts[upto(scripts.size())];
    for (std::size_t changes = 1 + upto(8); changes != 0 && s.size() > 4; --changes) {
      const auto at = s.begin() + static_cast<std::ptrdiff_t>(upto(s.size()));
      switch (upto(3)) {
        case 0:
          *at = static_cast<std::uint8_t>(random());
          break;
        case 1:
          s.erase(at);
          break;
        default:
          s.insert(at, static_cast<std::uint8_t>(random()));
      }
    }
    play(s);
  }
}

TEST(Replay, Noise) {
  std::mt19937_64 random(2);
  for (int game = 0; game != 20'000; ++game) {
    script s(random() % 300);
    std::generate(s.begin(), s.end(), [&] { return static_cast<std::uint8_t>(random()); });
    play(s);
  }
}

}  // namespace
}  // namespace millrace::fuzz
