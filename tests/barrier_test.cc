// The pair that sleeping on a ring rests on: light_fence here, heavy_fence in another process.
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "millrace/platform.h"
#include "millrace/ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

constexpr std::uint32_t rounds = 20'000;

// Two words, and what each side read of the other's in each round. A side writes
// the round's number, so that nothing has to be reset.
struct table {
  struct alignas(line_bytes) side {
    std::atomic<std::uint32_t> word{0};
    alignas(line_bytes) std::atomic<std::uint32_t> arrived{0};
    alignas(line_bytes) std::array<std::uint32_t, rounds + 1> read{};
  };
  std::array<side, 2> sides;
  std::atomic<bool> enough{false};

  // Of the rounds that both have played to their end, those in which neither saw the other's store.
  std::uint32_t missed() const {
    const std::uint32_t meetings = std::min(sides[0].arrived.load(), sides[1].arrived.load());
    std::uint32_t missed = 0;
    for (std::uint32_t round = 1; 2 * round < meetings; ++round) {
      if (sides[0].read[round] < round && sides[1].read[round] < round) ++missed;
    }
    return missed;
  }
};

// Each side stores its word and loads the other's, at the same time as nearly as
// can be: the word stored is in the other's cache and the one loaded in our own, so
// that the load is done long before the store has arrived.
template <class Fence>
void play(table& t, unsigned me, Fence fence) {
  table::side& mine = t.sides[me];
  table::side& other = t.sides[1 - me];
  std::uint32_t meetings = 0;
  const auto meet = [&] {
    mine.arrived.store(++meetings, std::memory_order_release);
    for (unsigned turn = 0; other.arrived.load(std::memory_order_acquire) < meetings; ++turn) {
      if (turn % 4096 != 4095) continue;
      if (t.enough.load(std::memory_order_relaxed)) return false;
      ::sched_yield();
    }
    return true;
  };
  for (std::uint32_t round = 1; round <= rounds; ++round) {
    if (!meet()) return;
    (void)other.word.load(std::memory_order_relaxed);
    if (!meet()) return;
    mine.word.store(round, std::memory_order_relaxed);
    fence();
    mine.read[round] = other.word.load(std::memory_order_relaxed);
  }
}

bool stay_on(int core) {
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(core, &one);
  return ::sched_setaffinity(0, sizeof one, &one) == 0;
}

std::vector<int> cores() {
  cpu_set_t all;
  std::vector<int> found;
  if (::sched_getaffinity(0, sizeof all, &all) != 0) return found;
  for (int core = 0; core != CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &all)) found.push_back(core);
  }
  return found;
}

// In how many rounds of two processes, a core each, neither saw the other's store.
// On a busy machine they seldom run at once, and play few rounds.
template <class Fence>
std::uint32_t missed_by_both(const std::vector<int>& on, Fence heavy) {
  void* const at = ::mmap(nullptr, sizeof(table), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (at == MAP_FAILED) throw std::bad_alloc();
  table& t = *::new (at) table();
  child one([&] { return stay_on(on[0]) && (play(t, 0, native::light_fence), true); });
  child two([&] { return stay_on(on[1]) && (play(t, 1, heavy), true); });
  (void)reached([&] { return !one.running() && !two.running(); }, std::chrono::seconds(1));
  t.enough.store(true);
  EXPECT_TRUE(one.succeeded());
  EXPECT_TRUE(two.succeeded());
  const std::uint32_t missed = t.missed();
  ::munmap(at, sizeof(table));
  return missed;
}

// As many rounds with the heavy fence as it takes to see twenty go wrong without it.
TEST(Barriers, NoStoreIsMissedByBothSidesOfAHeavyAndALightFence) {
  if (under_tsan) GTEST_SKIP() << "ThreadSanitizer keeps books at each access: no store is late any more";
  ASSERT_TRUE(join_barriers());  // children inherit it
  const std::vector<int> on = cores();
  if (on.size() < 2) GTEST_SKIP() << "on one core no store is ever late";
  const deadline until = deadline::after(std::chrono::seconds(100));
  for (std::uint32_t missed = 0; missed < 20;) {
    missed += missed_by_both(on, native::light_fence);
    ASSERT_EQ(missed_by_both(on, native::heavy_fence), 0u) << "rounds in which heavy_fence was no barrier";
    if (deadline::clock::now() < until.when()) continue;
    GTEST_SKIP() << "two cores are seldom free: even two light fences missed but " << missed << " stores";
  }
}

}  // namespace
}  // namespace millrace
