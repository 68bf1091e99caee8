#include "millrace/mpmc_ring.h"
#include "verify/model/ring_model.h"

namespace verify {
namespace {

using ring_under_test = millrace::mpmc_ring<message, relacy_platform>;

INSTANTIATE_TYPED_TEST_SUITE_P(MpmcRing, OneToOneModelTest, ring_under_test);
INSTANTIATE_TYPED_TEST_SUITE_P(MpmcRing, ManyToManyModelTest, ring_under_test);

// M4: after one's own push a pop may say busy, never empty, while no more is
// popped than was pushed; and the mirror image of it.
class exact_answers : public scenario {
 public:
  enum class about { empty, full };
  explicit exact_answers(about what) : scenario(2), what_(what), memory_(2, 3) {}

  void before() override {
    memory_.construct();
    if (what_ == about::empty) return;
    ring_under_test ring = memory_.attach(2);
    for (unsigned i = 0; i != 2; ++i) check(ring.try_push(message::of(2, i)) == status::ok, "there is room");
  }

  void thread(unsigned index) override {
    ring_under_test ring = memory_.attach(index);
    message m = message::of(index, 0);
    if (what_ == about::empty) {
      while (ring.try_push(m) != status::ok) relacy_platform::relax(0);
      check(ring.try_pop(m) != status::empty, "empty is never said of a ring that holds a message");
    } else {
      while (ring.try_pop(m) != status::ok) relacy_platform::relax(0);
      check(ring.try_push(m) != status::full, "full is never said of a ring that has room");
    }
  }

  void after() override {}

 private:
  about what_;
  ring_memory<ring_under_test> memory_;
};

TEST(MpmcRingModelTest, EmptyMeansEmpty) {
  expect_clean(exact_answers(exact_answers::about::empty), random_executions(300'000));
  expect_clean(exact_answers(exact_answers::about::empty), preemptions(3));
}

TEST(MpmcRingModelTest, FullMeansFull) {
  expect_clean(exact_answers(exact_answers::about::full), random_executions(300'000));
  expect_clean(exact_answers(exact_answers::about::full), preemptions(3));
}

}  // namespace
}  // namespace verify
