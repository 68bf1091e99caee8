// A part of the kill matrix that shows the whole: it passes on the library's rings,
// and fails on one that is broken.
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "verify/crash/campaign.h"

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;

const ring_type& ring_named(std::string_view name) { return *std::ranges::find(ring_types(), name, &ring_type::name); }
const operation& operation_named(std::string_view name) {
  return *std::ranges::find(operations(), name, &operation::name);
}

// At about so many of its points, or in a deep test at all.
outcome try_cell(const cell& c, std::uint32_t most, std::chrono::milliseconds patience = 30s) {
  if (std::getenv("MILLRACE_DEEP") != nullptr) most = 0;
  return run(std::vector{c}, {.jobs = 1, .most = most, .patience = patience}).front();
}

// For a cell that fails.
constexpr auto little = 1000ms;

struct named_cell {
  std::string_view ring;
  std::string_view operation;
  state from;
  blow how;
};

// The name that a test gets: no signs in it.
std::string test_name(const testing::TestParamInfo<named_cell>& info) {
  std::string name = std::string(info.param.ring) + "_" + std::string(info.param.operation) + "_" +
                     std::string(state_names[static_cast<std::size_t>(info.param.from)]) +
                     (info.param.how == blow::kill ? "_kill" : "_stop");
  std::ranges::replace_if(
      name, [](char c) { return c == '+' || c == '-'; }, '_');
  return name;
}

class SurvivingTest : public testing::TestWithParam<named_cell> {};

TEST_P(SurvivingTest, NobodyIsHarmed) {
  const named_cell& n = GetParam();
  const cell c{&ring_named(n.ring), &operation_named(n.operation), n.from, n.how};
  const outcome o = try_cell(c, 32);
  EXPECT_EQ(o.broken, "");
  EXPECT_GT(o.instructions, 20u);
  EXPECT_GT(o.points, 5u);
  EXPECT_LT(o.elsewhere, o.points / 2);
  for (const failed_point& f : o.failures) {
    ADD_FAILURE() << "struck at " << f.point.name() << ", " << f.where << ": " << f.wrong;
  }
}

INSTANTIATE_TEST_SUITE_P(Matrix, SurvivingTest,
                         testing::Values(named_cell{"spsc_ring", "try_push", state::wrapped, blow::kill},
                                         named_cell{"spsc_ring", "push", state::full, blow::stop},
                                         named_cell{"spsc_ring", "push+sleeper", state::empty, blow::kill},
                                         named_cell{"spsc_ring", "peek", state::wrapped, blow::kill},
                                         named_cell{"spsc_ring", "select_push", state::full, blow::kill},
                                         named_cell{"spsc_ring", "reserve", state::wrapped, blow::kill},
                                         named_cell{"mutex_ring", "pop_n", state::full, blow::kill},
                                         named_cell{"mutex_ring", "pop", state::wrapped, blow::stop},
                                         named_cell{"mutex_ring", "pop+sleeper", state::full, blow::kill},
                                         named_cell{"mutex_ring", "push-after-pop", state::full, blow::kill},
                                         named_cell{"growing_ring", "try_push", state::wrapped, blow::kill},
                                         named_cell{"growing_ring", "pop_n", state::full, blow::kill},
                                         named_cell{"growing_ring", "pop", state::wrapped, blow::stop},
                                         named_cell{"growing_ring", "push-after-pop", state::full, blow::kill},
                                         named_cell{"semaphore_ring", "try_push", state::one, blow::kill},
                                         named_cell{"semaphore_ring", "try_pop", state::one, blow::stop},
                                         named_cell{"semaphore_ring", "push-after-pop", state::full, blow::kill},
                                         named_cell{"mpmc_ring", "try_push_n", state::wrapped, blow::kill},
                                         named_cell{"mpmc_ring", "try_push_n", state::run, blow::kill},
                                         named_cell{"mpmc_ring", "try_pop", state::run, blow::kill},
                                         named_cell{"mpmc_ring", "try_pop", state::full, blow::kill},
                                         named_cell{"mpmc_ring", "push_n+sleeper", state::empty, blow::kill},
                                         named_cell{"mpmc_ring", "drain-after-push", state::empty, blow::kill},
                                         named_cell{"mpmc_ring", "reserve", state::wrapped, blow::kill},
                                         named_cell{"mpmc_ring", "withdraw", state::one, blow::kill},
                                         named_cell{"mpmc_ring", "peek", state::full, blow::kill},
                                         named_cell{"mpmc_ring", "peek-after-pop", state::one, blow::kill},
                                         named_cell{"mpmc_ring", "leave", state::one, blow::kill},
                                         named_cell{"mpmc_ring", "select_pop", state::empty, blow::stop},
                                         named_cell{"mpmc_ring", "keeper-joins", state::one, blow::kill},
                                         named_cell{"mpmc_ring", "keeper-leaves", state::one, blow::kill},
                                         named_cell{"mpmc_ring", "keeper-settles-push", state::one, blow::kill},
                                         named_cell{"mpmc_drop", "try_pop", state::one, blow::kill},
                                         named_cell{"rendezvous_ring", "push", state::empty, blow::kill},
                                         named_cell{"rendezvous_ring", "pop", state::empty, blow::kill},
                                         named_cell{"rendezvous_ring", "push+sleeper", state::empty, blow::kill},
                                         named_cell{"rendezvous_ring", "pop+sleeper", state::empty, blow::stop},
                                         named_cell{"byte_channel", "push", state::full, blow::kill},
                                         named_cell{"byte_channel", "try_pop", state::wrapped, blow::kill},
                                         named_cell{"byte_channel", "drain-after-push", state::one, blow::kill},
                                         named_cell{"byte_channel", "join", state::one, blow::kill},
                                         named_cell{"byte_channel", "leave", state::full, blow::kill},
                                         named_cell{"broadcast_ring", "push", state::full, blow::kill},
                                         named_cell{"broadcast_ring", "push_n+sleeper", state::empty, blow::stop},
                                         named_cell{"broadcast_ring", "pop+sleeper", state::full, blow::kill},
                                         named_cell{"broadcast_ring", "pop", state::wrapped, blow::stop},
                                         named_cell{"broadcast_ring", "join", state::full, blow::kill},
                                         named_cell{"broadcast_ring", "close+sleeper", state::full, blow::kill},
                                         named_cell{"broadcast_ring", "drain-after-push", state::one, blow::kill},
                                         named_cell{"broadcast_lossy", "try_push_n", state::wrapped, blow::kill},
                                         named_cell{"broadcast_lossy", "pop_n", state::full, blow::stop},
                                         named_cell{"broadcast_lossy", "leave", state::one, blow::kill}),
                         test_name);

// From thousands of instructions, a few.
TEST(MatrixTest, ACreatorIsKilledAnywhere) {
  for (const std::string_view name : {"create", "create_sysv"}) {
    // To record it takes long on a busy machine: a step is two turns of the scheduler.
    if (name == "create_sysv" && std::getenv("MILLRACE_DEEP") == nullptr) continue;
    const outcome o = try_cell({&ring_named("mpmc_ring"), &operation_named(name), state::empty, blow::kill}, 25);
    EXPECT_EQ(o.broken, "");
    EXPECT_GT(o.points, 20u);
    for (const failed_point& f : o.failures) ADD_FAILURE() << "struck at " << f.point.name() << ": " << f.wrong;
  }
}

// Killed with the lock taken it leaves the others busy for ever.
TEST(MatrixTest, ConvictsASpinLock) {
  const outcome o =
      try_cell({&ring_named("spin_ring"), &operation_named("try_push"), state::one, blow::kill}, 15, little);
  EXPECT_EQ(o.broken, "");
  ASSERT_FALSE(o.failures.empty());
  EXPECT_LT(o.failures.size(), o.points);
  EXPECT_NE(o.failures.front().wrong.find("busy"), std::string::npos) << o.failures.front().wrong;
}

// Killed with a node in its hands it leaves the others a queue that holds one less, or one
// whose end nobody finds.
TEST(MatrixTest, BoostRingDoesNotSurvive) {
  const outcome o =
      try_cell({&ring_named("boost_ring"), &operation_named("try_push"), state::one, blow::kill}, 15, little);
  EXPECT_EQ(o.broken, "");
  EXPECT_FALSE(o.failures.empty());
  EXPECT_LT(o.failures.size(), o.points);
}

// The point that a failure names is the one at which it happens again.
TEST(MatrixTest, RepeatsAPointThatFailed) {
  const cell c{&ring_named("spin_ring"), &operation_named("try_pop"), state::full, blow::kill};
  const outcome o = try_cell(c, 15, little);
  ASSERT_FALSE(o.failures.empty());
  const auto again = run(std::vector{c}, {.jobs = 1, .only = o.failures.front().point, .patience = little});
  EXPECT_EQ(again.front().points, 1u);
  ASSERT_EQ(again.front().failures.size(), 1u);
  EXPECT_EQ(again.front().failures.front().wrong, o.failures.front().wrong);
  EXPECT_EQ(again.front().failures.front().where, o.failures.front().where);
}

TEST(MatrixTest, RefusesAPointThatTheOperationHasNot) {
  const cell c{&ring_named("mpmc_ring"), &operation_named("try_push"), state::one, blow::kill};
  for (const strike_point& none : {strike_point{.at = {99'999, false}}, strike_point{.at = {5, true}},
                                   strike_point{.before = 3, .at = {5, false}}}) {
    const outcome o = run(std::vector{c}, {.jobs = 1, .only = none}).front();
    EXPECT_EQ(o.points, 0u) << none.name();
    EXPECT_NE(o.broken, "") << none.name();
  }
}

// While the spin lock's holder is merely stopped, nobody is harmed.
TEST(MatrixTest, TellsAStoppedProcessFromADeadOne) {
  const outcome o = try_cell({&ring_named("spin_ring"), &operation_named("try_push"), state::one, blow::stop}, 32);
  EXPECT_EQ(o.broken, "");
  EXPECT_TRUE(o.failures.empty()) << o.failures.front().wrong;
}

}  // namespace
}  // namespace millrace::crash
