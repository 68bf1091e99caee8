// What growing_ring adds to a mutex_ring: its memory comes and goes, and may not be had.
#include "millrace/growing_ring.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <deque>
#include <random>
#include <string>
#include <vector>

#include "millrace/channel.h"
#include "millrace/mutex_ring.h"
#include "millrace/shared_ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

// A message takes a page.
struct letter {
  std::uint64_t number = 0;
  std::array<std::uint64_t, 511> body{};

  static letter of(std::uint64_t number) {
    letter m{.number = number};
    m.body.fill(~number);
    return m;
  }
  bool is(std::uint64_t expected) const {
    return number == expected && std::all_of(body.begin(), body.end(), [&](std::uint64_t b) { return b == ~expected; });
  }
};
static_assert(sizeof(letter) == 4096);

constexpr std::uint64_t chunk = 64 << 10;  // native's
constexpr std::uint64_t a_million = 1'000'000;

using ring = shared_ring<growing_ring<letter>>;

// The machine, of which it is known how often it is asked for memory, which may have no more,
// and where a process may be killed on the way.
struct counting : native {
  static constexpr std::size_t chunk_bytes = 1;  // each message has a chunk of its own

  inline static std::uint64_t calls = 0;
  static constexpr std::uint64_t enough = std::uint64_t{1} << 32;
  inline static std::uint64_t chunks_left = enough;
  inline static std::uint64_t last_step = ~std::uint64_t{0};

  static void step() noexcept {
    if (last_step-- == 0) ::raise(SIGKILL);
  }
  static bool commit(void* at, std::size_t bytes) noexcept {
    ++calls;
    if (chunks_left == 0) return false;
    --chunks_left;
    step();
    const bool done = native::commit(at, bytes);
    step();
    return done;
  }
  static void decommit(void* at, std::size_t bytes) noexcept {
    ++calls;
    step();
    native::decommit(at, bytes);
    step();
    chunks_left += bytes / page_bytes();
  }
};
using counted_ring = shared_ring<growing_ring<letter, counting>>;

// What the file of a segment has of memory, in bytes.
std::uint64_t held_by(const shared_memory& memory) {
  struct stat info {};
  EXPECT_EQ(::fstat(memory.descriptor(), &info), 0);
  return static_cast<std::uint64_t>(info.st_blocks) * 512;
}

TEST(GrowingRing, TakesMemoryAsItFillsAndGivesItBack) {
  const scratch at = scratch::posix();
  for (const location& where : {*at, location::memfd("growing")}) {
    SCOPED_TRACE(where.describe());
    auto segment = ring::create(where, {.capacity = a_million, .members = 2});
    ASSERT_TRUE(segment) << segment.error().message;
    auto h = *segment->attach();
    EXPECT_GT(segment->memory().size(), a_million * sizeof(letter));
    const std::uint64_t before = held_by(segment->memory());
    EXPECT_LT(before, 3 * chunk);
    EXPECT_EQ(h.committed_bytes(), chunk);
    constexpr std::uint64_t backlog = 3000;
    for (const int round : {0, 1}) {
      for (std::uint64_t i = 0; i != backlog; ++i) ASSERT_EQ(h.try_push(letter::of(i)), status::ok) << round;
      EXPECT_GE(h.committed_bytes(), backlog * sizeof(letter));
      EXPECT_LE(h.committed_bytes(), backlog * sizeof(letter) + 2 * chunk);
      EXPECT_GE(held_by(segment->memory()), before + backlog * sizeof(letter) - chunk);
      letter m;
      for (std::uint64_t i = 0; i != backlog / 2; ++i) ASSERT_EQ(h.try_pop(m), status::ok);
      EXPECT_LE(held_by(segment->memory()), before + backlog / 2 * sizeof(letter) + 2 * chunk)
          << "not when it is empty";
      for (std::uint64_t i = backlog / 2; i != backlog; ++i) {
        ASSERT_EQ(h.try_pop(m), status::ok);
        ASSERT_TRUE(m.is(i));
      }
      EXPECT_EQ(h.committed_bytes(), chunk);
      EXPECT_LE(held_by(segment->memory()), before + chunk);
    }
  }
}

// The kernel says only of files what they take.
TEST(GrowingRing, LivesWhereverARingDoes) {
  const scratch sysv = scratch::sysv();
  for (const location& where : {*sysv, location::anonymous()}) {
    SCOPED_TRACE(where.describe());
    auto segment = ring::create(where, {.capacity = a_million, .members = 3});
    ASSERT_TRUE(segment) << segment.error().message;
    auto h = *segment->attach();
    letter m;
    for (std::uint64_t i = 0; i != 100; ++i) ASSERT_EQ(h.try_push(letter::of(i)), status::ok);
    child other([&] {
      auto mine = *segment->attach();
      for (std::uint64_t i = 0; i != 50; ++i) {
        if (mine.try_pop(m) != status::ok || !m.is(i)) return false;
      }
      return true;
    });
    EXPECT_TRUE(other.succeeded());
    for (std::uint64_t i = 50; i != 100; ++i) {
      ASSERT_EQ(h.try_pop(m), status::ok);
      ASSERT_TRUE(m.is(i));
    }
    EXPECT_EQ(h.committed_bytes(), chunk);
  }
}

TEST(GrowingRing, ItsLimitIsALimit) {
  for (const std::uint64_t limit : {1u, 2u, 15u, 16u, 17u, 33u, 100u}) {
    auto segment = ring::create(location::anonymous(), {.capacity = limit, .members = 1});
    ASSERT_TRUE(segment);
    auto h = *segment->attach();
    letter m;
    std::uint64_t in = 0;
    std::uint64_t out = 0;
    for (int round = 0; round != 50; ++round) {
      for (; in != out + limit; ++in) ASSERT_EQ(h.try_push(letter::of(in)), status::ok) << limit;
      EXPECT_EQ(h.try_push(m), status::full) << limit;
      for (std::uint64_t n = limit / 3 + 1; n != 0; --n, ++out) {
        ASSERT_EQ(h.try_pop(m), status::ok) << limit;
        ASSERT_TRUE(m.is(out)) << limit;
      }
    }
  }
}

// Against a queue that is known to be one.
template <class Segment>
void push_and_pop_at_random(Segment segment, std::uint64_t limit) {
  auto h = *segment.attach();
  std::deque<std::uint64_t> expected;
  std::mt19937 random(static_cast<unsigned>(limit));
  std::vector<letter> some(limit + 2);
  std::uint64_t next = 0;
  for (int i = 0; i != 2000; ++i) {
    const std::size_t n = 1 + random() % (random() % 4 == 0 ? some.size() : 1);
    if (random() % 2 == 0) {
      for (std::size_t k = 0; k != n; ++k) some[k] = letter::of(next + k);
      const batch_result moved = h.try_push_n(std::span(some).first(n));
      ASSERT_EQ(moved.count, std::min<std::uint64_t>(n, limit - expected.size()));
      ASSERT_EQ(moved.why, moved.count == n ? status::ok : status::full);
      for (std::size_t k = 0; k != moved.count; ++k) expected.push_back(next++);
    } else {
      const batch_result moved = h.try_pop_n(std::span(some).first(n));
      ASSERT_EQ(moved.count, std::min(n, expected.size()));
      for (std::size_t k = 0; k != moved.count; ++k, expected.pop_front()) ASSERT_TRUE(some[k].is(expected.front()));
    }
    ASSERT_GE(h.committed_bytes(), expected.size() * sizeof(letter));
  }
}

TEST(GrowingRing, IsAQueueWhateverItsChunks) {
  for (const std::uint64_t limit : {1u, 2u, 3u, 5u, 16u, 17u, 40u}) {
    SCOPED_TRACE(limit);
    const ring_options options{.capacity = limit, .members = 1};
    push_and_pop_at_random(*ring::create(location::memfd("random"), options), limit);
    push_and_pop_at_random(*counted_ring::create(location::memfd("random"), options), limit);
  }
}

TEST(GrowingRing, AShortQueueAsksTheKernelForNothing) {
  auto segment = *counted_ring::create(location::anonymous(), {.capacity = 100, .members = 1});
  auto h = *segment.attach();
  letter m;
  const auto there_and_back = [&](std::uint64_t n) {
    for (std::uint64_t i = 0; i != n; ++i) ASSERT_EQ(h.try_push(m), status::ok);
    for (std::uint64_t i = 0; i != n; ++i) ASSERT_EQ(h.try_pop(m), status::ok);
  };
  there_and_back(1);
  const std::uint64_t before = counting::calls;
  for (int i = 0; i != 1000; ++i) there_and_back(1);
  EXPECT_EQ(counting::calls, before) << "though a chunk ends behind each message";
  there_and_back(3);
  EXPECT_GT(counting::calls, before) << "or the test shows nothing";
}

TEST(GrowingRing, WithoutMemoryItIsFullAndLosesNothing) {
  auto segment = *counted_ring::create(location::anonymous(), {.capacity = 100, .members = 2});
  auto h = *segment.attach();
  counting::chunks_left = 4;
  std::vector<letter> some;
  for (std::uint64_t i = 0; i != 8; ++i) some.push_back(letter::of(i));
  EXPECT_EQ(h.try_push_n(some), (batch_result{status::full, 5})) << "one chunk is its own";
  EXPECT_EQ(h.try_push(some[5]), status::full);
  EXPECT_EQ(h.push_for(some[5], 1ms), status::timed_out);
  letter m;
  for (std::uint64_t i = 0; i != 3; ++i) {
    ASSERT_EQ(h.try_pop(m), status::ok);
    EXPECT_TRUE(m.is(i));
  }
  EXPECT_EQ(h.try_push(some[5]), status::ok);
  counting::chunks_left = 0;
  for (std::uint64_t i = 3; i != 6; ++i) {
    ASSERT_EQ(h.try_pop(m), status::ok);
    EXPECT_TRUE(m.is(i));
  }
  counting::chunks_left = 0;
  EXPECT_EQ(h.try_push(m), status::ok) << "an empty ring always has a chunk";
  counting::chunks_left = counting::enough;
}

bool small_dev_shm() {
  return unshared(CLONE_NEWNS) && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("small", "/dev/shm", "tmpfs", 0, "size=1m") == 0;
}

// As the last, of a file system that is full: nobody is killed by SIGBUS.
TEST(GrowingRing, AFullDevShmIsAFullRing) {
  if (!child(small_dev_shm).succeeded()) GTEST_SKIP() << "may not mount";
  EXPECT_TRUE(child([] {
                if (!small_dev_shm()) return false;
                const location where = location::posix("growing");
                const ring_options options{.capacity = a_million, .members = 2};
                const auto fixed = shared_ring<mutex_ring<letter>>::create(where, options);
                EXPECT_FALSE(fixed);
                EXPECT_EQ(fixed.error().code, errc::no_space);
                auto segment = ring::create(where, options);
                if (!segment) return false;
                auto h = *segment->attach();
                std::uint64_t in = 0;
                while (h.try_push(letter::of(in)) == status::ok) ++in;
                EXPECT_GT(in, 100u);
                EXPECT_LT(in, 256u);
                EXPECT_EQ(h.try_push(letter::of(in)), status::full);
                child pusher([&] {
                  auto mine = *segment->attach();
                  return mine.push(letter::of(in)) == status::ok;
                });
                EXPECT_TRUE(reached([&] { return asleep(pusher.pid()); }));
                letter m;
                for (std::uint64_t i = 0; i != in + 1; ++i) {
                  EXPECT_EQ(h.pop(m), status::ok);
                  EXPECT_TRUE(m.is(i)) << i;
                }
                EXPECT_TRUE(pusher.succeeded());
                EXPECT_EQ(h.try_pop(m), status::empty);
                for (std::uint64_t i = 0; i != in; ++i) EXPECT_EQ(h.try_push(m), status::ok) << i;
                EXPECT_FALSE(segment->memory().cut_off());
                // And where even the first chunk has no room.
                const auto second = ring::create(location::posix("second"), options);
                EXPECT_FALSE(second);
                EXPECT_EQ(second.error().code, errc::no_space);
                return !testing::Test::HasFailure();
              }).succeeded());
}

// Killed on each side of each system call of some pushes and pops: what was committed is
// there, and the memory of what is popped goes.
TEST(GrowingRing, KilledBeforeOrBehindASystemCallItLeavesNothingToRepair) {
  constexpr std::uint64_t limit = 6;
  std::uint64_t deaths = 0;
  for (bool died = true; died; ++deaths) {
    SCOPED_TRACE(deaths);
    counting::chunks_left = counting::enough;
    auto segment = *counted_ring::create(location::memfd("killed"), {.capacity = limit, .members = 2});
    auto h = *segment.attach();
    const std::uint64_t before = held_by(segment.memory());
    const std::uint64_t committed = h.committed_bytes();
    child victim([&] {
      auto mine = *segment.attach();
      counting::last_step = deaths;
      std::array<letter, 3> some;
      std::uint64_t in = 0;
      for (int round = 0; round != 3; ++round) {
        for (letter& m : some) m = letter::of(in++);
        if (mine.push_n(some).count != 3 || mine.push(letter::of(in++)) != status::ok) return false;
        if (mine.pop(some[0]) != status::ok || mine.pop_n(some).count != 3) return false;
      }
      return true;
    });
    died = !victim.succeeded();
    std::array<letter, limit> left;
    const batch_result drained = h.pop_n_for(left, 0s);
    for (std::size_t i = 1; i < drained.count; ++i) EXPECT_TRUE(left[i].is(left[0].number + i));
    for (std::uint64_t round = 0; round != 3; ++round) {
      for (std::uint64_t i = 0; i != limit; ++i) ASSERT_EQ(h.push_for(letter::of(i), 10s), status::ok);
      EXPECT_EQ(h.try_push(left[0]), status::full);
      for (std::uint64_t i = 0; i != limit; ++i) {
        ASSERT_EQ(h.try_pop(left[0]), status::ok);
        ASSERT_TRUE(left[0].is(i));
      }
    }
    EXPECT_EQ(h.committed_bytes(), committed);
    EXPECT_LE(held_by(segment.memory()), before + committed);
  }
  EXPECT_GT(deaths, 20u);
}

TEST(GrowingRing, ALargeMessageHasAChunkOfItsOwn) {
  struct tome {
    std::array<std::uint64_t, 20'000> pages;
  };
  auto segment = *shared_ring<growing_ring<tome>>::create(location::memfd("tomes"), {.capacity = 50, .members = 1});
  auto h = *segment.attach();
  EXPECT_LT(h.committed_bytes(), sizeof(tome) + 4096);
  static tome m;
  for (std::uint64_t i = 0; i != 50; ++i) {
    m.pages.fill(i);
    ASSERT_EQ(h.try_push(m), status::ok);
  }
  for (std::uint64_t i = 0; i != 50; ++i) {
    ASSERT_EQ(h.try_pop(m), status::ok);
    ASSERT_EQ(std::count(m.pages.begin(), m.pages.end(), i), 20'000);
  }
  EXPECT_LT(h.committed_bytes(), sizeof(tome) + 4096);
}

TEST(GrowingRing, TheLargestLimitTakesAddressesOnly) {
  constexpr std::uint64_t most = std::uint64_t{1} << 31;
  auto segment = shared_ring<growing_ring<std::uint64_t>>::create(location::memfd("large"), {.capacity = most});
  ASSERT_TRUE(segment) << segment.error().message;
  EXPECT_LT(held_by(segment->memory()), 4 * chunk);
  auto h = *segment->attach();
  for (std::uint64_t i = 0; i != 100'000; ++i) ASSERT_EQ(h.try_push(i), status::ok);
  for (std::uint64_t i = 0, m = 0; i != 100'000; ++i) {
    ASSERT_EQ(h.try_pop(m), status::ok);
    ASSERT_EQ(m, i);
  }
}

TEST(GrowingRing, RefusesToBeThereAtOnce) {
  const scratch at = scratch::posix();
  for (const bool huge : {true, false}) {
    const auto made = ring::create(*at, {.capacity = a_million, .members = 1, .prefault = !huge, .huge_pages = huge});
    ASSERT_FALSE(made);
    EXPECT_EQ(made.error().code, errc::bad_argument);
    EXPECT_NE(made.error().message.find("as the ring fills: do without"), std::string::npos) << made.error().message;
  }
  EXPECT_FALSE(ring::open(*at));
}

// As a kernel older than 5.14, or a sandbox, answers.
bool without_madvise() {
  std::array program{
      sock_filter BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      sock_filter BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 1),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
      sock_filter BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(GrowingRing, AKernelThatCannotCommitIsNamed) {
  const scratch at = scratch::posix();
  const scratch there = scratch::posix();
  ASSERT_TRUE(ring::create(*there, {.capacity = 100}));
  EXPECT_TRUE(child([&] {
                if (!without_madvise()) return false;
                for (const auto& refused : {ring::create(*at, {.capacity = 100}), ring::open(*there)}) {
                  EXPECT_FALSE(refused);
                  EXPECT_EQ(refused.error().code, errc::limit);
                  EXPECT_NE(refused.error().message.find("Linux 5.14"), std::string::npos) << refused.error().message;
                }
                const auto nothing = ring::open(*at);
                EXPECT_EQ(nothing.error().code, errc::not_found);
                return !testing::Test::HasFailure();
              }).succeeded());
}

// The kernel says that there is nothing to commit; whose file was truncated is told so.
TEST(GrowingRing, TruncatedWhereNothingWasCommittedYetItIsCorrupt) {
  const scratch at = scratch::posix();
  auto segment = *ring::create(*at, {.capacity = 1000, .members = 1});
  auto h = *segment.attach();
  std::uint64_t in = 0;
  letter m;
  for (; h.committed_bytes() == chunk; ++in) ASSERT_EQ(h.try_push(letter::of(in)), status::ok);
  for (; in % 16 != 0; ++in) ASSERT_EQ(h.try_push(letter::of(in)), status::ok);
  ASSERT_EQ(::truncate(at.path().c_str(), static_cast<off_t>(16384 + in * sizeof(letter))), 0);
  EXPECT_EQ(h.push_for(m, 10s), status::corrupt);
  EXPECT_TRUE(segment.memory().cut_off());
  EXPECT_EQ(h.try_pop(m), status::corrupt);
}

// No number in the segment leads out of it, or to system calls without an end.
TEST(GrowingRing, ItsWordsAreNotBelieved) {
  auto segment = *ring::create(location::anonymous(), {.capacity = 100, .members = 2});
  auto h = *segment.attach();
  const geometry& g = segment.shape();
  // Behind the part that mutex_ring has, too, which has no slots in a ring of none.
  auto* const words = reinterpret_cast<std::uint64_t*>(static_cast<std::byte*>(segment.memory().base()) +
                                                       ring_offset(g) + mutex_ring<letter>::bytes({.capacity = 0}));
  ASSERT_EQ((std::array{words[0], words[1], words[2], words[3]}), (std::array<std::uint64_t, 4>{0, 0, 0, 1}));
  std::mt19937_64 random(1);
  std::vector<letter> some(40);
  std::uint64_t corrupt = 0;
  for (int i = 0; i != 3000; ++i) {
    for (std::size_t w = 0; w != 4; ++w) {
      if (random() % 2 == 0) words[w] = random() % 2 == 0 ? random() : random() % 9 - 4 + words[random() % 4];
    }
    corrupt += h.try_push_n(std::span(some).first(1 + random() % 40)).why == status::corrupt ? 1 : 0;
    corrupt += h.try_pop_n(std::span(some).first(1 + random() % 40)).why == status::corrupt ? 1 : 0;
    ASSERT_LE(h.committed_bytes(), 8 * chunk);
  }
  EXPECT_GT(corrupt, 100u);
}

TEST(GrowingRing, CarriesAChannel) {
  using notes = channel<letter, growing_ring<letter>>;
  auto made = *notes::create(location::memfd("notes"), {.capacity = a_million, .members = 4});
  auto in = *made.attach_receiver();
  child sender([&] {
    auto out = *made.attach_sender();
    for (std::uint64_t i = 0; i != 2000; ++i) {
      if (out.try_push(letter::of(i)) != status::ok) return false;  // without waiting
    }
    return true;
  });
  EXPECT_TRUE(sender.succeeded());
  EXPECT_GE(held_by(made.memory()), 2000 * sizeof(letter));
  std::uint64_t expected = 0;
  for (const letter& m : in) ASSERT_TRUE(m.is(expected++));
  EXPECT_EQ(expected, 2000u);
  EXPECT_LE(held_by(made.memory()), 4 * chunk);
}

}  // namespace
}  // namespace millrace
