#include "millrace/spsc_ring.h"
#include "verify/model/ring_model.h"

namespace verify {

using ring_under_test = millrace::spsc_ring<message, relacy_platform>;

INSTANTIATE_TYPED_TEST_SUITE_P(SpscRing, OneToOneModelTest, ring_under_test);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(ManyToManyModelTest);  // more than it promises

TEST(SpscRingModelTest, EveryExecutionOfOneBlockingMessageDeliversIt) {
  expect_clean(exchange<ring_under_test>({1, 1, 1, 1}, calls::blocking), exhaustive());
}

}  // namespace verify
