// The demonstration's checker, on made-up damage: it must see each kind, and only that.
#include "verify/races/history.h"

#include <gtest/gtest.h>

#include <fstream>
#include <string>
#include <vector>

#include "verify/races/naive_ring.h"

namespace millrace::races {
namespace {

using log = std::vector<arrival>;

damage judge_logs(std::vector<std::uint64_t> sent, const std::vector<log>& logs) {
  history h{std::move(sent), {}};
  for (const log& l : logs) h.received.emplace_back(l);
  return judge(h);
}

TEST(History, NothingSentAndNothingReceivedIsClean) { EXPECT_EQ(judge_logs({}, {}), damage{}); }

TEST(History, InterleavedProducersInOrderAreClean) {
  EXPECT_EQ(judge_logs({2, 2}, {{{0, 0}, {1, 0}, {1, 1}, {0, 1}}}), damage{});
}

TEST(History, OneProducerSplitBetweenConsumersIsClean) {
  EXPECT_EQ(judge_logs({4}, {{{0, 1}, {0, 2}}, {{0, 0}, {0, 3}}}), damage{});
}

TEST(History, MessagesThatNeverArriveAreLost) {
  EXPECT_EQ(judge_logs({3, 1}, {{{0, 0}, {0, 2}}}), (damage{.lost = 2}));
}

TEST(History, EverythingLostIsCounted) { EXPECT_EQ(judge_logs({5}, {{}}), (damage{.lost = 5})); }

TEST(History, TheLastMessageLostIsCounted) { EXPECT_EQ(judge_logs({2}, {{{0, 0}}}), (damage{.lost = 1})); }

TEST(History, ASecondCopyIsDuplicatedAndNotReordered) {
  EXPECT_EQ(judge_logs({2}, {{{0, 0}, {0, 1}, {0, 0}}}), (damage{.duplicated = 1}));
}

TEST(History, CopiesAtTwoConsumersAreDuplicated) {
  EXPECT_EQ(judge_logs({1}, {{{0, 0}}, {{0, 0}}, {{0, 0}}}), (damage{.duplicated = 2}));
}

TEST(History, TornMessagesAreCountedAndTheirOriginalIsLost) {
  EXPECT_EQ(judge_logs({2}, {{{0, 0}, {arrival::nobody, 0}}}), (damage{.lost = 1, .torn = 1}));
}

TEST(History, AMessageThatNobodySentIsTorn) {
  EXPECT_EQ(judge_logs({1}, {{{0, 0}, {0, 7}, {3, 0}}}), (damage{.torn = 2}));
}

TEST(History, AnEarlierMessageAfterALaterOneIsReordered) {
  EXPECT_EQ(judge_logs({4}, {{{0, 0}, {0, 3}, {0, 1}, {0, 2}}}), (damage{.reordered = 2}));
}

TEST(History, OrderIsJudgedByProducerAndByConsumer) {
  EXPECT_EQ(judge_logs({3, 3}, {{{1, 2}, {0, 0}, {0, 2}}, {{0, 1}, {1, 0}, {1, 1}}}), damage{});
}

TEST(History, EveryKindAtOnceIsToldApart) {
  EXPECT_EQ(judge_logs({5}, {{{0, 0}, {0, 2}, {0, 1}, {0, 2}, {arrival::nobody, 0}}}),
            (damage{.lost = 2, .duplicated = 1, .torn = 1, .reordered = 1}));
}

TEST(Parcel, IsIntactAsPacked) {
  EXPECT_TRUE(intact(pack(0, 0, 0), 0));
  EXPECT_TRUE(intact(pack(3, 1042, 7), 7));
  EXPECT_FALSE(intact(parcel{}, 0));
}

TEST(Parcel, AMixtureOfTwoIsNotIntactWhereverItIsCut) {
  const parcel a = pack(0, 1042, 1);
  const parcel b = pack(1, 1042, 1);
  for (std::size_t cut = 2; cut != 8; ++cut) {
    parcel mixed = a;
    for (std::size_t i = 0; i != mixed.payload.size(); ++i) {
      if (i + 2 >= cut) mixed.payload[i] = b.payload[i];
    }
    mixed.checksum = b.checksum;
    EXPECT_FALSE(intact(mixed, 1)) << "cut before word " << cut;
  }
}

// The demonstration shows these lines to people.
TEST(Blame, TheLinesAreWhereTheHeaderSaysTheyAre) {
  using ring = naive_ring<parcel>;
  for (const source_line& blamed : {ring::blamed_for_in, ring::blamed_for_out}) {
    std::ifstream header("verify/races/naive_ring.h");
    ASSERT_TRUE(header) << "naive_ring.h is not where the test runs";
    std::string line;
    for (unsigned i = 0; i != blamed.number; ++i) std::getline(header, line);
    EXPECT_NE(line.find(blamed.text), std::string::npos) << line;
    EXPECT_EQ(line.find("source_line"), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace millrace::races
