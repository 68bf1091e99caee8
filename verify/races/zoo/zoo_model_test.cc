// The column Relacy of the table: each bug is convicted, its repair acquitted.
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <vector>

#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/spsc_ring.h"
#include "verify/races/naive_ring.h"
#include "verify/races/zoo/atomic_slots_ring.h"
#include "verify/races/zoo/check_then_act_ring.h"
#include "verify/races/zoo/mortal_ring.h"
#include "verify/races/zoo/no_loop_ring.h"
#include "verify/races/zoo/private_mutex_ring.h"
#include "verify/races/zoo/private_semaphore_ring.h"
#include "verify/races/zoo/relaxed_publish_ring.h"
#include "verify/races/zoo/relaxed_ring.h"
#include "verify/races/zoo/table.h"
#include "verify/races/zoo/wake_one_ring.h"
#include "verify/races/zoo/wrong_order_ring.h"
// Relacy's names come last.
#include "verify/races/zoo/posix_model.h"
#include "verify/races/zoo/traffic.h"

namespace verify {
namespace {

using namespace millrace::races;

// A producer that dawdles between claiming a slot and publishing it. It may do so
// anyway; with this the search comes there in hundreds of executions, not millions.
struct dawdling : posix_model {
  template <millrace::message T>
  struct plain : posix_model::plain<T> {
    void write(const T& in, site s = site::here()) noexcept {
      for (unsigned i = 0; rl::ctx().current_thread() == 0 && i != 20; ++i) relax(i, s);
      posix_model::plain<T>::write(in, s);
    }
  };
};

// How a bug is searched for, and whether its repair passes the same.
struct trial {
  std::function<outcome()> wrong;
  std::function<outcome()> repaired;
};

template <class Wrong, class Repaired>
trial of(std::uint64_t capacity, const std::vector<acts>& cast, std::uint64_t executions) {
  return {[=] {
            traffic<Wrong> s(capacity, cast);
            return simulate(s, {search::kind::random, executions});
          },
          [=] {
            traffic<Repaired> s(capacity, cast);
            return simulate(s, {search::kind::random, 20'000});
          }};
}

template <class Wrong, class Repaired>
trial of_killing() {
  return {[] {
            killing<Wrong> s;
            return simulate(s, {search::kind::random, 10'000});
          },
          [] {
            killing<Repaired> s;
            return simulate(s, {search::kind::random, 20'000});
          }};
}

const std::vector<acts> two_producers{{1, 0}, {1, 0}, {0, 2}};
const std::vector<acts> two_consumers{{2, 0}, {0, 1}, {0, 1}};

// The wake-up that is lost needs three: one publishes late, two sleep.
const std::vector<acts> push_then_pop{{1, 0}, {1, 1}, {0, 1}};

using millrace::mpmc_ring;
using millrace::mutex_ring;
using millrace::semaphore_ring;
using millrace::spsc_ring;

const std::map<std::string_view, trial> trials{
    {"naive", of<on<naive_ring>, on<mutex_ring>>(2, two_producers, 10'000)},
    {"volatile", of<on<volatile_ring>, on<mutex_ring>>(2, two_producers, 10'000)},
    {"seq_cst", of<on<seq_cst_ring>, on<mpmc_ring>>(2, two_producers, 10'000)},
    {"atomic_slots", of<on<atomic_slots_ring>, on<mpmc_ring>>(2, two_producers, 10'000)},
    {"relaxed", of<on<relaxed_ring>, on<spsc_ring>>(2, {{3, 0}, {0, 3}}, 10'000)},
    {"private_mutex", of<on<private_mutex_ring>, on<mutex_ring>>(2, two_producers, 10'000)},
    {"private_semaphore", of<on<private_semaphore_ring>, on<semaphore_ring>>(2, two_producers, 10'000)},
    {"wrong_order", of<on<wrong_order_ring>, on<semaphore_ring>>(1, two_producers, 10'000)},
    {"no_loop", of<on<no_loop_ring>, on<mutex_ring>>(1, two_consumers, 10'000)},
    {"check_then_act", of<on<check_then_act_ring>, on<mutex_ring>>(1, two_producers, 10'000)},
    {"relaxed_publish", of<on<relaxed_publish_ring>, on<mpmc_ring>>(2, {{3, 0}, {0, 3}}, 10'000)},
    {"wake_one", of<on<wake_one_ring, dawdling>, on<mpmc_ring, dawdling>>(2, push_then_pop, 100'000)},
    {"mortal", of_killing<on<mortal_ring>, on<mutex_ring>>()},
};

verdict expected_of(const bug& b) {
  switch (b.by(tool::relacy).what) {
    case finding::race:
      return verdict::data_race;
    case finding::damage:
      return verdict::assertion;
    case finding::hang:
      return verdict::deadlock;
    default:
      return verdict::clean;
  }
}

class ZooModelTest : public testing::TestWithParam<bug> {};

TEST_P(ZooModelTest, IsConvictedAsTheTableSays) {
  ASSERT_TRUE(trials.contains(GetParam().name)) << "no model";
  const outcome o = trials.at(GetParam().name).wrong();
  std::printf("  after %llu executions\n", static_cast<unsigned long long>(o.executions));
  EXPECT_EQ(o.what, expected_of(GetParam())) << o.history;
}

TEST_P(ZooModelTest, TheRepairedRingIsClean) {
  ASSERT_TRUE(trials.contains(GetParam().name)) << "no model";
  const outcome o = trials.at(GetParam().name).repaired();
  EXPECT_EQ(o.what, verdict::clean) << o.history;
}

// What makes the bug so easy to miss: it takes two producers, or two consumers.
TEST(ZooModel, TheSeqCstRingServesOneProducerAndOneConsumer) {
  traffic<on<seq_cst_ring>> s(1, {{3, 0}, {0, 3}});
  expect_clean(s, preemptions(3));
  expect_clean(s, random_executions(150'000));
}

INSTANTIATE_TEST_SUITE_P(Zoo, ZooModelTest, testing::ValuesIn(bugs().begin(), bugs().end()),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace verify
