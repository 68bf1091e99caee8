// The models are tested on rings that are known to be broken.
#include <gtest/gtest.h>

#include "verify/model/scenario.h"
#include "verify/races/naive_ring.h"

namespace verify {
namespace {

// Payloads of atomic words: no access is a data race any more, torn or not.
struct atomic_payloads : relacy_platform {
  template <millrace::message T>
  class plain {
    using words = std::array<std::uint64_t, sizeof(T) / sizeof(std::uint64_t)>;

   public:
    void read(T& out) const noexcept {
      words copy;
      for (std::size_t i = 0; i != copy.size(); ++i) copy[i] = words_[i].load(std::memory_order::seq_cst);
      out = std::bit_cast<T>(copy);
    }
    void write(const T& in) noexcept {
      const words copy = std::bit_cast<words>(in);
      for (std::size_t i = 0; i != copy.size(); ++i) words_[i].store(copy[i], std::memory_order::seq_cst);
    }

   private:
    std::array<relacy_platform::atomic<std::uint64_t>, std::tuple_size_v<words>> words_;
  };
};

using naive = millrace::races::naive_ring<message, relacy_platform>;
using seq_cst = millrace::races::seq_cst_ring<message, relacy_platform>;
using all_seq_cst = millrace::races::seq_cst_ring<message, atomic_payloads>;

TEST(NaiveRingModelTest, PlainIndicesAreADataRace) {
  expect_caught(exchange<naive>({1, 1, 2, 1}, calls::trying), random_executions(1000), verdict::data_race);
  expect_caught(exchange<naive>({1, 1, 2, 1}, calls::blocking), random_executions(1000), verdict::data_race);
}

TEST(NaiveRingModelTest, SequentiallyConsistentIndicesServeOneProducerAndOneConsumer) {
  expect_clean(exchange<seq_cst>({1, 1, 3, 1}, calls::trying), random_executions(150'000));
  expect_clean(exchange<seq_cst>({1, 1, 2, 1}, calls::trying), preemptions(3));
  expect_clean(exchange<seq_cst>({1, 1, 3, 1}, calls::blocking), random_executions(150'000));
}

TEST(NaiveRingModelTest, TwoProducersRaceForASlot) {
  expect_caught(exchange<seq_cst>({2, 1, 1, 2}, calls::trying), random_executions(1000), verdict::data_race);
}

// Nothing is left that a race detector could find, and the ring is as wrong.
TEST(NaiveRingModelTest, TwoProducersSpoilMessagesWithoutAnyDataRace) {
  expect_caught(role_switch<all_seq_cst>(2, 2, calls::trying), random_executions(1000), verdict::assertion);
  expect_caught(exchange<all_seq_cst>({2, 1, 1, 2}, calls::trying), random_executions(1000), verdict::assertion);
}

}  // namespace
}  // namespace verify
