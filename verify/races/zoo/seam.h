// What the textbook's repairs reach for, on top of the seam (millrace/platform.h).
//
// The rings of the zoo are templates over a platform that has, beside the seam,
//
//   posix_mutex       pthread_mutex_t: lock, unlock
//   posix_semaphore   sem_t: wait, post
//   posix_condition   pthread_cond_t, always process-shared: wait, broadcast
//   wake_one          the seam's wake_all, for one sleeper
//
// so that the machine runs them (staged.h) and so does the model checker
// (posix_model.h), as they stand.
#ifndef MILLRACE_VERIFY_RACES_ZOO_SEAM_H_
#define MILLRACE_VERIFY_RACES_ZOO_SEAM_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "millrace/platform.h"
#include "millrace/ring.h"

namespace millrace::races {

// Who may be woken through a mutex or a semaphore: what pthread_mutexattr_setpshared
// sets, and the second argument of sem_init. The default of both is the first.
enum class sharing : std::uint8_t { within_process, between_processes };

// A bounded buffer in shared memory, apart from what its users wait on and by what
// they exclude each other, which is in Control and is what the zoo is about:
//
//   [ Control | head, tail | slots ]    head <= tail <= head + capacity
//
// put and take are for one caller at a time, who knows that there is room (a message).
template <message T, class Platform, class Control>
class bounded_buffer {
  using position = typename Platform::template plain<std::uint64_t>;
  using slot = typename Platform::template plain<T>;

  struct state {
    explicit state(std::uint32_t capacity) noexcept : control(capacity) {
      head.write(0);
      tail.write(0);
    }

    Control control;
    position head;
    position tail;
  };

 public:
  using value_type = T;
  using platform_type = Platform;

  static std::size_t bytes(const geometry& g) noexcept { return slots_at + g.capacity * sizeof(slot); }

  static void construct(void* at, const geometry& g) noexcept {
    std::construct_at(static_cast<state*>(at), static_cast<std::uint32_t>(g.capacity));
    for (std::uint64_t i = 0; i != g.capacity; ++i) std::construct_at(slots(at) + i);
  }

  // Who attaches is nothing to it.
  template <class Member>
  bounded_buffer(void* at, const geometry& g, const Member& /*who*/) noexcept
      : shared_(static_cast<state*>(at)), slots_(slots(at)), capacity_(g.capacity) {}

 protected:
  Control& control() noexcept { return shared_->control; }

  bool full() const noexcept { return get(shared_->tail) - get(shared_->head) == capacity_; }
  bool empty() const noexcept { return get(shared_->tail) == get(shared_->head); }

  void put(const T& m) noexcept {
    const std::uint64_t t = get(shared_->tail);
    slots_[t % capacity_].write(m);
    shared_->tail.write(t + 1);
  }

  void take(T& m) noexcept {
    const std::uint64_t h = get(shared_->head);
    slots_[h % capacity_].read(m);
    shared_->head.write(h + 1);
  }

 private:
  static constexpr std::size_t slots_at = (sizeof(state) + alignof(slot) - 1) / alignof(slot) * alignof(slot);

  static slot* slots(void* at) noexcept { return reinterpret_cast<slot*>(static_cast<std::byte*>(at) + slots_at); }

  static std::uint64_t get(const position& p) noexcept {
    std::uint64_t value = 0;
    p.read(value);
    return value;
  }

  state* shared_;
  slot* slots_;
  std::uint64_t capacity_;
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_SEAM_H_
