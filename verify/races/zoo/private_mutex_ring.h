// A pthread mutex in shared memory that was not made process-shared.
//
// What is wrong: PTHREAD_PROCESS_PRIVATE is the default. The lock's word is shared,
// so mutual exclusion even holds; but a private mutex tells the kernel that only
// threads of one process wait at it, and an unlock in one process does not wake
// the sleepers of another. Whoever had to wait, waits for good.
// Repair: pthread_mutexattr_setpshared (and robust): robust_mutex.h, mutex_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_PRIVATE_MUTEX_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_PRIVATE_MUTEX_RING_H_

#include "verify/races/zoo/seam.h"

namespace millrace::races {

template <class Platform>
struct private_mutex_control {
  explicit private_mutex_control(std::uint32_t /*capacity*/) noexcept {}

  typename Platform::posix_mutex mutex{sharing::within_process};
};

template <message T, class Platform>
class private_mutex_ring : public bounded_buffer<T, Platform, private_mutex_control<Platform>> {
  using buffer = bounded_buffer<T, Platform, private_mutex_control<Platform>>;

 public:
  using buffer::buffer;

  void push(const T& m) noexcept {
    auto& mutex = this->control().mutex;
    mutex.lock();
    for (unsigned turn = 0; this->full(); ++turn) {
      mutex.unlock();
      Platform::relax(turn);
      mutex.lock();
    }
    this->put(m);
    mutex.unlock();
  }

  void pop(T& m) noexcept {
    auto& mutex = this->control().mutex;
    mutex.lock();
    for (unsigned turn = 0; this->empty(); ++turn) {
      mutex.unlock();
      Platform::relax(turn);
      mutex.lock();
    }
    this->take(m);
    mutex.unlock();
  }
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_PRIVATE_MUTEX_RING_H_
