// A short storm, and that a long one would notice.
#include "verify/crash/storm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;

toll rage_on(std::string_view ring, std::chrono::duration<double> length) {
  const ring_type& type = *std::ranges::find(ring_types(), ring, &ring_type::name);
  return rage({.ring = &type, .length = length}, [](const toll&) {});
}

class SurvivingStormTest : public testing::TestWithParam<std::string_view> {};

// As many as it takes to kill some: how fast that goes is the machine's affair, and ThreadSanitizer's.
TEST_P(SurvivingStormTest, LosesNothing) {
  // Where nothing is kept, each message takes two processes that run.
  const std::uint64_t enough = GetParam() == "rendezvous_ring" ? 20 : 1000;
  std::uint64_t kills = 0;
  std::uint64_t received = 0;
  while (kills <= 20 || received <= enough) {
    const toll t = rage_on(GetParam(), 1300ms);
    ASSERT_EQ(t.sum.describe(), "");
    ASSERT_TRUE(t.hung.empty()) << t.hung.front();
    kills += t.kills;
    received += t.received;
  }
}

std::string ring_name(const testing::TestParamInfo<std::string_view>& info) { return std::string(info.param); }

INSTANTIATE_TEST_SUITE_P(Storm, SurvivingStormTest,
                         testing::Values("spsc_ring", "mutex_ring", "growing_ring", "semaphore_ring", "mpmc_ring",
                                         "rendezvous_ring", "byte_channel"),
                         ring_name);

// A holder of the lock is killed soon.
TEST(StormTest, ConvictsASpinLock) {
  const toll t = rage_on("spin_ring", 20s);
  EXPECT_FALSE(t.good());
  ASSERT_FALSE(t.hung.empty());
  EXPECT_NE(t.hung.front().find("nobody finishes a call"), std::string::npos) << t.hung.front();
}

}  // namespace
}  // namespace millrace::crash
