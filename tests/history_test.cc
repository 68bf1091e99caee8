// The demonstration's checker, on made-up damage: it must see each kind, and only that.
#include "verify/races/history.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "verify/races/broken_ring.h"
#include "verify/races/story.h"

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

// What producers pushed and consumers had of it; `pushed` has a slot and a time for each.
struct notes {
  std::vector<log> received;
  std::vector<std::vector<departure>> pushed;

  std::string told() const {
    history h;
    for (const auto& p : pushed) h.sent.push_back(p.size());
    for (const auto& p : pushed) h.pushed.emplace_back(p);
    for (const log& l : received) h.received.emplace_back(l);
    constexpr flaw wrong{{"file", 1, "push"}, {"file", 2, "pop"}, "why", "why it seems to work alone"};
    const auto s = tell(h, wrong);
    return s ? s->text + " | " + std::string(s->blamed.text) : "";
  }
};

TEST(Story, NothingIsToldOfAnUndamagedHistory) {
  EXPECT_EQ((notes{{{{0, 0}, {1, 0}}}, {{{0, 10}}, {{1, 20}}}}.told()), "");
}

TEST(Story, AnOverwrittenMessageIsTheFirstChoice) {
  EXPECT_EQ((notes{{{{1, 0}, {1, 0}}}, {{{3, 10}}, {{3, 25}}}}.told()),
            "slot 3: producer 1 wrote 0, producer 2 overwrote it with 0; 0 never arrived\n"
            "  (noted 15 ns apart, with no push to another slot between them) | push");
}

TEST(Story, APushToAnotherSlotBetweenTwoMakesNoOverwriting) {
  EXPECT_EQ((notes{{{{1, 0}, {1, 1}}}, {{{3, 10}}, {{4, 20}, {3, 30}}}}.told()),
            "slot 3: producer 1 wrote 0; it never arrived whole | push");
}

TEST(Story, OneProducersTwoPushesAreNoOverwriting) {
  EXPECT_EQ((notes{{{{0, 1}}}, {{{3, 10}, {3, 20}}}}.told()),
            "slot 3: producer 1 wrote 0; it never arrived whole | pop");
}

TEST(Story, AMessageTakenTwiceNamesItsTakers) {
  EXPECT_EQ((notes{{{{0, 0}}, {{0, 0}}}, {{{2, 10}}}}.told()),
            "slot 2: producer 1 wrote 0; consumer 1 took it, and so did consumer 2 | pop");
  EXPECT_EQ((notes{{{}, {{0, 0}, {0, 0}}}, {{{2, 10}}}}.told()),
            "slot 2: producer 1 wrote 0; consumer 2 took it twice | pop");
}

}  // namespace
}  // namespace millrace::races
