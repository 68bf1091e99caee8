// Members of a segment, in real processes that leave, stop and are killed: roster.h,
// keeper.h, robust_mutex.h, and what the rings make of them.
#include "millrace/keeper.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/robust_mutex.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/support.h"
#include "verify/crash/halting.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using crash::halting;

struct letter {
  std::uint64_t number = 0;
};

using mpmc = mpmc_ring<letter, halting>;
using segment = shared_ring<mpmc>;

template <class R>
shared_ring<R> make(const ring_options& options) {
  auto made = shared_ring<R>::create(location::anonymous(), options);
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

template <class R>
typename shared_ring<R>::handle attach(shared_ring<R>& at) {
  auto handle = at.attach();
  EXPECT_TRUE(handle) << handle.error().message;
  return *std::move(handle);
}

void until_killed() {
  (void)reached([] { return false; });
}  // a minute, should nobody do it

// A process that attaches, does something, and stays until it is told to leave, or is killed.
class peer {
 public:
  struct board {
    std::atomic<bool> attached{false};
    std::atomic<bool> halted{false};  // in the middle of a call
    std::atomic<bool> done{false};
    std::atomic<std::uint32_t> leaves{0};
  };

  template <class R, class Work>
  peer(shared_ring<R>& at, Work work) : process_([&] { return live(at, work, *board_); }) {
    EXPECT_TRUE(reached([&] { return board_->attached || !running(); }));
    EXPECT_TRUE(board_->attached);
  }
  template <class R>
  explicit peer(shared_ring<R>& at) : peer(at, [](auto&, board&) { return true; }) {}

  template <class R, class Work>
  static bool live(shared_ring<R>& at, Work& work, board& b) {
    auto ring = at.attach();
    if (!ring) return false;
    b.attached = true;
    if (!work(*ring, b)) return false;
    b.done = true;
    while (b.leaves == 0 && futex_wait(b.leaves, 0, deadline::after(1min)) != wait_result::timed_out) continue;
    return b.leaves != 0;
  }

  pid_t pid() const { return process_.pid(); }
  bool running() const { return process_.running(); }
  const board& says() const { return *board_; }
  bool done() const {
    return reached([&] { return says().done || !running(); }) && says().done;
  }
  bool halted() const {
    return reached([&] { return says().halted || !running(); }) && says().halted;
  }
  bool sleeps() const {
    return reached([&] { return asleep(pid()) || says().done || !running(); }) && !says().done && running();
  }
  bool has_stopped() const {
    siginfo_t info{};
    return reached([&] {
             return ::waitid(P_PID, static_cast<id_t>(pid()), &info, WSTOPPED | WEXITED | WNOHANG | WNOWAIT) != 0 ||
                    info.si_pid != 0;
           }) &&
           info.si_code == CLD_STOPPED;
  }

  void kill() const { ::kill(pid(), SIGKILL); }  // and leaves it a zombie
  bool stop() const { return ::kill(pid(), SIGSTOP) == 0 && has_stopped(); }
  void go_on() const { ::kill(pid(), SIGCONT); }
  bool leave() {
    board_->leaves = 1;
    futex_wake_all(board_->leaves);
    return process_.succeeded();
  }

 private:
  shared<board> board_;
  child process_;
};

using board = peer::board;

// Work for a peer: it gets stuck in the middle of it.
std::function<void()> wait_there(board& b) {
  return [&b] {
    b.halted = true;
    until_killed();
  };
}

constexpr auto half_a_push = [](auto& ring, board& b) {
  halting::at_message = wait_there(b);
  return ring.try_push({99}) == status::ok;
};

constexpr auto half_a_pop = [](auto& ring, board& b) {
  halting::at_message = wait_there(b);
  letter m;
  return ring.try_pop(m) == status::ok;
};

struct census {
  std::size_t living = 0;
  std::size_t dead = 0;
  friend bool operator==(const census&, const census&) = default;
  friend std::ostream& operator<<(std::ostream& to, const census& c) {
    return to << c.living << " living, " << c.dead << " dead";
  }
};

template <class R>
census count(const shared_ring<R>& at) {
  census c;
  for (const member& m : at.members()) ++(m.dead ? c.dead : c.living);
  return c;
}

template <class R>
testing::AssertionResult becomes(const shared_ring<R>& at, census wanted) {
  if (reached([&] { return count(at) == wanted; })) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "expected " << wanted << ", found " << count(at);
}

// ---- places

TEST(Members, JoinLeaveAndDieInAnyOrder) {
  constexpr std::size_t places = 6;
  auto ring = make<mpmc>({.capacity = 4, .members = places});
  std::list<peer> living;
  std::vector<peer> zombies;
  std::mt19937 choose(7);
  census expected;
  for (int step = 0; step != 150; ++step) {
    const std::uint32_t what = choose() % 4;
    if (what < 2) {
      if (living.size() == places) continue;
      // A free place comes before a dead member's.
      if (expected.living + expected.dead == places) --expected.dead;
      ++expected.living;
      living.emplace_back(ring);
    } else if (!living.empty()) {
      const auto which = std::next(living.begin(), static_cast<std::ptrdiff_t>(choose() % living.size()));
      --expected.living;
      if (what == 2) {
        ASSERT_TRUE(which->leave());
      } else {
        ++expected.dead;
        which->kill();
      }
      living.erase(which);
    }
    ASSERT_TRUE(becomes(ring, expected)) << "step " << step;
  }
}

TEST(Members, ManyMoreJoinThanThereArePlaces) {
  auto ring = make<mpmc>({.capacity = 4, .members = 3});
  auto mine = attach(ring);
  for (int i = 0; i != 3000; ++i) ASSERT_TRUE(ring.attach()) << i;
  letter m;
  for (std::uint64_t i = 0; i != 500; ++i) {
    const peer victim(ring, half_a_push);
    ASSERT_TRUE(victim.halted());
    // Those before it, too, each of which left a slot behind.
    while (mine.try_push({i}) == status::ok) continue;
    victim.kill();
    for (int left = 3; left != 0; --left) ASSERT_EQ(mine.pop_for(m, 1min), status::ok) << i;
    ASSERT_EQ(mine.try_pop(m), status::empty) << i;
  }
  EXPECT_EQ(count(ring).living, 1u);
}

TEST(Members, WhereAllPlacesAreTakenAnErrorSaysSoUntilOneDies) {
  auto ring = make<mpmc>({.capacity = 4, .members = 2});
  peer first(ring);
  peer second(ring);
  const auto refused = ring.attach();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::limit);
  EXPECT_EQ(refused.error().message,
            "anonymous: all 2 members' places are taken; create the ring with more, or let a handle go");
  EXPECT_TRUE(becomes(ring, {2, 0}));
  second.kill();
  EXPECT_TRUE(reached([&] { return static_cast<bool>(ring.attach()); }));
  EXPECT_TRUE(first.leave());
}

TEST(Members, ThreadsAndHandlesOfAProcessHaveAPlaceEach) {
  constexpr std::uint32_t threads = 6;
  auto ring = make<mpmc>({.capacity = 4, .members = 2 * threads});
  std::atomic<std::uint32_t> there{0};
  std::atomic<bool> counted{false};
  std::vector<std::thread> all;
  for (std::uint32_t t = 0; t != threads; ++t) {
    all.emplace_back([&] {
      for (int i = 0; i != 50; ++i) {
        auto handle = attach(ring);
        letter m{1};
        EXPECT_EQ(handle.push_for(m, 1min), status::ok);
        EXPECT_EQ(handle.pop_for(m, 1min), status::ok);
      }
      const auto first = attach(ring);
      const auto second = attach(ring);
      ++there;
      (void)reached([&] { return counted.load(); });
    });
  }
  EXPECT_TRUE(reached([&] { return there == threads; }));
  std::set<std::uint32_t> places;
  for (const member& m : ring.members()) {
    EXPECT_EQ(m.process, process_identity::self());
    EXPECT_FALSE(m.dead);
    places.insert(m.place);
  }
  EXPECT_EQ(places.size(), 2 * threads);
  counted = true;
  for (std::thread& t : all) t.join();
  EXPECT_EQ(count(ring), census{});
}

TEST(Members, AllHandlesOfAKilledProcessAreDead) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  const auto mine = attach(ring);
  const peer victim(ring, [&](auto&, board& b) {
    const auto second = attach(ring);
    std::thread([&] {
      const auto third = attach(ring);
      wait_there(b)();
    }).join();
    return true;
  });
  ASSERT_TRUE(victim.halted());
  EXPECT_EQ(count(ring), (census{4, 0}));
  victim.kill();
  EXPECT_TRUE(becomes(ring, {1, 3}));
}

TEST(Members, AreAliveWhenTheThreadThatAttachedHasEnded) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  std::optional<segment::handle> mine;
  std::thread([&] { mine.emplace(attach(ring)); }).join();
  // Its first thread ends; to /proc it is a zombie from then on.
  shared<std::atomic<bool>> attached;
  child leaderless([&] {
    std::thread([&] {
      const auto theirs = attach(ring);
      *attached = true;
      until_killed();
    }).detach();
    ::syscall(SYS_exit, 0);
    return false;
  });
  const std::string path = "/proc/" + std::to_string(leaderless.pid()) + "/stat";
  ASSERT_TRUE(reached([&] {
    std::string line;
    std::getline(std::ifstream(path) >> std::ws, line);
    return *attached && line.find(") Z ") != std::string::npos;
  }));
  EXPECT_EQ(count(ring), (census{2, 0}));
  letter m{5};
  EXPECT_EQ(mine->try_push(m), status::ok);
  ::kill(leaderless.pid(), SIGKILL);
  EXPECT_TRUE(becomes(ring, {1, 1}));
  EXPECT_EQ(mine->try_pop(m), status::ok);
}

TEST(Members, AreDeadHoweverTheirProcessEnds) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  std::size_t dead = 0;
  const std::function<void()> ways[] = {
      [] { ::_exit(0); },
      [] { std::_Exit(3); },
      [] { ::raise(SIGTERM); },
      [] { std::abort(); },
      [] { ::syscall(SYS_exit_group, 0); },
      [] { ::execl("/bin/true", "true", nullptr); },
  };
  for (const auto& end : ways) {
    const peer ends(ring, [&](auto&, board&) {
      end();
      return true;
    });
    EXPECT_TRUE(becomes(ring, {0, ++dead}));
  }
}

TEST(Members, AProcessThatIsAZombieIsDead) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  const peer victim(ring);
  victim.kill();
  EXPECT_TRUE(becomes(ring, {0, 1}));
  siginfo_t info{};
  EXPECT_EQ(::waitid(P_PID, static_cast<id_t>(victim.pid()), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(info.si_pid, victim.pid()) << "nobody has reaped it";
}

// ---- fork and exec

TEST(Forked, TheChildIsNotItsParentAndDoesItNoHarm) {
  auto ring = std::make_optional(make<mpmc>({.capacity = 4, .members = 8}));
  auto mine = std::make_optional(attach(*ring));
  EXPECT_TRUE(child([&] { return true; }).succeeded());  // that it ends is nothing to us
  EXPECT_TRUE(child([&] {
                mine.reset();
                return count(*ring) == census{1, 0};
              }).succeeded());
  EXPECT_TRUE(child([&] {
                mine.reset();
                ring.reset();
                return true;
              }).succeeded());
  EXPECT_TRUE(child([&] {
                auto own = ring->attach();
                mine.reset();
                const auto all = ring->members();
                return own && own->try_push({7}) == status::ok && all.size() == 2 &&
                       all[0].process.pid == ::getppid() && all[1].process == process_identity::self();
              }).succeeded());
  EXPECT_EQ(count(*ring), (census{1, 0}));
  letter m;
  EXPECT_EQ(mine->try_pop(m), status::ok);
  EXPECT_EQ(m.number, 7u);
  mine.reset();
  EXPECT_EQ(count(*ring), census{});
}

TEST(Forked, TheParentsDeathIsNoticedWhileItsChildLives) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  shared<std::atomic<pid_t>> grandchild;
  {
    const peer parent(ring, [&](auto&, board&) {
      const pid_t pid = ::fork();
      if (pid == 0) {
        until_killed();
        ::_exit(0);
      }
      *grandchild = pid;
      return true;
    });
    ASSERT_TRUE(parent.done());
    parent.kill();
    EXPECT_TRUE(becomes(ring, {0, 1}));
    EXPECT_EQ(::kill(*grandchild, 0), 0);
  }
  ::kill(*grandchild, SIGKILL);
}

// What std::system and posix_spawn do: a process that has the same memory for a while.
TEST(Forked, AProgramThatAMemberRunsIsNoMember) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  const auto mine = attach(ring);
  EXPECT_EQ(std::system("true"), 0);
  EXPECT_EQ(count(ring), (census{1, 0}));
}

TEST(Executed, AMemberThatExecutesAnotherProgramHasEnded) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  auto mine = attach(ring);
  const peer turncoat(ring, [](auto& theirs, board& b) {
    halting::at_message = [&] {
      b.halted = true;
      ::execl("/bin/sleep", "sleep", "60", nullptr);
    };
    return theirs.try_push({1}) == status::ok;
  });
  EXPECT_TRUE(becomes(ring, {1, 1}));
  EXPECT_TRUE(turncoat.running());
  letter m;
  EXPECT_TRUE(reached([&] { return mine.try_pop(m) == status::empty; })) << "what it held is not settled";
}

// ---- stopped, which is not dead

template <class R>
class Stopped : public testing::Test {};

using shipped = testing::Types<mpmc_ring<letter, halting>, spsc_ring<letter, halting>, mutex_ring<letter, halting>,
                               growing_ring<letter, halting>, semaphore_ring<letter, halting>>;

struct ring_name {
  template <class R>
  static std::string GetName(int) {
    return std::string(R::kind);
  }
};

TYPED_TEST_SUITE(Stopped, shipped, ring_name);

// A member that is stopped in mid-push, and the others.
template <class R>
class stopped_push {
 public:
  stopped_push() { EXPECT_TRUE(late_.has_stopped()); }

  // They push, pop, wait, and are killed in mid-push, too, if it can come to that.
  void others_go_on() {
    {
      const peer other(ring_, [&](auto& theirs, board& b) {
        if (!one_to_one) (void)half_a_push(theirs, b);
        b.halted = true;
        return true;
      });
      ASSERT_TRUE(other.halted());
      other.kill();
      ASSERT_TRUE(becomes(ring_, {2, 1}));
    }
    ASSERT_TRUE(ring_.attach()) << "in its place";
    if (!one_to_one && mine_.try_push({pushed_}) == status::ok) ++pushed_;
    letter m;
    EXPECT_EQ(mine_.try_pop(m), one_to_one ? status::empty : status::busy);
    unsigned sleeps = 0;
    halting::at_sleep = [&] { ++sleeps; };
    EXPECT_EQ(mine_.pop_for(m, 1ms), status::timed_out);
    halting::at_sleep = nullptr;
    EXPECT_LT(sleeps, 10u) << "it does not stick to its deadline";
  }

  void goes_on() {
    late_.go_on();
    EXPECT_TRUE(late_.done()) << "its push went wrong";
    letter m;
    ASSERT_EQ(mine_.try_pop(m), status::ok);
    EXPECT_EQ(m.number, 99u);
    for (std::uint64_t i = 0; i != pushed_; ++i) {
      ASSERT_EQ(mine_.try_pop(m), status::ok);
      EXPECT_EQ(m.number, i);
    }
    EXPECT_EQ(mine_.try_pop(m), status::empty);
    for (std::uint64_t i = 0; i != 4; ++i) EXPECT_EQ(mine_.try_push({i}), status::ok);
    EXPECT_EQ(mine_.try_push({4}), status::full);
  }

 private:
  static constexpr bool one_to_one = R::kind == "spsc_ring";

  shared_ring<R> ring_ = make<R>({.capacity = 4, .members = 3});
  typename shared_ring<R>::handle mine_ = attach(ring_);
  peer late_{ring_, [](auto& theirs, board&) {
               halting::at_message = [] { ::raise(SIGSTOP); };
               return theirs.try_push({99}) == status::ok;
             }};
  std::uint64_t pushed_ = 0;
};

// However much the others do, and though some of them die.
TYPED_TEST(Stopped, AMemberInMidPushFinishesItWhenItGoesOn) {
  stopped_push<TypeParam> late;
  for (int round = 0; round != 20; ++round) ASSERT_NO_FATAL_FAILURE(late.others_go_on());
  late.goes_on();
}

template <class>
struct stopped_pushes;
template <class... R>
struct stopped_pushes<testing::Types<R...>> {
  using type = std::tuple<stopped_push<R>...>;
};

// The longest constant in the code is the patience with one who initialises a segment. All at once, as it takes
// its time.
TEST(StoppedFor, LongerThanAnyTimeInTheCodeAllFinishTheirPushes) {
  constexpr auto longest = 2s;
  stopped_pushes<shipped>::type all;
  const deadline enough = deadline::after(longest + 200ms);
  while (deadline::clock::now() < enough.when()) {
    std::apply([](auto&... each) { (each.others_go_on(), ...); }, all);
    ASSERT_FALSE(testing::Test::HasFatalFailure());
  }
  std::apply([](auto&... each) { (each.goes_on(), ...); }, all);
}

// ---- who hears of a death

constexpr auto sleeping_pop = [](auto& ring, board&) {
  letter m;
  return delivered(ring.pop(m));
};

// The kernel wakes one keeper at each of a member's words. That one may come to a
// stop before it has woken anybody.
class Watchers : public testing::Test {
 protected:
  // The victim's slot comes before this one's message.
  void SetUp() override {
    ASSERT_TRUE(victim_.halted());
    peer pusher(ring_, [](auto& theirs, board&) { return theirs.try_push({1}) == status::ok; });
    ASSERT_TRUE(pusher.done());
    ASSERT_TRUE(pusher.leave());
  }

  void add_one_that_stops_in_its_alarm() {
    watchers_.emplace_back(ring_, [](auto&, board&) {
      halting::at_wake = [] {
        if (::gettid() != ::getpid()) ::raise(SIGSTOP);  // the keeper
      };
      return true;
    });
    ASSERT_TRUE(watchers_.back().done());
  }

  void kill_victim() {
    ASSERT_TRUE(reached([&] { return std::ranges::all_of(watchers_, [](const peer& w) { return asleep(w.pid()); }); }));
    victim_.kill();
  }

  segment ring_ = make<mpmc>({.capacity = 4, .members = 16});
  const peer victim_{ring_, half_a_push};  // at place 0, as first comes first
  std::list<peer> watchers_;
};

TEST_F(Watchers, SevenThatStopWhenTheyHearOfADeathKeepNobodyFromHearingOfIt) {
  for (int i = 0; i != 7; ++i) add_one_that_stops_in_its_alarm();
  const peer sleeper(ring_, sleeping_pop);
  ASSERT_TRUE(sleeper.sleeps());
  kill_victim();
  EXPECT_TRUE(sleeper.done());
  for (const peer& w : watchers_) EXPECT_TRUE(w.has_stopped());
}

TEST_F(Watchers, OneThatStopsIsNotAskedInsteadOfALaterOneWhereThoseBetweenHaveLeft) {
  add_one_that_stops_in_its_alarm();
  std::list<peer> between;
  for (int i = 0; i != 7; ++i) between.emplace_back(ring_);
  const peer sleeper(ring_, sleeping_pop);
  for (peer& p : between) ASSERT_TRUE(p.leave());
  // Behind the other in whatever queue they share.
  ASSERT_TRUE(sleeper.stop());
  sleeper.go_on();
  ASSERT_TRUE(sleeper.sleeps());
  kill_victim();
  EXPECT_TRUE(sleeper.done());
}

TEST_F(Watchers, ThatAreStoppedKeepNobodyFromHearingOfADeath) {
  for (int i = 0; i != 9; ++i) ASSERT_TRUE(watchers_.emplace_back(ring_).stop());
  const peer sleeper(ring_, sleeping_pop);
  ASSERT_TRUE(sleeper.sleeps());
  victim_.kill();
  EXPECT_TRUE(sleeper.done());
}

// ---- sleepers, in each ring

template <class R>
class Sleeper : public testing::Test {
 protected:
  static constexpr bool one_to_one = R::kind == "spsc_ring";
  static constexpr bool claims = R::kind == "mpmc_ring";  // slots, and locks nothing

  // Killed when it has done what the sleeper waits for, and has not woken it.
  template <class Work>
  static void die_before_waking(shared_ring<R>& ring, Work work) {
    const peer victim(ring, [&](auto& theirs, board& b) {
      halting::at_wake = [&b] {
        if (::gettid() == ::getpid()) wait_there(b)();
      };
      work(theirs);
      return true;
    });
    ASSERT_TRUE(victim.halted());
    victim.kill();
  }

  // Everything works as in a new ring of that capacity.
  static void expect_sound(shared_ring<R>& ring) {
    auto mine = attach(ring);
    letter m;
    while (delivered(mine.pop_for(m, 1ms))) continue;
    EXPECT_EQ(mine.try_pop(m), status::empty);
    for (std::uint64_t i = 0; i != 4; ++i) EXPECT_EQ(mine.try_push({i}), status::ok) << i;
    EXPECT_EQ(mine.try_push({4}), status::full);
    for (std::uint64_t i = 0; i != 4; ++i) {
      EXPECT_EQ(mine.try_pop(m), status::ok);
      EXPECT_EQ(m.number, i);
    }
    EXPECT_EQ(mine.try_pop(m), status::empty);
  }
};

TYPED_TEST_SUITE(Sleeper, shipped, ring_name);

TYPED_TEST(Sleeper, InAPopGetsTheMessageOfAProducerThatIsKilledBeforeItWakesIt) {
  auto ring = make<TypeParam>({.capacity = 4, .members = 8});
  const peer consumer(ring, [](auto& theirs, board&) {
    letter m;
    return theirs.pop(m) == status::ok && m.number == 5;
  });
  ASSERT_TRUE(consumer.sleeps());
  ASSERT_NO_FATAL_FAILURE(this->die_before_waking(ring, [](auto& theirs) { (void)theirs.try_push({5}); }));
  EXPECT_TRUE(consumer.done());
  this->expect_sound(ring);
}

TYPED_TEST(Sleeper, InAPushGetsTheSlotOfAConsumerThatIsKilledBeforeItWakesIt) {
  auto ring = make<TypeParam>({.capacity = 4, .members = 8});
  {
    auto mine = attach(ring);
    for (std::uint64_t i = 0; i != 4; ++i) ASSERT_EQ(mine.try_push({i}), status::ok);
  }
  const peer producer(ring, [](auto& theirs, board&) { return theirs.push({4}) == status::ok; });
  ASSERT_TRUE(producer.sleeps());
  letter m;
  ASSERT_NO_FATAL_FAILURE(this->die_before_waking(ring, [&](auto& theirs) { (void)theirs.try_pop(m); }));
  EXPECT_TRUE(producer.done());
  this->expect_sound(ring);
}

TYPED_TEST(Sleeper, HearsThatTheRingIsClosedFromACloserThatIsKilledBeforeItWakesIt) {
  auto ring = make<TypeParam>({.capacity = 4, .members = 8});
  const peer consumer(ring, [](auto& theirs, board&) {
    letter m;
    return theirs.pop(m) == status::closed;
  });
  ASSERT_TRUE(consumer.sleeps());
  ASSERT_NO_FATAL_FAILURE(this->die_before_waking(ring, [](auto& theirs) { theirs.close(); }));
  EXPECT_TRUE(consumer.done());
}

TYPED_TEST(Sleeper, InAPopGoesOnWhenAProducerIsKilledInMidPush) {
  auto ring = make<TypeParam>({.capacity = 4, .members = 8});
  auto mine = std::make_optional(attach(ring));
  ASSERT_EQ(mine->try_push({1}), status::ok);
  auto victim = std::make_optional<peer>(ring, half_a_push);
  ASSERT_TRUE(victim->halted());
  // One side of the spsc_ring has one member at a time.
  if (!this->one_to_one) {
    EXPECT_EQ(mine->try_push({2}), this->claims ? status::ok : status::busy);
  }
  const std::uint64_t last = this->claims ? 2 : 1;
  const peer consumer(ring, [&](auto& theirs, board&) {
    letter m;
    for (std::uint64_t i = 1; i <= last; ++i) {
      if (theirs.pop(m) != status::ok || m.number != i) return false;
    }
    return true;
  });
  if (!this->one_to_one) {
    ASSERT_TRUE(consumer.sleeps());
  }
  victim.reset();
  EXPECT_TRUE(consumer.done());
  mine.reset();
  this->expect_sound(ring);
}

TYPED_TEST(Sleeper, InAPushGoesOnWhenAConsumerIsKilledInMidPop) {
  auto ring = make<TypeParam>({.capacity = 4, .members = 8, .on_death = delivery::drop});
  {
    auto mine = attach(ring);
    const std::uint64_t there = this->claims ? 4 : 3;  // a lock is in the way of any push
    for (std::uint64_t i = 0; i != there; ++i) ASSERT_EQ(mine.try_push({i}), status::ok);
  }
  auto victim = std::make_optional<peer>(ring, half_a_pop);
  ASSERT_TRUE(victim->halted());
  const peer producer(ring, [](auto& theirs, board&) { return theirs.push({4}) == status::ok; });
  if (!this->one_to_one) {
    ASSERT_TRUE(producer.sleeps());
  }
  victim.reset();
  EXPECT_TRUE(producer.done());
  this->expect_sound(ring);
}

TYPED_TEST(Sleeper, InAPopGetsWhatAConsumerHadInItsHandsThatIsKilled) {
  auto ring = make<TypeParam>({.capacity = 4, .members = 8});
  ASSERT_EQ(attach(ring).try_push({1}), status::ok);
  auto victim = std::make_optional<peer>(ring, half_a_pop);
  ASSERT_TRUE(victim->halted());
  if (this->one_to_one) victim.reset();
  const peer consumer(ring, [&](auto& theirs, board&) {
    letter m;
    return theirs.pop(m) == (this->claims ? status::redelivered : status::ok) && m.number == 1;
  });
  if (!this->one_to_one) {
    ASSERT_TRUE(consumer.sleeps());
  }
  victim.reset();
  EXPECT_TRUE(consumer.done());
  this->expect_sound(ring);
}

// ---- what is counted of all that

// One is killed in mid-push, one in mid-pop, the others go on, and two join in their places.
template <class R>
std::vector<std::uint64_t> recovered_from_two(delivery on_death) {
  auto ring = make<R>({.capacity = 4, .members = 3, .on_death = on_death});
  auto mine = attach(ring);
  const auto die_in = [&](auto work) {
    const peer victim(ring, work);
    EXPECT_TRUE(victim.halted());
  };
  letter m;
  die_in(half_a_push);
  EXPECT_EQ(mine.push_for({1}, 1min), status::ok);
  EXPECT_EQ(mine.pop_for(m, 1min), status::ok);
  EXPECT_EQ(m.number, 1u);
  EXPECT_EQ(mine.try_push({2}), status::ok);
  die_in(half_a_pop);
  EXPECT_TRUE(reached([&] { return mine.try_pop(m) == status::empty; }));
  { const std::array both{attach(ring), attach(ring)}; }
  const recoveries r = ring.recovered();
  return {r.places_taken_over, r.pushes_undone,    r.messages_redelivered,
          r.messages_dropped,  r.locks_taken_over, std::min<std::uint64_t>(r.permit_recounts, 1)};
}

TEST(Recovered, TellsWhatWasSettledAndHowOften) {
  using counts = std::vector<std::uint64_t>;
  EXPECT_EQ(recovered_from_two<mpmc>(delivery::redeliver), counts({2, 1, 1, 0, 0, 0}));
  EXPECT_EQ(recovered_from_two<mpmc>(delivery::drop), counts({2, 1, 0, 1, 0, 0}));
  EXPECT_EQ((recovered_from_two<spsc_ring<letter, halting>>(delivery::redeliver)), counts({2, 0, 0, 0, 0, 0}));
  EXPECT_EQ((recovered_from_two<mutex_ring<letter, halting>>(delivery::redeliver)), counts({2, 0, 0, 0, 2, 0}));
  // Deaths may be reported together, or one of them twice: the permits are counted anew for a report.
  EXPECT_EQ((recovered_from_two<semaphore_ring<letter, halting>>(delivery::redeliver)), counts({2, 0, 0, 0, 2, 1}));
}

// ---- PID namespaces, where the numbers of processes and threads repeat

// A process that is the first one of a PID namespace of its own, whose processes all end with it.
class contained {
 public:
  template <class Work>
  explicit contained(Work work)
      : outside_([&] {
          if (!unshared(CLONE_NEWPID)) return false;
          const pid_t first = ::fork();
          if (first == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::_exit(work() ? 0 : 1);
          }
          *first_ = first;
          int how = 0;
          return ::waitpid(first, &how, 0) == first && WIFEXITED(how) && WEXITSTATUS(how) == 0;
        }) {}

  pid_t pid() const {
    EXPECT_TRUE(reached([&] { return *first_ != 0 || !outside_.running(); }));
    return *first_;
  }
  void kill() const { ::kill(pid(), SIGKILL); }
  bool running() const { return outside_.running(); }
  bool succeeded() { return outside_.succeeded(); }

 private:
  shared<std::atomic<pid_t>> first_;
  child outside_;
};

class Namespaces : public testing::Test {
 protected:
  void SetUp() override {
    if (!child([] { return unshared(CLONE_NEWPID); }).succeeded()) {
      GTEST_SKIP() << "this sandbox forbids PID namespaces";
    }
  }
};

TEST_F(Namespaces, AllOfOneAreKilledAndTheOtherGoesOn) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  auto mine = attach(ring);
  shared<std::array<board, 3>> boards;
  const contained all([&] {
    const child first([&] { return peer::live(ring, half_a_push, (*boards)[0]); });
    if (!reached([&] { return (*boards)[0].halted.load(); })) return false;
    const child second([&] { return peer::live(ring, half_a_push, (*boards)[1]); });
    if (!reached([&] { return (*boards)[1].halted.load(); })) return false;
    return peer::live(ring, half_a_push, (*boards)[2]);
  });
  ASSERT_TRUE(reached([&] { return (*boards)[2].halted || !all.running(); }));
  ASSERT_EQ(mine.try_push({5}), status::ok);
  ASSERT_TRUE(becomes(ring, {4, 0}));
  const peer sleeper(ring, [](auto& theirs, board&) {
    letter m;
    return theirs.pop(m) == status::ok && m.number == 5;
  });
  ASSERT_TRUE(sleeper.sleeps());
  all.kill();
  EXPECT_TRUE(sleeper.done());
  EXPECT_TRUE(becomes(ring, {2, 3}));
  for (std::uint64_t i = 0; i != 4; ++i) EXPECT_EQ(mine.push_for({i}, 1min), status::ok);
  EXPECT_EQ(mine.try_push({4}), status::full);
}

TEST_F(Namespaces, ASleeperInOneGoesOnWhenAMemberOfAnotherIsKilled) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  const peer victim(ring, half_a_push);
  ASSERT_TRUE(victim.halted());
  shared<board> there;
  contained sleeper([&] {
    auto ring_there = ring.attach();
    letter m;
    if (!ring_there || ring_there->try_push({5}) != status::ok) return false;
    there->attached = true;
    return ring_there->pop(m) == status::ok && m.number == 5;
  });
  ASSERT_TRUE(reached([&] { return (there->attached && asleep(sleeper.pid())) || !sleeper.running(); }));
  victim.kill();
  EXPECT_TRUE(sleeper.succeeded());
}

// Two keepers whose threads have the same number, as in containers of the same image.
TEST_F(Namespaces, OfTwoMembersWithTheSameNumbersOneDies) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  shared<std::array<board, 2>> boards;
  const contained dies([&] { return peer::live(ring, half_a_push, (*boards)[0]); });
  ASSERT_TRUE(reached([&] { return (*boards)[0].halted || !dies.running(); }));
  contained lives([&] { return peer::live(ring, half_a_push, (*boards)[1]); });
  ASSERT_TRUE(reached([&] { return (*boards)[1].halted || !lives.running(); }));
  for (const member& m : ring.members()) EXPECT_EQ(m.process.pid, 1);
  dies.kill();
  EXPECT_TRUE(becomes(ring, {1, 1}));
  auto mine = attach(ring);
  letter m;
  EXPECT_EQ(mine.try_pop(m), status::busy) << "the second slot is in living hands";
  lives.kill();
  EXPECT_TRUE(becomes(ring, {1, 2}));
  EXPECT_TRUE(reached([&] { return mine.try_pop(m) == status::empty; })) << "what it held is not settled";
}

// The first process of a namespace has a child that is the first process of another.
TEST_F(Namespaces, AChildWithItsParentsNumberIsNotItsParent) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  contained parent([&] {
    auto handle = std::make_optional(attach(ring));
    contained inner([&] {
      handle.reset();
      auto own = ring.attach();
      return ::getpid() == 1 && own && count(ring) == census{2, 0} && own->try_push({5}) == status::ok;
    });
    letter m;
    return inner.succeeded() && handle->try_pop(m) == status::ok && count(ring) == census{1, 0};
  });
  EXPECT_TRUE(parent.succeeded());
  EXPECT_EQ(count(ring), census{});
}

// The kernel gives a dead member's numbers to a new process, and to its keeper.
TEST_F(Namespaces, AProcessWithADeadMembersNumbersIsAnother) {
  auto ring = make<mpmc>({.capacity = 4, .members = 8});
  auto mine = attach(ring);
  shared<std::array<board, 2>> boards;
  const contained both([&] {
    const auto run = [&](board& b) {
      std::ofstream last("/proc/sys/kernel/ns_last_pid");
      last << 1000 << std::flush;
      return last.good() ? std::make_unique<child>([&] { return peer::live(ring, half_a_push, b); }) : nullptr;
    };
    {
      const auto dies = run((*boards)[0]);
      if (!dies || !reached([&] { return (*boards)[0].halted.load(); })) return false;
    }
    const auto lives = run((*boards)[1]);
    until_killed();
    return lives != nullptr;
  });
  ASSERT_TRUE(reached([&] { return (*boards)[1].halted || !both.running(); }));
  if (!both.running()) GTEST_SKIP() << "may not choose the number of the next process";
  const std::vector<member> all = ring.members();
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].process.pid, 1001);
  EXPECT_EQ(all[2].process.pid, 1001);
  EXPECT_TRUE(all[1].dead);
  EXPECT_FALSE(all[2].dead);
  letter m;
  EXPECT_EQ(mine.try_pop(m), status::busy) << "the second slot is in living hands";
  both.kill();
  EXPECT_TRUE(becomes(ring, {1, 2}));
  EXPECT_TRUE(reached([&] { return mine.try_pop(m) == status::empty; })) << "what it held is not settled";
}

// ---- the mutex, whose owner may be killed

class RobustMutex : public testing::Test {
 protected:
  static constexpr std::uint32_t places = 2;

  // What one process has of it: a keeper and a place.
  class party {
   public:
    explicit party(RobustMutex& test) : test_(test) {
      auto started = keeper::start(test.room_->roster.data(), places,
                                   {.alarm = [&] { mutex().alarm(); },
                                    .settle =
                                        [&](std::uint32_t m) {
                                          mutex().settle({test.members(), m});
                                        }},
                                   "test");
      EXPECT_TRUE(started);
      keeper_ = *std::move(started);
      who_.emplace(membership<native>{test.members(), keeper_->join().value()});
    }

    lock_result try_lock() { return mutex().try_lock(*who_); }
    lock_result lock(deadline until = deadline::after(1min)) { return mutex().lock_until(*who_, until); }
    void unlock() { mutex().unlock(); }
    void repair_and_unlock() {
      mutex().make_consistent();
      unlock();
    }

   private:
    robust_mutex<native>& mutex() { return test_.room_->mutex; }

    RobustMutex& test_;
    std::unique_ptr<keeper> keeper_;
    std::optional<membership<native>> who_;
  };

  RobustMutex() {
    roster<native>::construct(room_->roster.data(), places);
    keeper::construct(room_->roster.data(), places);
  }

  // Another process has it, and stays there.
  std::unique_ptr<child> taken_by_another(lock_result expected = lock_result::locked) {
    room_->taken = false;
    auto other = std::make_unique<child>([&] {
      party theirs(*this);
      if (theirs.lock() != expected) return false;
      room_->taken = true;
      until_killed();
      return true;
    });
    EXPECT_TRUE(reached([&] { return room_->taken || !other->running(); }));
    EXPECT_TRUE(room_->taken);
    return other;
  }

  roster<native> members() { return {room_->roster.data(), places}; }

 private:
  struct room {
    robust_mutex<native> mutex;
    std::atomic<bool> taken{false};
    alignas(line_bytes) std::array<std::byte, roster<native>::bytes(places) + 4096> roster;
  };
  shared<room> room_;
};

TEST_F(RobustMutex, ExcludesOtherProcessesAlsoFromOneThatIsStopped) {
  party mine(*this);
  const auto other = taken_by_another();
  EXPECT_EQ(mine.try_lock(), lock_result::timed_out);
  ::kill(other->pid(), SIGSTOP);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(other->pid()), &info, WSTOPPED | WNOWAIT), 0);
  EXPECT_EQ(mine.try_lock(), lock_result::timed_out);
  EXPECT_EQ(mine.lock(deadline::after(10ms)), lock_result::timed_out);
}

TEST_F(RobustMutex, TimesOutAtTheDeadlineAndNotBefore) {
  party mine(*this);
  const auto other = taken_by_another();
  const auto begin = deadline::clock::now();
  EXPECT_EQ(mine.lock(deadline::at(begin + 50ms)), lock_result::timed_out);
  const auto waited = deadline::clock::now() - begin;
  EXPECT_GE(waited, 50ms);
  EXPECT_LT(waited, 5s);
}

TEST_F(RobustMutex, AfterADeathTheNextLockerHearsOfItAndRepairs) {
  party mine(*this);
  for (const bool timed : {false, true}) {
    taken_by_another().reset();
    ASSERT_EQ(timed ? mine.lock() : mine.try_lock(), lock_result::owner_died);
    mine.repair_and_unlock();
    EXPECT_EQ(mine.try_lock(), lock_result::locked) << "works again";
    mine.unlock();
  }
}

TEST_F(RobustMutex, ASleepingLockerHearsOfTheDeath) {
  auto owner = taken_by_another();
  shared<std::atomic<bool>> ready;
  child locker([&] {
    party theirs(*this);
    *ready = true;
    return theirs.lock(deadline::never()) == lock_result::owner_died;
  });
  ASSERT_TRUE(reached([&] { return (*ready && asleep(locker.pid())) || !locker.running(); }));
  owner.reset();
  EXPECT_TRUE(locker.succeeded());
}

TEST_F(RobustMutex, ARepairerThatDiesHandsTheRepairOn) {
  party mine(*this);
  taken_by_another().reset();
  // The place of the dead is taken, too: its lock does not become its successor's.
  taken_by_another(lock_result::owner_died).reset();
  EXPECT_EQ(mine.try_lock(), lock_result::owner_died);
  mine.repair_and_unlock();
  EXPECT_EQ(mine.try_lock(), lock_result::locked);
}

TEST_F(RobustMutex, UnlockedWithoutRepairTheNextHearsOfTheDeathAgain) {
  party mine(*this);
  taken_by_another().reset();
  for (int i = 0; i != 3; ++i) {
    ASSERT_EQ(mine.try_lock(), lock_result::owner_died);
    mine.unlock();
  }
  taken_by_another(lock_result::owner_died).reset();
}

}  // namespace
}  // namespace millrace
