#include "millrace/mutex_ring.h"
#include "verify/model/ring_model.h"

namespace verify {

using ring_under_test = millrace::mutex_ring<message, relacy_platform>;

INSTANTIATE_TYPED_TEST_SUITE_P(MutexRing, OneToOneModelTest, ring_under_test);
INSTANTIATE_TYPED_TEST_SUITE_P(MutexRing, ManyToManyModelTest, ring_under_test);

}  // namespace verify
