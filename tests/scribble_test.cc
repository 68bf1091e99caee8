// Every word of a live segment scribbled over (its header apart, which only openers read), under the hands of real
// processes: none crashes or hangs.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <new>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "millrace/growing_ring.h"
#include "millrace/in_place.h"
#include "millrace/layout.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

struct tick {
  std::uint64_t price;
  std::uint64_t size;
};

// Where the processes of a test meet; it is no part of the segment.
class board {
 public:
  // By the test: begins the next step.
  void begin_step() {
    step_.fetch_add(1, std::memory_order_release);
    futex_wake_all(step_);
  }
  void done() {
    done_.fetch_add(1, std::memory_order_release);
    futex_wake_all(done_);
  }

  bool await_step(std::uint32_t number) const { return await(step_, number); }
  bool await_done(std::uint32_t times) const { return await(done_, times); }

 private:
  // False if it takes longer than anything here may take.
  static bool await(const std::atomic<std::uint32_t>& counter, std::uint32_t value) {
    const deadline until = deadline::after(60s);
    for (;;) {
      const std::uint32_t now = counter.load(std::memory_order_acquire);
      if (now >= value) return true;
      if (futex_wait(counter, now, until) == wait_result::timed_out) return false;
    }
  }

  std::atomic<std::uint32_t> step_{0};
  std::atomic<std::uint32_t> done_{0};
};

// Whether all threads of a process sleep in the kernel. Not by their state: one that
// goes round and round a call that would sleep seems to, most of the time, and even so
// it does once in many looks.
bool asleep(pid_t process) {
  for (int look = 0; look != 3; ++look) {
    for (const auto& thread : std::filesystem::directory_iterator("/proc/" + std::to_string(process) + "/task")) {
      std::string call;
      std::ifstream(thread.path() / "syscall") >> call;
      if (call.empty() || call == "running") return false;
    }
  }
  return true;
}

struct scribble {
  std::string what;
  std::function<void(std::byte*)> strike;  // given the payload
};

std::vector<scribble> scribbles(std::size_t from, std::size_t size) {
  std::vector<scribble> all;
  const auto add = [&](std::size_t at, const char* how, auto change) {
    std::ostringstream what;
    what << "byte " << at << " and three behind it " << how;
    all.push_back({what.str(), [=](std::byte* payload) {
                     std::uint32_t word = 0;
                     std::memcpy(&word, payload + at, sizeof word);
                     word = change(word);
                     std::memcpy(payload + at, &word, sizeof word);
                   }});
  };
  for (std::size_t at = from; at + 4 <= size; at += 4) {
    add(at, "cleared", [](std::uint32_t) { return 0u; });
    add(at, "filled", [](std::uint32_t) { return ~0u; });
    add(at, "said to be of the dead", [](std::uint32_t) { return 0xc0000000u; });
    add(at, "with the lowest bit flipped", [](std::uint32_t w) { return w ^ 1u; });
    add(at, "with the bit of death flipped", [](std::uint32_t w) { return w ^ 0x40000000u; });
    add(at, "grown by a thousand", [](std::uint32_t w) { return w + 1000; });
  }
  for (unsigned seed = 0; seed != 20; ++seed) {
    all.push_back({"all filled with noise " + std::to_string(seed), [=](std::byte* payload) {
                     std::mt19937_64 random(seed);
                     for (std::size_t at = from; at != size; ++at) payload[at] = static_cast<std::byte>(random());
                   }});
  }
  return all;
}

template <class R>
class ScribbleTest : public testing::Test {
 protected:
  using ring = shared_ring<R>;

  ScribbleTest()
      : meeting_(*::new (::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                     board()) {
    auto made = ring::create(location::anonymous(), {.capacity = R::kind == "rendezvous_ring" ? 0u : 4u, .members = 5});
    EXPECT_TRUE(made) << made.error().message;
    segment_.emplace(*std::move(made));
  }
  ~ScribbleTest() override { ::munmap(&meeting_, sizeof(board)); }

  std::byte* payload() { return static_cast<std::byte*>(segment_->memory().base()); }

  // As it was when it was created. Nobody may be attached.
  void make_anew() {
    const geometry& shape = segment_->shape();
    write_header(payload(), ring_description::of<R>(shape));
    R::construct(payload() + ring_offset(shape), shape);
  }

  // Whatever a member can do; with which answers, others tell.
  static void do_everything(typename ring::handle& h) {
    tick m{1, 2};
    std::array<tick, 3> some{};
    (void)h.try_push(m);
    (void)h.try_pop(m);
    (void)h.push_for(m, 0ms);
    (void)h.try_push_n(some);
    (void)h.pop_n_for(some, 0ms);
    (void)h.push_n_for(some, 0ms);
    (void)h.pop_for(m, 0ms);
    (void)h.try_pop_n(some);
    if constexpr (writes_in_place<R> && reads_in_place<R>) {
      if (auto slot = h.try_reserve()) slot.commit();
      if (const auto found = h.peek_for(0ms)) m = *found;
      (void)h.reserve_for(0ms);
      (void)h.try_peek();
    }
    (void)h.size_approx();
  }

  // Three steps each round: join; act, and join once more; leave.
  bool be_a_member(std::uint32_t rounds) {
    for (std::uint32_t round = 0; round != rounds; ++round) {
      if (!meeting_.await_step(3 * round + 1)) return false;
      auto first = segment_->attach();
      if (!first) return false;
      do_everything(*first);
      meeting_.done();
      if (!meeting_.await_step(3 * round + 2)) return false;
      std::optional<result<typename ring::handle>> second(segment_->attach());
      do_everything(*first);
      if (*second) do_everything(**second);
      second.reset();
      first->close();
      do_everything(*first);
      meeting_.done();
      if (!meeting_.await_step(3 * round + 3)) return false;
      { const auto gone = std::move(*first); }
      meeting_.done();
    }
    return true;
  }

  bool be_killed(std::uint32_t round) {
    const auto mine = segment_->attach();
    if (!mine) return false;
    if (!meeting_.await_step(3 * round + 1)) return false;
    meeting_.done();
    for (;;) ::pause();
  }

  std::optional<ring> segment_;
  board& meeting_;
};

struct ring_name {
  template <class R>
  static std::string GetName(int) {
    return std::string(R::kind);
  }
};

using rings = testing::Types<mpmc_ring<tick>, spsc_ring<tick>, mutex_ring<tick>, growing_ring<tick>,
                             semaphore_ring<tick>, rendezvous_ring<tick>>;
TYPED_TEST_SUITE(ScribbleTest, rings, ring_name);

TYPED_TEST(ScribbleTest, NoWordOfALiveSegmentStopsItsMembers) {
  // Of a growing_ring, what comes before its chunks: they hold messages and nothing else.
  const std::size_t end = TypeParam::kind == "growing_ring" ? ring_offset(this->segment_->shape()) + 6 * line_bytes
                                                            : this->segment_->memory().size();
  const std::vector<scribble> all = scribbles(roster_offset(), end);
  const auto rounds = static_cast<std::uint32_t>(all.size());
  std::vector<child> members;
  for (int i = 0; i != 2; ++i) members.emplace_back([&] { return this->be_a_member(rounds); });
  std::uint32_t done = 0;
  for (std::uint32_t round = 0; round != rounds; ++round) {
    SCOPED_TRACE(all[round].what);
    this->make_anew();
    child victim([&] { return this->be_killed(round); });
    this->meeting_.begin_step();
    ASSERT_TRUE(this->meeting_.await_done(done += 3)) << "on joining";
    all[round].strike(this->payload());
    this->meeting_.begin_step();
    ::kill(victim.pid(), SIGKILL);
    all[round].strike(this->payload());  // once more, under their hands
    ASSERT_TRUE(this->meeting_.await_done(done += 2)) << "in a call";
    for (const child& m : members) {
      ASSERT_TRUE(reached([&] { return asleep(m.pid()); }, 20s)) << "a keeper does not come to rest";
    }
    this->meeting_.begin_step();
    ASSERT_TRUE(this->meeting_.await_done(done += 2)) << "on leaving";
  }
  for (child& m : members) EXPECT_TRUE(m.succeeded());
}

}  // namespace
}  // namespace millrace
