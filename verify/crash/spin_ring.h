// A ring that does not survive a death: what the kill matrix must convict.
#ifndef MILLRACE_VERIFY_CRASH_SPIN_RING_H_
#define MILLRACE_VERIFY_CRASH_SPIN_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "millrace/event_count.h"
#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/status.h"

namespace millrace::crash {

// Right as long as everybody lives: a spin lock around two indices. Whoever is
// killed in its critical section leaves the lock taken, and all others see
// `busy` for ever. A push moves tail before it writes the slot, which the lock
// hides from the living.
template <message T, class Platform = native>
class spin_ring : public ring_calls<spin_ring<T, Platform>, T, Platform> {
 public:
  static constexpr std::string_view kind = "spin_ring";

  static std::string refuse(const geometry& g) { return g.capacity >= 1 ? "" : "capacity 0 is not 1 or more"; }
  static std::size_t bytes(const geometry& g) noexcept { return sizeof(control) + g.capacity * sizeof(slot); }
  static void construct(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    std::uninitialized_default_construct_n(reinterpret_cast<slot*>(c + 1), g.capacity);
  }

  static void construct_cut_off(void* at, const geometry&) noexcept {
    std::construct_at(static_cast<control*>(at))->closed = 1;
  }

  spin_ring(void* at, const geometry& g, const membership<Platform>& /*the lock does not say who has it*/) noexcept
      : shared_(static_cast<control*>(at)), slots_(reinterpret_cast<slot*>(shared_ + 1)), capacity_(g.capacity) {}

  status try_push(const T& m) noexcept {
    if (shared_->locked.exchange(1, std::memory_order_acquire) != 0) return status::busy;
    Platform::relax(63);  // gives up the core, so that even a storm meets it here
    status s = shared_->closed != 0 ? status::closed : status::full;
    if (s == status::full && shared_->tail - shared_->head < capacity_) {
      slots_[shared_->tail++ % capacity_].write(m);
      s = status::ok;
    }
    shared_->locked.store(0, std::memory_order_release);
    if (s == status::ok) shared_->not_empty.notify();
    return s;
  }

  status try_pop(T& m) noexcept {
    if (shared_->locked.exchange(1, std::memory_order_acquire) != 0) return status::busy;
    status s = shared_->closed != 0 ? status::closed : status::empty;
    if (shared_->tail != shared_->head) {
      slots_[shared_->head++ % capacity_].read(m);
      s = status::ok;
    }
    shared_->locked.store(0, std::memory_order_release);
    if (s == status::ok) shared_->not_full.notify();
    return s;
  }

  batch_result try_push_n(std::span<const T> m) noexcept {
    batch_result moved;
    while (moved.why == status::ok && moved.count != m.size()) {
      moved.why = try_push(m[moved.count]);
      if (moved.why == status::ok) ++moved.count;
    }
    return moved;
  }
  batch_result try_pop_n(std::span<T> m) noexcept {
    batch_result moved;
    while (moved.why == status::ok && moved.count != m.size()) {
      moved.why = try_pop(m[moved.count]);
      if (moved.why == status::ok) ++moved.count;
    }
    return {moved.count != 0 ? status::ok : moved.why, moved.count};
  }

  void close() noexcept {
    shared_->closed = 1;
    shared_->not_empty.notify();
    shared_->not_full.notify();
  }

  void settle() noexcept {}
  void alarm() noexcept {
    shared_->not_empty.alarm();
    shared_->not_full.alarm();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }
  std::uint64_t size_approx() const noexcept { return shared_->tail - shared_->head; }

  event_count<Platform>& not_empty() noexcept { return shared_->not_empty; }
  event_count<Platform>& not_full() noexcept { return shared_->not_full; }

 private:
  using slot = typename Platform::template plain<T>;

  struct control {
    std::atomic<std::uint32_t> locked{0};
    std::atomic<std::uint32_t> closed{0};
    std::uint64_t head = 0;  // these two: under the lock
    std::uint64_t tail = 0;
    event_count<Platform> not_empty;
    event_count<Platform> not_full;
    alignas(line_bytes) std::byte end[line_bytes];  // slots start on a line of their own
  };

  control* shared_;
  slot* slots_;
  std::uint64_t capacity_;
};

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_SPIN_RING_H_
