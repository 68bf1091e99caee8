// The checker that judges all models, on histories made by hand.
#include "verify/model/linearizable.h"

#include <gtest/gtest.h>

#include <vector>

namespace verify {
namespace {

using millrace::status;

constexpr promise exact{promise::order::real_time, promise::failure::exact};
constexpr promise causal{promise::order::causal, promise::failure::exact};
constexpr promise loose{promise::order::causal, promise::failure::overlapping};

call made(unsigned thread, action what, std::uint64_t began, std::uint64_t ended, status said,
          std::vector<std::uint64_t> ids = {}) {
  call c{.what = what, .thread = thread, .returned = true, .said = said};
  std::copy(ids.begin(), ids.end(), c.ids.begin());
  c.count = ids.size();
  c.began = began;
  c.ended = ended;
  c.reached = ended;
  return c;
}

// Says that `later` knows of everything that `earlier` did.
void order(const call& earlier, call& later) { later.knew[earlier.thread] = earlier.reached; }

bool holds(const std::vector<call>& calls, promise p, std::vector<std::uint64_t> left = {}, std::size_t capacity = 2) {
  return linearizable(calls, {}, left, capacity, p);
}

TEST(LinearizableTest, MessagesComeOutOnceInOrderAndNoneIsLost) {
  const call a = made(0, action::push, 1, 2, status::ok, {1});
  const call b = made(0, action::push, 3, 4, status::ok, {2});
  EXPECT_TRUE(holds({a, b, made(1, action::pop, 5, 6, status::ok, {1})}, exact, {2}));
  EXPECT_FALSE(holds({a, b, made(1, action::pop, 5, 6, status::ok, {2})}, exact, {1})) << "out of order";
  EXPECT_FALSE(holds({a, b, made(1, action::pop, 5, 6, status::ok, {1})}, exact)) << "2 is lost";
  EXPECT_FALSE(
      holds({a, made(1, action::pop, 3, 4, status::ok, {1}), made(2, action::pop, 5, 6, status::ok, {1})}, exact))
      << "delivered twice";
  EXPECT_FALSE(
      holds({made(1, action::pop, 1, 2, status::ok, {1}), made(0, action::push, 3, 4, status::ok, {1})}, exact))
      << "delivered before it was sent";
}

TEST(LinearizableTest, CallsThatOverlapComeInAnyOrder) {
  const call push = made(0, action::push, 1, 4, status::ok, {1});
  EXPECT_TRUE(holds({push, made(1, action::pop, 2, 3, status::ok, {1})}, exact));
  EXPECT_TRUE(holds({push, made(1, action::pop, 2, 3, status::empty)}, exact, {1}));
}

TEST(LinearizableTest, EmptyMeansEmpty) {
  const call push = made(0, action::push, 1, 2, status::ok, {1});
  call pop = made(1, action::pop, 3, 4, status::empty);
  EXPECT_FALSE(holds({push, pop}, exact, {1}));
  EXPECT_TRUE(holds({push, pop}, causal, {1})) << "the push may still be on its way";
  order(push, pop);
  EXPECT_FALSE(holds({push, pop}, causal, {1})) << "the caller knew of the push";
}

// Each side misses what the other has just done: true of each, of no one order.
TEST(LinearizableTest, EachFailedTryCanBeJudgedAlone) {
  const std::vector<call> calls = {
      made(0, action::push, 1, 2, status::ok, {1}), made(0, action::push, 3, 4, status::ok, {2}),
      made(0, action::push, 5, 6, status::full),    made(1, action::pop, 7, 8, status::ok, {1}),
      made(1, action::pop, 9, 10, status::empty),   made(1, action::pop, 11, 12, status::ok, {2}),
  };
  EXPECT_FALSE(holds(calls, causal));
  EXPECT_TRUE(holds(calls, {promise::order::causal, promise::failure::each_alone}));
  EXPECT_FALSE(holds(calls, {promise::order::real_time, promise::failure::each_alone}));
}

TEST(LinearizableTest, FullMeansFull) {
  const call push = made(0, action::push, 1, 2, status::ok, {1});
  EXPECT_TRUE(holds({push, made(0, action::push, 3, 4, status::full)}, exact, {1}, 1));
  EXPECT_FALSE(holds({push, made(0, action::push, 3, 4, status::full)}, exact, {1}, 2));
  EXPECT_FALSE(holds({push, made(0, action::push, 3, 4, status::full)}, loose, {1}, 2)) << "nobody else was there";
  EXPECT_TRUE(holds({push, made(1, action::push, 3, 4, status::full)}, loose, {1}, 2));
  EXPECT_FALSE(holds({push, made(0, action::push, 3, 4, status::ok, {2})}, exact, {1, 2}, 1)) << "over capacity";
}

TEST(LinearizableTest, BusyNeedsSomebodyToBeBusyWith) {
  const call push = made(0, action::push, 1, 2, status::ok, {1});
  call pop = made(1, action::pop, 3, 4, status::busy);
  EXPECT_TRUE(holds({push, pop}, exact, {1})) << "in C++ they are not ordered";
  order(push, pop);
  EXPECT_FALSE(holds({push, pop}, exact, {1}));
}

TEST(LinearizableTest, ClosedMeansClosedAndDrained) {
  const call push = made(0, action::push, 1, 2, status::ok, {1});
  const call close = made(0, action::close, 3, 4, status::ok);
  EXPECT_TRUE(holds({push, close, made(1, action::pop, 5, 6, status::ok, {1}),
                     made(1, action::pop, 7, 8, status::closed), made(2, action::push, 9, 10, status::closed)},
                    exact));
  EXPECT_FALSE(holds({push, close, made(1, action::pop, 5, 6, status::closed)}, exact, {1}));
  EXPECT_FALSE(holds({close, made(1, action::push, 5, 6, status::ok, {2})}, exact, {2}));
  EXPECT_FALSE(holds({close, made(1, action::pop, 5, 6, status::empty)}, exact));
  EXPECT_FALSE(holds({made(1, action::pop, 1, 2, status::closed)}, exact));
}

TEST(LinearizableTest, ABatchMovesInOnePiece) {
  const call both = made(0, action::push, 1, 4, status::ok, {1, 2});
  const call other = made(1, action::push, 2, 3, status::ok, {9});
  const auto popped = [](const std::vector<std::uint64_t>& ids) { return made(2, action::pop, 5, 6, status::ok, ids); };
  EXPECT_TRUE(holds({both, other, popped({9, 1, 2})}, exact, {}, 3));
  EXPECT_TRUE(holds({both, other, popped({1, 2, 9})}, exact, {}, 3));
  EXPECT_FALSE(holds({both, other, popped({1, 9, 2})}, exact, {}, 3));
}

TEST(LinearizableTest, AKilledCallHasHappenedOrNot) {
  call push = made(0, action::push, 1, 0, status::ok, {1});
  push.returned = false;
  push.asked = 1;
  EXPECT_TRUE(holds({push}, exact));
  EXPECT_TRUE(holds({push}, exact, {1}));
  EXPECT_FALSE(holds({push}, exact, {1, 1}));
}

TEST(LinearizableTest, OfAKilledCallItMayBeKnownWhetherItHappened) {
  call push = made(0, action::push, 1, 0, status::ok, {1});
  push.returned = false;
  push.asked = 1;
  push.fate = call::fate::happened;
  EXPECT_FALSE(holds({push}, exact));
  EXPECT_TRUE(holds({push}, exact, {1}));
  push.fate = call::fate::nothing;
  EXPECT_TRUE(holds({push}, exact));
  EXPECT_FALSE(holds({push}, exact, {1}));
}

TEST(LinearizableTest, AKilledPusherMayHoldAPlace) {
  call push = made(0, action::push, 1, 0, status::ok, {1});
  push.returned = false;
  push.asked = 1;
  push.fate = call::fate::nothing;
  const call kept = made(1, action::push, 2, 3, status::ok, {2});
  EXPECT_TRUE(holds({push, kept, made(1, action::push, 4, 5, status::full)}, exact, {2}, 2));
  EXPECT_FALSE(holds({push, kept, made(1, action::push, 4, 5, status::full)}, exact, {2}, 3));
}

TEST(LinearizableTest, WhatAKilledPopperHadInItsHandsIsRedeliveredOnce) {
  const std::vector<call> stored{made(1, action::push, 1, 2, status::ok, {1}),
                                 made(1, action::push, 3, 4, status::ok, {2})};
  call pop = made(0, action::pop, 5, 0, status::ok);
  pop.returned = false;
  pop.asked = 1;
  pop.fate = call::fate::nothing;
  const auto with = [&](std::vector<call> more) {
    std::vector<call> all = stored;
    all.push_back(pop);
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const call second = made(1, action::pop, 6, 7, status::ok, {2});
  const call late = made(1, action::pop, 8, 9, status::redelivered, {1});
  EXPECT_TRUE(holds(with({second, late}), exact));
  EXPECT_FALSE(holds(with({second}), exact)) << "lost";
  EXPECT_FALSE(holds(with({second, late, made(1, action::pop, 10, 11, status::redelivered, {1})}), exact)) << "twice";
  EXPECT_FALSE(holds(with({made(1, action::pop, 6, 7, status::redelivered, {2})}), exact, {1})) << "nobody held it";

  const call close = made(1, action::close, 8, 9, status::ok);
  const call end = made(1, action::pop, 12, 13, status::closed);
  EXPECT_TRUE(holds(with({second, close, made(1, action::pop, 10, 11, status::redelivered, {1}), end}), exact));
  EXPECT_FALSE(holds(with({second, close, end, made(1, action::pop, 14, 15, status::redelivered, {1})}), exact))
      << "it comes after the end";
  promise dropping = exact;
  dropping.drops = true;
  EXPECT_TRUE(holds(with({second, close, end}), dropping));
}

// Each call knows that the other had begun.
void introduce(call& a, call& b) {
  a.learned[b.thread] = b.started = b.began;
  b.learned[a.thread] = a.started = a.began;
}

TEST(MeetingsTest, APushAndThePopOfItsMessageOverlap) {
  call push = made(0, action::push, 1, 4, status::ok, {1});
  call pop = made(1, action::pop, 2, 3, status::ok, {1});
  introduce(push, pop);
  EXPECT_TRUE(meetings(std::vector{push, pop}, {}, {}, exact));
  pop.learned[0] = 0;
  EXPECT_FALSE(meetings(std::vector{push, pop}, {}, {}, exact)) << "the pop returned without knowing of the push";
  call late = made(1, action::pop, 5, 6, status::ok, {1});
  introduce(push, late);
  EXPECT_FALSE(meetings(std::vector{push, late}, {}, {}, exact)) << "a push that nobody takes does not return";
  call other = made(1, action::pop, 2, 3, status::ok, {2});
  introduce(push, other);
  EXPECT_FALSE(meetings(std::vector{push, other}, {}, {}, exact));
  EXPECT_FALSE(meetings(std::vector{push}, {}, {}, exact));
}

TEST(MeetingsTest, WhoWaitsForEverIsMetInTurn) {
  const std::vector<std::uint64_t> offers{1, 2};
  const call first = made(0, action::pop, 1, 2, status::ok, {1});
  const call second = made(0, action::pop, 3, 4, status::ok, {2});
  const call none = made(0, action::pop, 5, 6, status::empty);
  EXPECT_TRUE(meetings(std::vector{first, second, none}, {offers}, {}, exact));
  EXPECT_FALSE(meetings(std::vector{second, first}, {offers}, {}, exact)) << "out of turn";
  EXPECT_FALSE(meetings(std::vector{first, none}, {offers}, {std::span(offers).subspan(1)}, exact)) << "not empty";
  EXPECT_FALSE(meetings(std::vector{first}, {offers}, {}, exact)) << "2 is lost";
  const call push = made(0, action::push, 1, 2, status::ok, {1});
  const call full = made(0, action::push, 3, 4, status::full);
  EXPECT_TRUE(meetings(std::vector{push, full}, {{}, 1}, {}, exact));
  EXPECT_FALSE(meetings(std::vector{push, full}, {{}, 2}, {{}, 1}, exact)) << "one still asks";
}

TEST(MeetingsTest, WhatTheDeadWerePassedComesOnce) {
  call push = made(0, action::push, 1, 4, status::ok, {1});
  call killed = made(1, action::pop, 2, 0, status::ok);
  killed.returned = false;
  killed.asked = 1;
  killed.fate = call::fate::nothing;
  const call again = made(2, action::pop, 5, 6, status::redelivered, {1});
  EXPECT_TRUE(meetings(std::vector{push, killed, again}, {}, {}, exact));
  EXPECT_FALSE(meetings(std::vector{push, killed}, {}, {}, exact)) << "it is lost";
  promise dropping = exact;
  dropping.drops = true;
  EXPECT_TRUE(meetings(std::vector{push, killed}, {}, {}, dropping));
  EXPECT_FALSE(meetings(std::vector{push, killed, again}, {}, {}, dropping));
  killed.fate = call::fate::happened;
  EXPECT_TRUE(meetings(std::vector{push, killed}, {}, {}, exact));
  EXPECT_FALSE(meetings(std::vector{push, killed, again}, {}, {}, exact)) << "it had taken it";
}

TEST(MeetingsTest, NobodyMeetsBehindAClose) {
  call push = made(0, action::push, 3, 6, status::ok, {1});
  call pop = made(1, action::pop, 4, 5, status::ok, {1});
  introduce(push, pop);
  const call close = made(2, action::close, 1, 2, status::ok);
  EXPECT_FALSE(meetings(std::vector{push, pop, close}, {}, {}, exact));
  EXPECT_TRUE(meetings(std::vector{made(0, action::push, 3, 4, status::closed), close}, {}, {}, exact));
  EXPECT_FALSE(meetings(std::vector{made(0, action::push, 3, 4, status::closed)}, {}, {}, exact));
  EXPECT_FALSE(meetings(std::vector{made(0, action::push, 3, 4, status::full), close}, {}, {}, exact));
}

}  // namespace
}  // namespace verify
