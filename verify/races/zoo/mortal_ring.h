// The textbook's semaphores, right in every line, whose user is killed.
//
// What is wrong: a permit is a promise to post later, and nobody keeps the promises
// of the dead. A producer killed between its waits and its posts takes a slot and
// the mutex with it; the kernel knows neither, and everybody else waits for good.
// Repair: a robust mutex, and one write that commits: mutex_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_MORTAL_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_MORTAL_RING_H_

#include "verify/races/zoo/seam.h"

namespace millrace::races {

template <class Platform>
struct mortal_control {
  explicit mortal_control(std::uint32_t capacity) noexcept : free(capacity, sharing::between_processes) {}

  typename Platform::posix_semaphore free;
  typename Platform::posix_semaphore used{0, sharing::between_processes};
  typename Platform::posix_semaphore mutex{1, sharing::between_processes};
};

template <message T, class Platform>
class mortal_ring : public bounded_buffer<T, Platform, mortal_control<Platform>> {
  using buffer = bounded_buffer<T, Platform, mortal_control<Platform>>;

 public:
  using buffer::buffer;

  void push(const T& m) noexcept {
    this->control().free.wait();
    this->control().mutex.wait();
    this->put(m);  // killed from here ...
    this->control().mutex.post();
    this->control().used.post();  // ... to here, it leaves others waiting
  }

  void pop(T& m) noexcept {
    this->control().used.wait();
    this->control().mutex.wait();
    this->take(m);
    this->control().mutex.post();
    this->control().free.post();
  }
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_MORTAL_RING_H_
