// The textbook's semaphores, with the two waits in the wrong order.
//
// What is wrong: the mutex is taken before the permit. A producer that finds the
// ring full sleeps with the mutex in its hands, which the consumer needs to make
// room: a deadlock as soon as the ring is full (empty).
// Repair: the permit first, the mutex second: semaphore_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_WRONG_ORDER_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_WRONG_ORDER_RING_H_

#include "verify/races/zoo/seam.h"

namespace millrace::races {

template <class Platform>
struct wrong_order_control {
  explicit wrong_order_control(std::uint32_t capacity) noexcept : free(capacity, sharing::between_processes) {}

  typename Platform::posix_semaphore free;
  typename Platform::posix_semaphore used{0, sharing::between_processes};
  typename Platform::posix_semaphore mutex{1, sharing::between_processes};
};

template <message T, class Platform>
class wrong_order_ring : public bounded_buffer<T, Platform, wrong_order_control<Platform>> {
  using buffer = bounded_buffer<T, Platform, wrong_order_control<Platform>>;

 public:
  using buffer::buffer;

  void push(const T& m) noexcept {
    this->control().mutex.wait();
    this->control().free.wait();  // the mistake: asleep here, it keeps the mutex
    this->put(m);
    this->control().mutex.post();
    this->control().used.post();
  }

  void pop(T& m) noexcept {
    this->control().mutex.wait();
    this->control().used.wait();  // likewise
    this->take(m);
    this->control().mutex.post();
    this->control().free.post();
  }
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_WRONG_ORDER_RING_H_
