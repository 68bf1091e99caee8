// The models that every ring has to pass: INSTANTIATE_TYPED_TEST_SUITE_P them.
#ifndef MILLRACE_VERIFY_MODEL_RING_MODEL_H_
#define MILLRACE_VERIFY_MODEL_RING_MODEL_H_

#include <gtest/gtest.h>

#include "verify/model/scenario.h"

namespace verify {

// One producer and one consumer.
template <class Ring>
class OneToOneModelTest : public testing::Test {};
TYPED_TEST_SUITE_P(OneToOneModelTest);

TYPED_TEST_P(OneToOneModelTest, TryingDeliversAllInOrder) {
  expect_clean(exchange<TypeParam>({1, 1, 3, 1}, calls::trying), random_executions(150'000));
  expect_clean(exchange<TypeParam>({1, 1, 5, 2}, calls::trying), random_executions(150'000));
  expect_clean(exchange<TypeParam>({1, 1, 2, 1}, calls::trying), preemptions(2));
}

TYPED_TEST_P(OneToOneModelTest, BlockingDeliversAllInOrder) {
  expect_clean(exchange<TypeParam>({1, 1, 3, 1}, calls::blocking), random_executions(150'000));
  expect_clean(exchange<TypeParam>({1, 1, 5, 2}, calls::blocking), random_executions(150'000));
  expect_clean(exchange<TypeParam>({1, 1, 2, 1}, calls::blocking), preemptions(2));
}

TYPED_TEST_P(OneToOneModelTest, BatchesDeliverAllInOrder) {
  expect_clean(exchange<TypeParam>({1, 1, 5, 2}, calls::batched), random_executions(150'000));
}

TYPED_TEST_P(OneToOneModelTest, ClosingDrains) {
  expect_clean(closing<TypeParam>(1, 2, 1, calls::blocking), random_executions(150'000));
  expect_clean(closing<TypeParam>(1, 2, 1, calls::trying), random_executions(150'000));
}

REGISTER_TYPED_TEST_SUITE_P(OneToOneModelTest, TryingDeliversAllInOrder, BlockingDeliversAllInOrder,
                            BatchesDeliverAllInOrder, ClosingDrains);

// Several of both.
template <class Ring>
class ManyToManyModelTest : public testing::Test {};
TYPED_TEST_SUITE_P(ManyToManyModelTest);

TYPED_TEST_P(ManyToManyModelTest, TwoProducers) {
  expect_clean(exchange<TypeParam>({2, 1, 2, 2}, calls::trying), random_executions(100'000));
  expect_clean(exchange<TypeParam>({2, 1, 2, 1}, calls::blocking), random_executions(100'000));
  expect_clean(exchange<TypeParam>({2, 1, 2, 2}, calls::blocking), random_executions(100'000));
}

TYPED_TEST_P(ManyToManyModelTest, TwoConsumers) {
  expect_clean(exchange<TypeParam>({1, 2, 4, 2}, calls::trying), random_executions(100'000));
  expect_clean(exchange<TypeParam>({1, 2, 4, 1}, calls::blocking), random_executions(100'000));
  expect_clean(exchange<TypeParam>({1, 2, 4, 2}, calls::blocking), random_executions(100'000));
}

TYPED_TEST_P(ManyToManyModelTest, TwoProducersAndTwoConsumers) {
  expect_clean(exchange<TypeParam>({2, 2, 2, 2}, calls::trying), random_executions(100'000));
  expect_clean(exchange<TypeParam>({2, 2, 2, 1}, calls::blocking), random_executions(100'000));
  expect_clean(exchange<TypeParam>({2, 2, 2, 2}, calls::blocking), random_executions(100'000));
  expect_clean(exchange<TypeParam>({2, 2, 3, 2}, calls::batched), random_executions(100'000));
}

TYPED_TEST_P(ManyToManyModelTest, ThreadsSwitchRoles) {
  expect_clean(role_switch<TypeParam>(2, 3, calls::trying), random_executions(100'000));
  expect_clean(role_switch<TypeParam>(2, 3, calls::blocking), random_executions(100'000));
  expect_clean(role_switch<TypeParam>(3, 2, calls::blocking), random_executions(100'000));
}

TYPED_TEST_P(ManyToManyModelTest, ClosingReachesEveryConsumer) {
  expect_clean(closing<TypeParam>(2, 3, 2, calls::blocking), random_executions(100'000));
}

REGISTER_TYPED_TEST_SUITE_P(ManyToManyModelTest, TwoProducers, TwoConsumers, TwoProducersAndTwoConsumers,
                            ThreadsSwitchRoles, ClosingReachesEveryConsumer);

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_RING_MODEL_H_
