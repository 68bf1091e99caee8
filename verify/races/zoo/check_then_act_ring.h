// A monitor whose `full` and `put` are two calls.
//
// What is wrong: each call takes the lock, so each is correct and no access races;
// but what `was_full` said need not hold when `force` acts on it. Two producers
// see one free slot, and the second overwrites the first one's message.
// Repair: test and act in one critical section: mutex_ring.h.
#ifndef MILLRACE_VERIFY_RACES_ZOO_CHECK_THEN_ACT_RING_H_
#define MILLRACE_VERIFY_RACES_ZOO_CHECK_THEN_ACT_RING_H_

#include "verify/races/zoo/seam.h"

namespace millrace::races {

template <class Platform>
struct check_then_act_control {
  explicit check_then_act_control(std::uint32_t /*capacity*/) noexcept {}

  typename Platform::posix_mutex mutex{sharing::between_processes};
};

template <message T, class Platform>
class check_then_act_ring : public bounded_buffer<T, Platform, check_then_act_control<Platform>> {
  using buffer = bounded_buffer<T, Platform, check_then_act_control<Platform>>;

 public:
  using buffer::buffer;

  void push(const T& m) noexcept {
    for (unsigned turn = 0; was_full(); ++turn) Platform::relax(turn);
    force(m);
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

 private:
  bool was_full() noexcept {
    this->control().mutex.lock();
    const bool answer = this->full();
    this->control().mutex.unlock();
    return answer;
  }

  void force(const T& m) noexcept {
    this->control().mutex.lock();
    this->put(m);
    this->control().mutex.unlock();
  }
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_CHECK_THEN_ACT_RING_H_
