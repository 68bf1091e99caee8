// Two processes that name each other: one link, both ways, for as long as both live.
#include "millrace/direct.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <system_error>
#include <utility>

#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using talk = direct<std::uint64_t>;

class DirectTest : public testing::Test {
 protected:
  // Nothing is left once all have left, however they did.
  ~DirectTest() override { EXPECT_EQ(files(), std::set<std::string>()); }

  result<talk> enroll(const char* name) const { return talk::enroll(name, options_); }

  // The exchange's and its links', without their common beginning.
  std::set<std::string> files() const {
    std::set<std::string> found;
    std::error_code none;
    const std::string start = "millrace.direct." + options_.exchange;
    for (const auto& entry : std::filesystem::directory_iterator("/dev/shm", none)) {
      const std::string file = entry.path().filename();
      if (file.starts_with(start)) found.insert(file.substr(start.size()));
    }
    return found;
  }
  std::string path(const std::string& rest = {}) const {
    return "/dev/shm/millrace.direct." + options_.exchange + rest;
  }

  // Another process of that name, that does `body` with it.
  child process(const char* name, std::function<bool(talk&)> body) const {
    return child([this, name, body = std::move(body)] {
      auto me = enroll(name);
      return me && body(*me);
    });
  }

  // For a child: says that it has come so far, and waits to be killed.
  bool until_killed() const {
    ++*arrived_;
    for (;;) ::pause();
  }
  void await_arrivals(int count) const {
    ASSERT_TRUE(reached([&] { return *arrived_ == count; }));
  }
  static void kill(child& c) {
    ASSERT_EQ(::kill(c.pid(), SIGKILL), 0);
    EXPECT_FALSE(c.succeeded());
  }

  direct_options options_{
      .exchange = "test-" + std::to_string(std::random_device{}()), .capacity = 4, .members = 8, .mode = 0600};
  shared<std::atomic<int>> arrived_;
};

template <class T>
std::optional<errc> code(const result<T>& r) {
  return r ? std::optional<errc>() : r.error().code;
}

TEST_F(DirectTest, CarriesMessagesBothWaysInOrder) {
  constexpr std::uint64_t count = 60;
  constexpr std::uint64_t at_once = 3;
  child q = process("Q", [](talk& me) {
    std::uint64_t m = 0;
    for (std::uint64_t i = 0; i != count; ++i) {
      if (me.receive("P", m) != status::ok || m != i || me.send("P", 2 * i) != status::ok) return false;
    }
    return me.receive("P", m) == status::closed;
  });
  {
    auto me = enroll("P");
    ASSERT_TRUE(me) << me.error().message;
    for (std::uint64_t i = 0; i != count; i += at_once) {
      for (std::uint64_t j = i; j != i + at_once; ++j) ASSERT_EQ(me->send("Q", j), status::ok);
      for (std::uint64_t j = i; j != i + at_once; ++j) {
        std::uint64_t m = 0;
        ASSERT_EQ(me->receive("Q", m), status::ok);
        ASSERT_EQ(m, 2 * j);
      }
    }
  }
  EXPECT_TRUE(q.succeeded());
}

TEST_F(DirectTest, TheOtherNeedNotHaveComeYet) {
  auto p = enroll("P");
  std::uint64_t m = 0;
  EXPECT_EQ(p->try_send("Q", 1), status::full);
  EXPECT_EQ(p->try_receive("Q", m), status::empty);
  EXPECT_EQ(p->send_for("Q", 1, 1ms), status::timed_out);
  EXPECT_EQ(p->receive_for("Q", m, 1ms), status::timed_out);
  EXPECT_EQ(code(p->link("Q")), errc::not_found);
  child r = process("R", [](talk& me) { return me.send("S", 5) == status::ok; });
  ASSERT_TRUE(reached([&] { return asleep(r.pid()); }));
  auto s = enroll("S");
  EXPECT_EQ(s->receive("R", m), status::ok);
  EXPECT_EQ(m, 5u);
  EXPECT_TRUE(r.succeeded());
}

TEST_F(DirectTest, FullAndEmptyAreSaidAndWaitedOut) {
  auto p = enroll("P");
  auto q = enroll("Q");
  std::uint64_t m = 0;
  for (std::uint64_t i = 0; i != options_.capacity; ++i) ASSERT_EQ(p->try_send("Q", i), status::ok);
  EXPECT_EQ(p->try_send("Q", 9), status::full);
  EXPECT_EQ(p->send_for("Q", 9, 1ms), status::timed_out);
  EXPECT_EQ(p->try_receive("Q", m), status::empty);
  EXPECT_EQ(p->receive_until("Q", m, deadline::after(1ms)), status::timed_out);
  EXPECT_EQ(q->try_receive("P", m), status::ok);
  EXPECT_EQ(p->send_until("Q", 9, deadline::never()), status::ok);
}

// Without the lock, or the look for one that is there, each makes its own.
TEST_F(DirectTest, BothNameEachOtherAtOnceAndThereIsOneLink) {
  constexpr int times = 10;
  for (int i = 0; i != times; ++i) {
    shared<std::atomic<int>> ready;
    const auto meet = [&](const char* other) {
      return [&, other](talk& me) {
        ++*ready;
        while (*ready < 2) ::sched_yield();
        std::uint64_t m = 0;
        if (me.send(other, 7) != status::ok || me.receive(other, m) != status::ok || m != 7) return false;
        ++*ready;
        return reached([&] { return *ready == 5; });
      };
    };
    child p = process("P", meet("Q"));
    child q = process("Q", meet("P"));
    ASSERT_TRUE(reached([&] { return *ready == 4; })) << "pair " << i;
    const auto all = files();
    EXPECT_EQ(all.size(), 2u) << "the exchange, and the link";
    EXPECT_TRUE(all.contains(""));
    ++*ready;
    EXPECT_TRUE(p.succeeded());
    EXPECT_TRUE(q.succeeded());
  }
}

TEST_F(DirectTest, EachPairHasALinkOfItsOwn) {
  auto p = enroll("P");
  auto q = enroll("Q");
  auto r = enroll("R");
  ASSERT_EQ(p->send("Q", 1), status::ok);
  ASSERT_EQ(p->send("R", 2), status::ok);
  ASSERT_EQ(q->send("R", 3), status::ok);
  std::uint64_t m = 0;
  EXPECT_EQ(r->receive("P", m), status::ok);
  EXPECT_EQ(m, 2u);
  EXPECT_EQ(r->receive("Q", m), status::ok);
  EXPECT_EQ(m, 3u);
  EXPECT_EQ(q->receive("P", m), status::ok);
  EXPECT_EQ(m, 1u);
  EXPECT_EQ(files().size(), 1u + 3u);
}

TEST_F(DirectTest, ANameIsHeldByOneLivingProcess) {
  child holder = process("P", [&](talk&) { return until_killed(); });
  await_arrivals(1);
  const auto refused = enroll("P");
  ASSERT_EQ(code(refused), errc::exists);
  EXPECT_NE(refused.error().message.find("held by pid " + std::to_string(holder.pid()) + ";"), std::string::npos)
      << refused.error().message;
  auto other = enroll("Q");
  EXPECT_EQ(code(enroll("Q")), errc::exists);  // one's own process is no exception
  ASSERT_EQ(::kill(holder.pid(), SIGSTOP), 0);
  EXPECT_EQ(code(enroll("P")), errc::exists);
  kill(holder);
  EXPECT_TRUE(reached([&] { return !!enroll("P"); }));
  EXPECT_TRUE(enroll("P"));
}

TEST_F(DirectTest, WhoIsKilledHasSentWhatWasSentAndThenClosed) {
  auto me = enroll("Q");
  child p = process("P", [&](talk& its) {
    return its.send("Q", 1) == status::ok && its.send("Q", 2) == status::ok && until_killed();
  });
  await_arrivals(1);
  kill(p);
  std::uint64_t m = 0;
  EXPECT_EQ(me->receive("P", m), status::ok);  // the first that is said of P here
  EXPECT_EQ(me->receive("P", m), status::ok);
  EXPECT_EQ(m, 2u);
  EXPECT_EQ(me->receive("P", m), status::closed);
  EXPECT_EQ(me->try_receive("P", m), status::empty);  // of a link with whoever comes next
}

TEST_F(DirectTest, ABlockedReceiverHearsOfTheOthersDeath) {
  child q = process("Q", [&](talk& me) {
    std::uint64_t m = 0;
    return me.receive("P", m) == status::ok && me.receive("P", m) == status::closed;
  });
  child p = process("P", [&](talk& me) { return me.send("Q", 7) == status::ok && until_killed(); });
  await_arrivals(1);
  ASSERT_TRUE(reached([&] { return asleep(q.pid()); }));
  kill(p);
  EXPECT_TRUE(q.succeeded());
}

// Who has never said a word to us is at the other end of the link all the same.
TEST_F(DirectTest, ABlockedReceiverHearsOfTheDeathOfOneThatHasNotNamedIt) {
  child p = process("P", [&](talk&) { return until_killed(); });
  await_arrivals(1);
  child q = process("Q", [&](talk& me) {
    std::uint64_t m = 0;
    return me.receive("P", m) == status::closed;
  });
  ASSERT_TRUE(reached([&] { return files().size() == 2 && asleep(q.pid()); }));
  kill(p);
  EXPECT_TRUE(q.succeeded());
}

TEST_F(DirectTest, ABlockedSenderHearsOfTheOthersDeathAndLeaving) {
  for (const bool leaves : {false, true}) {
    *arrived_ = 0;
    child p = process("P", [&](talk&) {
      ++*arrived_;
      if (leaves) return reached([&] { return *arrived_ == 2; });
      for (;;) ::pause();
    });
    await_arrivals(1);
    child q = process("Q", [&](talk& me) {
      status s = status::ok;
      while (s == status::ok) s = me.send("P", 1);
      return s == status::closed;
    });
    ASSERT_TRUE(reached([&] { return files().size() == 2 && asleep(q.pid()); }));
    if (leaves) {
      ++*arrived_;
      EXPECT_TRUE(p.succeeded());
    } else {
      kill(p);
    }
    EXPECT_TRUE(q.succeeded());
  }
}

TEST_F(DirectTest, WhoLeavesHasSentWhatWasSent) {
  auto me = enroll("Q");
  child p = process("P", [](talk& its) { return its.send("Q", 1) == status::ok; });
  EXPECT_TRUE(p.succeeded());
  std::uint64_t m = 0;
  EXPECT_EQ(me->receive("P", m), status::ok);
  EXPECT_EQ(me->receive("P", m), status::closed);
}

TEST_F(DirectTest, ASuccessorUnderTheNameHasAFreshLink) {
  auto me = enroll("Q");
  std::uint64_t m = 0;
  {
    auto first = enroll("P");
    ASSERT_EQ(first->send("Q", 1), status::ok);
    ASSERT_EQ(first->send("Q", 2), status::ok);
    ASSERT_EQ(me->receive("P", m), status::ok);
    ASSERT_EQ(me->send("P", 3), status::ok);  // never received
  }
  auto second = enroll("P");
  ASSERT_EQ(second->send("Q", 4), status::ok);
  EXPECT_EQ(second->try_receive("Q", m), status::empty);
  EXPECT_EQ(me->send("P", 5), status::closed);
  EXPECT_EQ(me->receive("P", m), status::ok);
  EXPECT_EQ(m, 2u);
  EXPECT_EQ(me->send("P", 5), status::closed);
  EXPECT_EQ(me->receive("P", m), status::closed);
  EXPECT_EQ(me->send("P", 6), status::ok);
  EXPECT_EQ(me->receive("P", m), status::ok);
  EXPECT_EQ(m, 4u);
  EXPECT_EQ(second->receive("Q", m), status::ok);
  EXPECT_EQ(m, 6u);
}

// What was sent by those who came and went is there in turn.
TEST_F(DirectTest, LinksWithTheDeadAreReadInTheOrderOfTheirComing) {
  auto me = enroll("Q");
  for (std::uint64_t i = 0; i != 3; ++i) {
    child p = process("P", [i, this](talk& its) { return its.send("Q", i) == status::ok && until_killed(); });
    await_arrivals(static_cast<int>(i) + 1);
    kill(p);
  }
  std::uint64_t m = 0;
  for (std::uint64_t i = 0; i != 3; ++i) {
    ASSERT_EQ(me->receive("P", m), status::ok);
    EXPECT_EQ(m, i);
    ASSERT_EQ(me->receive("P", m), status::closed);
  }
}

// Its keeper never sees the mark: the place has another holder by then.
TEST_F(DirectTest, WhoWasStoppedIsToldByWhoeverTookTheDeadOnesPlace) {
  options_.members = 2;
  child q = process("Q", [](talk& me) {
    std::uint64_t m = 0;
    return me.receive("P", m) == status::ok && me.receive("P", m) == status::closed;
  });
  child p = process("P", [&](talk& me) { return me.send("Q", 7) == status::ok && until_killed(); });
  await_arrivals(1);
  ASSERT_TRUE(reached([&] { return asleep(q.pid()); }));
  ASSERT_EQ(::kill(q.pid(), SIGSTOP), 0);
  siginfo_t how{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(q.pid()), &how, WSTOPPED | WEXITED | WNOWAIT), 0);
  kill(p);
  auto r = enroll("R");
  ASSERT_TRUE(r) << r.error().message;
  ASSERT_EQ(::kill(q.pid(), SIGCONT), 0);
  EXPECT_TRUE(q.succeeded());
}

TEST_F(DirectTest, LinksOfKilledPairsAreSweptByTheNextToEnroll) {
  child p = process("P", [&](talk& me) { return me.send("Q", 1) == status::ok && until_killed(); });
  child q = process("Q", [&](talk& me) { return me.send("P", 1) == status::ok && until_killed(); });
  await_arrivals(2);
  kill(p);
  kill(q);
  EXPECT_EQ(files().size(), 2u);
  auto me = enroll("R");
  ASSERT_TRUE(me) << me.error().message;
  EXPECT_EQ(files(), std::set<std::string>{""});
}

// The last one takes the exchange away as it leaves, while another comes to it. Without a
// second look at its name, that one would be alone in an exchange that nobody finds.
TEST_F(DirectTest, WhoComesAsTheLastOneLeavesIsNotLeftAlone) {
  constexpr std::uint64_t times = 20;
  shared<std::atomic<std::uint64_t>> rounds;  // that P is done with
  child q([&] {
    std::optional<result<talk>> me(enroll("Q"));
    for (std::uint64_t i = 0; i != times; ++i) {
      while (*rounds != i) ::sched_yield();
      me.reset();
      me.emplace(enroll(("Q" + std::to_string(i)).c_str()));
      std::uint64_t m = 0;
      if (!*me || (*me)->receive("P" + std::to_string(i), m) != status::ok || m != i) return false;
    }
    return true;
  });
  child p([&] {
    for (std::uint64_t i = 0; i != times; ++i) {
      auto me = enroll(("P" + std::to_string(i)).c_str());
      if (!me || me->send("Q" + std::to_string(i), i) != status::ok) return false;
      { const talk left = *std::move(me); }
      ++*rounds;
    }
    return true;
  });
  EXPECT_TRUE(p.succeeded());
  EXPECT_TRUE(q.succeeded());
}

// Killed in the middle of whatever they do: names are free again, messages come without a
// gap, nobody hangs, and nothing is left.
TEST_F(DirectTest, KilledAgainAndAgain) {
  constexpr int kills = 32;
  constexpr std::array<const char*, 2> names{"P", "Q"};
  std::array<shared<std::atomic<std::uint64_t>>, 2> received;
  // Until the other has gone; false if it has sent what it can't have.
  const auto chat = [&](talk& me, std::size_t self) {
    for (std::uint64_t sent = 0, expected = 0;;) {
      if (me.try_send(names[1 - self], sent) == status::ok) ++sent;
      std::uint64_t m = 0;
      const status s = me.receive_for(names[1 - self], m, 200us);
      if (s == status::closed) return true;
      if (s != status::ok && s != status::timed_out) return false;
      if (s == status::ok && m != expected++) return false;
      if (s == status::ok) ++*received[self];
    }
  };
  const auto live = [&](std::size_t self) {
    return child([&, self] {
      for (;;) {
        auto me = enroll(names[self]);
        // The name may be its predecessor's for a moment more.
        if (!me ? me.error().code != errc::exists : !chat(*me, self)) return false;
      }
    });
  };
  std::minstd_rand random(1);
  std::array<std::optional<child>, 2> pair{live(0), live(1)};
  for (int i = 0; i != kills; ++i) {
    std::this_thread::sleep_for(std::chrono::microseconds(random() % 3000));
    const std::size_t victim = random() % 2;
    kill(*pair[victim]);
    pair[victim].emplace(live(victim));
    if (i % 8 != 7) continue;
    const std::array<std::uint64_t, 2> before{*received[0], *received[1]};
    ASSERT_TRUE(reached([&] { return *received[0] > before[0] && *received[1] > before[1]; })) << "kill " << i;
  }
  ASSERT_TRUE(pair[0]->running() && pair[1]->running()) << "one has received what was not sent";
  kill(*pair[0]);
  kill(*pair[1]);
  auto me = enroll("P");
  ASSERT_TRUE(me) << me.error().message;
}

TEST_F(DirectTest, AChildOfForkEndsNothing) {
  auto p = enroll("P");
  auto q = enroll("Q");
  ASSERT_EQ(p->send("Q", 1), status::ok);
  child c([&] {
    std::uint64_t m = 0;
    const bool refused = p->send("Q", 2) == status::closed && q->try_receive("P", m) == status::closed &&
                         p->receive("R", m) == status::closed && code(p->link("Q")) == errc::bad_argument;
    talk mine = *std::move(p);
    return refused && p->send("Q", 2) == status::closed;
  });
  ASSERT_TRUE(c.succeeded());
  EXPECT_EQ(code(enroll("P")), errc::exists);
  std::uint64_t m = 0;
  EXPECT_EQ(q->receive("P", m), status::ok);
  EXPECT_EQ(q->send("P", 2), status::ok);
  EXPECT_EQ(p->receive("Q", m), status::ok);
}

TEST_F(DirectTest, RefusesWhatCannotBe) {
  for (const std::string& name :
       {std::string(), std::string("a/b"), std::string("a:b"), std::string("a\nb"), std::string(65, 'x')}) {
    EXPECT_EQ(code(talk::enroll(name, options_)), errc::bad_argument) << name;
    EXPECT_EQ(code(talk::enroll("P", {.exchange = name})), errc::bad_argument) << name;
  }
  EXPECT_EQ(code(talk::enroll("P", {.exchange = options_.exchange, .capacity = 0})), errc::bad_argument);
  EXPECT_EQ(code(talk::enroll("P", {.exchange = options_.exchange, .members = 0})), errc::bad_argument);
  EXPECT_EQ(code(talk::enroll("P", {.exchange = options_.exchange, .mode = 0200})), errc::bad_argument);

  options_.members = 2;
  const std::string longest(64, 'x');
  auto me = talk::enroll(longest, options_);
  ASSERT_TRUE(me) << me.error().message;
  EXPECT_EQ(code(direct<int>::enroll("Q", options_)), errc::incompatible);
  EXPECT_EQ(code(talk::enroll("Q", {.exchange = options_.exchange, .capacity = 4, .members = 3})), errc::incompatible);
  auto other = enroll("Q");
  EXPECT_EQ(code(enroll("R")), errc::limit);
  std::uint64_t m = 0;
  for (const char* name : {"", "a/b", longest.c_str()}) {
    EXPECT_EQ(me->send(name, 1), status::refused) << name;
    EXPECT_EQ(me->try_receive(name, m), status::refused) << name;
    EXPECT_EQ(code(me->link(name)), errc::bad_argument) << name;
  }
  EXPECT_TRUE(me->link("Q"));
  EXPECT_TRUE(me->link("Q"));
  EXPECT_EQ(me->send("Q", 1), status::ok);
  EXPECT_EQ(other->receive(longest, m), status::ok);
}

TEST_F(DirectTest, FilesOfAnothersMakingAreRefusedOrPassedOver) {
  std::ofstream(path()) << "not an exchange";
  EXPECT_EQ(code(enroll("P")), errc::foreign);
  std::filesystem::remove(path());

  auto p = enroll("P");
  auto q = enroll("Q");
  for (const char* rest : {":", ":P", ":P:1", ":P:x:Q:y", ":P:1:Q:2:", ":P:1:Q:99999999999999999"}) {
    std::ofstream(path(rest)) << "not a link";
  }
  ASSERT_EQ(p->send("Q", 1), status::ok);
  std::string link;
  for (const std::string& file : files()) {
    if (file.size() > 30) link = file;
  }
  const std::string to_q = ":7:Q:" + link.substr(link.rfind(':') + 1);
  std::ofstream(path(":Y" + to_q)) << "not a link";
  ASSERT_TRUE(shared_memory::create(location::posix("millrace.direct." + options_.exchange + ":Z" + to_q), 4096, 0600,
                                    [](void*) {}));
  std::uint64_t m = 0;
  EXPECT_EQ(q->receive("Y", m), status::refused);
  EXPECT_EQ(code(q->link("Y")), errc::foreign);
  EXPECT_EQ(q->receive("Z", m), status::refused);
  EXPECT_EQ(code(q->link("Z")), errc::incompatible);
  EXPECT_EQ(q->receive("P", m), status::ok);
  for (const std::string& file : files()) {
    if (file.size() < 30 && !file.empty()) std::filesystem::remove(path(file));
  }
}

TEST_F(DirectTest, WhatIsTruncatedIsSaidAndKillsNobody) {
  {
    auto p = enroll("P");
    auto q = enroll("Q");
    std::uint64_t m = 0;
    ASSERT_EQ(p->send("Q", 1), status::ok);
    ASSERT_EQ(q->receive("P", m), status::ok);
    for (const std::string& file : files()) {
      if (!file.empty()) std::filesystem::resize_file(path(file), 0);
    }
    status s = status::ok;
    EXPECT_TRUE(reached([&] { return (s = q->try_receive("P", m)) == status::corrupt; })) << to_string(s);
    EXPECT_TRUE(reached([&] { return (s = p->try_send("Q", 1)) == status::corrupt; })) << to_string(s);
    std::filesystem::resize_file(path(), 0);
    EXPECT_TRUE(reached([&] { return (s = p->try_send("R", 1)) == status::corrupt; })) << to_string(s);
    EXPECT_EQ(code(p->link("R")), errc::foreign);
    EXPECT_EQ(p->send("R", 1), status::corrupt);
  }
  for (const std::string& file : files()) std::filesystem::remove(path(file));
}

}  // namespace
}  // namespace millrace
