// The textbook's semaphores, initialised with pshared = 0.
//
// What is wrong: sem_init's second argument. The count is shared, so a post is seen
// by whoever looks; but the kernel wakes only sleepers of the poster's own
// process. It works until somebody has to wait.
// Repair: sem_init(&s, 1, n), or a futex that is not private: semaphore_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_PRIVATE_SEMAPHORE_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_PRIVATE_SEMAPHORE_RING_H_

#include "verify/races/zoo/seam.h"

namespace millrace::races {

template <class Platform>
struct private_semaphore_control {
  explicit private_semaphore_control(std::uint32_t capacity) noexcept : free(capacity, sharing::within_process) {}

  typename Platform::posix_semaphore free;
  typename Platform::posix_semaphore used{0, sharing::within_process};
  typename Platform::posix_semaphore mutex{1, sharing::within_process};
};

template <message T, class Platform>
class private_semaphore_ring : public bounded_buffer<T, Platform, private_semaphore_control<Platform>> {
  using buffer = bounded_buffer<T, Platform, private_semaphore_control<Platform>>;

 public:
  using buffer::buffer;

  void push(const T& m) noexcept {
    this->control().free.wait();
    this->control().mutex.wait();
    this->put(m);
    this->control().mutex.post();
    this->control().used.post();
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

#endif  // MILLRACE_VERIFY_RACES_ZOO_PRIVATE_SEMAPHORE_RING_H_
