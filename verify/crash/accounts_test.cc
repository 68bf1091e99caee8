// That the accounts notice what they are for.
#include "verify/crash/accounts.h"

#include <gtest/gtest.h>

namespace millrace::crash {
namespace {

receipt got(std::uint32_t producer, std::uint32_t sequence, bool redelivered = false) {
  return receipt_of(races::pack(producer, sequence, 1), redelivered, 1);
}

TEST(AccountsTest, BalanceWhenEachMessageArrivedOnce) {
  const balance b = settle({.senders = {{2, 2}, {1, 1}}, .received = {{got(0, 0), got(1, 0)}, {got(0, 1)}}});
  EXPECT_TRUE(b.even()) << b.describe();
}

TEST(AccountsTest, ACommittedMessageThatDidNotArriveIsLost) {
  EXPECT_EQ(settle({.senders = {{3, 2}}, .received = {{got(0, 0)}}}).lost, 1u);
}

TEST(AccountsTest, OneInFlightMayArriveOrNot) {
  EXPECT_TRUE(settle({.senders = {{2, 1}}, .received = {{got(0, 0)}}}).even());
  EXPECT_TRUE(settle({.senders = {{2, 1}}, .received = {{got(0, 0), got(0, 1)}}}).even());
  EXPECT_EQ(settle({.senders = {{2, 1}}, .received = {{got(0, 0), got(0, 1), got(0, 1)}}}).duplicated, 1u);
}

TEST(AccountsTest, ABatchInFlightHasNoGap) {
  EXPECT_TRUE(settle({.senders = {{3, 0}}, .received = {{got(0, 0), got(0, 1)}}}).even());
  EXPECT_EQ(settle({.senders = {{3, 0}}, .received = {{got(0, 0), got(0, 2)}}}).lost, 1u);
}

TEST(AccountsTest, WhatADeadConsumerHeldIsNotLost) {
  const balance b = settle({.senders = {{1, 1}}, .received = {}, .in_hands = {got(0, 0)}});
  EXPECT_TRUE(b.even());
  EXPECT_EQ(b.in_hands, 1u);
}

TEST(AccountsTest, WhatADeadConsumerHeldMayBeDeliveredToAnotherOnce) {
  const balance b = settle({.senders = {{1, 1}}, .received = {{got(0, 0, true)}}, .in_hands = {got(0, 0)}});
  EXPECT_TRUE(b.even());
  EXPECT_EQ(b.in_hands, 0u);
  EXPECT_EQ(b.redelivered, 1u);
  EXPECT_EQ(settle({.senders = {{1, 1}}, .received = {{got(0, 0)}, {got(0, 0, true)}}}).duplicated, 1u);
}

TEST(AccountsTest, WhatNobodySentIsTorn) {
  races::parcel m = races::pack(0, 0, 1);
  m.payload[4] ^= 1;
  EXPECT_EQ(settle({.senders = {{1, 0}}, .received = {{receipt_of(m, false, 1)}}}).torn, 1u);
  EXPECT_EQ(settle({.senders = {{1, 1}}, .received = {{got(0, 0), got(0, 1), got(1, 0)}}}).torn, 2u);
}

TEST(AccountsTest, AConsumerGetsEachProducersMessagesInOrder) {
  EXPECT_EQ(settle({.senders = {{2, 2}}, .received = {{got(0, 1), got(0, 0)}}}).reordered, 1u);
  EXPECT_TRUE(settle({.senders = {{2, 2}}, .received = {{got(0, 1)}, {got(0, 0)}}}).even());
  EXPECT_TRUE(settle({.senders = {{2, 2}}, .received = {{got(0, 1), got(0, 0, true)}}}).even());
}

TEST(AccountsTest, DamageIsSaidInWords) { EXPECT_EQ((balance{.lost = 1, .torn = 2}).describe(), "1 lost, 2 torn"); }

}  // namespace
}  // namespace millrace::crash
