// A condition variable, waited for with `if` instead of `while`.
//
// What is wrong: to be woken means "look again", not "it is so". Here a push wakes
// two consumers for one message, as notify_all does and pthread_cond_signal may;
// the second one takes a message that is gone. The same comes of a consumer that
// slips in before the woken one has the mutex, and of a wake-up for no reason.
// Repair: wait in a loop: mutex_ring.h, whose `await` (event_count.h) is one.
#ifndef MILLRACE_VERIFY_RACES_ZOO_NO_LOOP_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_NO_LOOP_RING_H_

#include "verify/races/zoo/seam.h"

namespace millrace::races {

template <class Platform>
struct no_loop_control {
  explicit no_loop_control(std::uint32_t /*capacity*/) noexcept {}

  typename Platform::posix_mutex mutex{sharing::between_processes};
  typename Platform::posix_condition not_full;
  typename Platform::posix_condition not_empty;
};

template <message T, class Platform>
class no_loop_ring : public bounded_buffer<T, Platform, no_loop_control<Platform>> {
  using buffer = bounded_buffer<T, Platform, no_loop_control<Platform>>;

 public:
  using buffer::buffer;

  void push(const T& m) noexcept {
    this->control().mutex.lock();
    if (this->full()) this->control().not_full.wait(this->control().mutex);
    this->put(m);
    this->control().not_empty.broadcast();
    this->control().mutex.unlock();
  }

  void pop(T& m) noexcept {
    this->control().mutex.lock();
    if (this->empty()) this->control().not_empty.wait(this->control().mutex);
    this->take(m);
    this->control().not_full.broadcast();
    this->control().mutex.unlock();
  }
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_NO_LOOP_RING_H_
