// Every word of a live segment scribbled over (its header apart, which only openers read), under the hands of real
// processes: none crashes or hangs.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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
#include <iterator>
#include <new>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "millrace/broadcast_ring.h"
#include "millrace/byte_ring.h"
#include "millrace/deadline.h"
#include "millrace/direct.h"
#include "millrace/futex.h"
#include "millrace/growing_ring.h"
#include "millrace/in_place.h"
#include "millrace/layout.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/platform.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/robust_mutex.h"
#include "millrace/roster.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_memory.h"
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

// Hardly polls before it sleeps: on a busy machine that gives its core away again and again, in each call
// that finds nothing, and these are most.
struct hasty : native {
  static constexpr unsigned spins = 1;
};

template <message T>
struct lossy_broadcast_ring : broadcast_ring<T, hasty> {
  static constexpr std::string_view kind = "lossy_broadcast_ring";
  using broadcast_ring<T, hasty>::broadcast_ring;
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
  std::size_t from;                        // the first byte
  std::size_t to;                          // behind the last one
  std::function<void(std::byte*)> strike;  // given the payload
};

// Each word in one of these ways, and all with noise. A deep test does each word in each way.
std::vector<scribble> scribbles(std::size_t from, std::size_t size) {
  const bool deep = std::getenv("MILLRACE_DEEP") != nullptr;
  constexpr std::pair<const char*, std::uint32_t (*)(std::uint32_t)> ways[] = {
      {"cleared", [](std::uint32_t) { return 0u; }},
      {"filled", [](std::uint32_t) { return ~0u; }},
      {"said to be of the dead", [](std::uint32_t) { return 0xc0000000u; }},
      {"with the lowest bit flipped", [](std::uint32_t w) { return w ^ 1u; }},
      {"with the bit of death flipped", [](std::uint32_t w) { return w ^ 0x40000000u; }},
      {"grown by a thousand", [](std::uint32_t w) { return w + 1000; }},
  };
  std::vector<scribble> all;
  for (std::size_t at = from; at + 4 <= size; at += 4) {
    for (std::size_t way = 0; way != std::size(ways); ++way) {
      // Neighbours differ, and so do the same words of neighbouring places.
      if (!deep && way != (at / 4 + at / 128) % std::size(ways)) continue;
      const auto change = ways[way].second;
      std::ostringstream what;
      what << "byte " << at << " and three behind it " << ways[way].first;
      all.push_back({what.str(), at, at + 4, [=](std::byte* payload) {
                       std::uint32_t word = 0;
                       std::memcpy(&word, payload + at, sizeof word);
                       word = change(word);
                       std::memcpy(payload + at, &word, sizeof word);
                     }});
    }
  }
  for (unsigned seed = 0; seed != 20; ++seed) {
    all.push_back({"all filled with noise " + std::to_string(seed), from, size, [=](std::byte* payload) {
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
  using value = typename R::value_type;

  static constexpr ring_options options{
      .capacity = R::kind == "rendezvous_ring" ? 0u : 4u,
      .members = 5,
      .fidelity = R::kind == "lossy_broadcast_ring" ? fidelity::lossy : fidelity::lossless,
      .max_message = R::kind == "byte_ring" ? 40u : 0u,
  };

  // What a channel does where there are receivers.
  static void enter(R& ring) {
    if constexpr (broadcasting_ring<R>) ring.begin_receiving();
  }
  static void leave(R& ring) {
    if constexpr (broadcasting_ring<R>) ring.end_receiving();
  }

  ScribbleTest()
      : meeting_(*::new (::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))
                     board()) {
    auto made = ring::create(location::anonymous(), options);
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
    value m{};
    std::array<value, 3> some{};
    (void)h.try_push(m);
    (void)h.try_pop(m);
    (void)h.push_for(m, 0ms);
    (void)h.try_push_n(some);
    (void)h.pop_n_for(some, 0ms);
    (void)h.push_n_for(some, 0ms);
    (void)h.pop_for(m, 0ms);
    (void)h.try_pop_n(some);
    if constexpr (writes_in_place<R> && reads_in_place<R>) {
      if (auto slot = h.try_reserve()) {
        if constexpr (R::kind == "byte_ring") std::ranges::fill(h.bytes_at(slot.slot(), 40), std::byte{});
        slot.commit();
      }
      if (const auto found = h.peek_for(0ms)) {
        m = *found;
        if constexpr (R::kind == "byte_ring") (void)std::ranges::count(h.bytes_at(found.slot(), m.length), std::byte{});
      }
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
      enter(*first);
      do_everything(*first);
      meeting_.done();
      if (!meeting_.await_step(3 * round + 2)) return false;
      std::optional<result<typename ring::handle>> second(segment_->attach());
      do_everything(*first);
      if (*second) {
        enter(**second);
        do_everything(**second);
        leave(**second);
      }
      second.reset();
      first->close();
      do_everything(*first);
      meeting_.done();
      if (!meeting_.await_step(3 * round + 3)) return false;
      leave(*first);
      { const auto gone = std::move(*first); }
      meeting_.done();
    }
    return true;
  }

  bool be_killed(std::uint32_t round) {
    auto mine = segment_->attach();
    if (!mine) return false;
    enter(*mine);
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

using rings = testing::Types<mpmc_ring<tick, hasty>, spsc_ring<tick, hasty>, mutex_ring<tick, hasty>,
                             growing_ring<tick, hasty>, semaphore_ring<tick, hasty>, rendezvous_ring<tick, hasty>,
                             byte_ring<hasty>, broadcast_ring<tick, hasty>, lossy_broadcast_ring<tick>>;
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

// The same of an exchange: its lock, its seats, and what says who lives.
class ScribbledExchangeTest : public testing::Test {
 protected:
  using talk = direct<std::uint64_t>;

  ~ScribbledExchangeTest() override { remove_files(); }

  location where() const { return location::posix("millrace.direct." + options_.exchange); }

  void remove_files() const {
    std::error_code none;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", none)) {
      if (entry.path().filename().string().starts_with(where().name())) std::filesystem::remove(entry.path(), none);
    }
  }

  // Whatever one can do that waits for nobody.
  static void do_everything(talk& me) {
    std::uint64_t m = 0;
    for (const char* peer : {"P", "Q", "the dead", "nobody"}) {
      (void)me.try_send(peer, 1);
      (void)me.try_receive(peer, m);
    }
    (void)me.send_for("the dead", 2, 0ms);
    (void)me.receive_for("nobody", m, 0ms);
  }

  // Comes, with all the others; has a link with one of them; acts; and leaves, or just ends.
  bool be(board& meeting, const char* name, const char* peer, bool leaves) const {
    auto me = talk::enroll(name, options_);
    if (!me) return false;
    meeting.done();
    if (!meeting.await_step(1) || !me->link(peer) || me->send(peer, 1) != status::ok) return false;
    meeting.done();
    if (!meeting.await_step(2)) return false;
    do_everything(*me);
    meeting.done();
    if (!meeting.await_step(3)) return false;
    if (!leaves) ::_exit(0);
    return true;
  }

  const direct_options options_{
      .exchange = "test-" + std::to_string(std::random_device{}()), .capacity = 4, .members = 4, .mode = 0600};
};

TEST_F(ScribbledExchangeTest, NoWordOfItStopsItsMembers) {
  const std::size_t lock = ring_offset({.members = options_.members});
  std::vector<scribble> all;
  for (std::size_t round = 0; round == 0 || round != all.size(); ++round) {
    // A scribble can give the lock to any of the living, and who leaves takes it.
    const bool leaves = round == 0 || all[round].to <= lock || all[round].from >= lock + sizeof(robust_mutex<native>);
    const shared<board> meeting;
    std::vector<child> living;
    living.emplace_back([&] { return be(*meeting, "P", "Q", leaves); });
    living.emplace_back([&] { return be(*meeting, "Q", "P", leaves); });
    child victim([&] { return be(*meeting, "the dead", "P", false); });
    ASSERT_TRUE(meeting->await_done(3));
    meeting->begin_step();
    ASSERT_TRUE(meeting->await_done(6));
    const auto exchange = shared_memory::open(where());
    ASSERT_TRUE(exchange) << exchange.error().message;
    if (all.empty()) all = scribbles(roster_offset(), exchange->size());
    SCOPED_TRACE(all[round].what);
    all[round].strike(static_cast<std::byte*>(exchange->base()));
    ::kill(victim.pid(), SIGKILL);
    meeting->begin_step();
    all[round].strike(static_cast<std::byte*>(exchange->base()));  // once more, under their hands
    ASSERT_TRUE(meeting->await_done(8)) << "in a call";
    for (const child& c : living) {
      ASSERT_TRUE(reached([&] { return asleep(c.pid()); }, 20s)) << "a keeper does not come to rest";
    }
    meeting->begin_step();
    for (child& c : living) EXPECT_TRUE(c.succeeded()) << "on leaving";
    remove_files();
  }
}

}  // namespace
}  // namespace millrace
