#include "millrace/semaphore_ring.h"
#include "verify/model/ring_model.h"

namespace verify {

using ring_under_test = millrace::semaphore_ring<message, relacy_platform>;

INSTANTIATE_TYPED_TEST_SUITE_P(SemaphoreRing, OneToOneModelTest, ring_under_test);
INSTANTIATE_TYPED_TEST_SUITE_P(SemaphoreRing, ManyToManyModelTest, ring_under_test);

}  // namespace verify
