// The textbook's bounded buffer: two semaphores and a mutex.
#ifndef MILLRACE_SEMAPHORE_RING_H_
#define MILLRACE_SEMAPHORE_RING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/semaphore.h"
#include "millrace/status.h"

namespace millrace {

// Dijkstra's solution (1965): `free` counts slots to push into, `used` slots to
// pop from, a robust mutex guards the indices.
//
//   push:  P(free)  lock  slot, tail  unlock  V(used)
//   pop:   P(used)  lock  slot, head  unlock  V(free)
//
// The waits come before the lock: the other way round a pusher would sleep on a
// full ring with the lock that the popper needs.
//
// Invariants, for a ring that nobody was killed in:
//  T1 used <= tail - head and free <= capacity - (tail - head): a permit in hand
//     promises a slot. Permits in nobody's count are in some caller's hands.
//  T2 Once closed, pops go by the indices, under the lock, and permits no longer
//     matter: a producer may be between its unlock and its V.
//
// What a failed try means: `full` (`empty`): no permit was left. Where another
// caller is between its P and its V that can be so of a ring that holds fewer
// (more) messages. `busy`: there was a permit, but somebody held the lock.
// Blocking calls wait for the lock, too, the timed ones until their deadline.
//
// A caller killed between P and V takes its permit with it, and the ring shrinks
// by a slot: not yet recovered from. Indices stay consistent, as in mutex_ring.
//
// Capacity: any number from 1 to 2^31 - 1.
template <message T, class Platform = native>
class semaphore_ring : public ring_calls<semaphore_ring<T, Platform>, T, Platform> {
 public:
  static constexpr std::string_view kind = "semaphore_ring";
  static constexpr std::uint64_t max_capacity = semaphore<Platform>::max_count;

  static std::string refuse(const geometry& g) {
    if (g.capacity >= 1 && g.capacity <= max_capacity) return {};
    return "capacity " + std::to_string(g.capacity) + " is not from 1 to " + std::to_string(max_capacity);
  }

  static std::size_t bytes(const geometry& g) noexcept { return sizeof(control) + g.capacity * sizeof(slot); }

  static void construct(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at), static_cast<std::uint32_t>(g.capacity));
    c->head.write(0);
    c->tail.write(0);
    c->closed.write(0);
    std::uninitialized_default_construct_n(reinterpret_cast<slot*>(c + 1), g.capacity);
  }

  semaphore_ring(void* at, const geometry& g, std::uint32_t /*member: not recorded yet*/) noexcept
      : shared_(static_cast<control*>(at)), slots_(reinterpret_cast<slot*>(shared_ + 1)), capacity_(g.capacity) {}

  status try_push(const T& m) noexcept { return try_push_n({&m, 1}).why; }
  status try_pop(T& m) noexcept { return try_pop_n({&m, 1}).why; }

  batch_result try_push_n(std::span<const T> m) noexcept {
    if (m.empty()) return {};
    std::uint32_t permits = 0;
    const status got = shared_->free.try_acquire(clamp(m.size()), permits);
    if (got != status::ok) return {got == status::empty ? status::full : got, 0};
    const batch_result moved = push_with(permits, m, shared_->mutex.try_lock());
    return moved.why == status::ok && moved.count < m.size() ? batch_result{status::full, moved.count} : moved;
  }

  batch_result try_pop_n(std::span<T> m) noexcept {
    if (m.empty()) return {};
    std::uint32_t permits = 0;
    const status got = shared_->used.try_acquire(clamp(m.size()), permits);
    if (got == status::empty) return {status::empty, 0};
    return pop_with(permits, m, shared_->mutex.try_lock());
  }

  status push_until(const T& m, deadline until) noexcept { return push_n_until({&m, 1}, until).why; }
  status pop_until(T& m, deadline until) noexcept { return pop_n_until({&m, 1}, until).why; }

  batch_result push_n_until(std::span<const T> m, deadline until) noexcept {
    std::size_t count = 0;
    while (count != m.size()) {
      std::uint32_t permits = 0;
      const status got = shared_->free.acquire_until(clamp(m.size() - count), permits, until);
      if (got != status::ok) return {got, count};
      const batch_result some = push_with(permits, m.subspan(count), shared_->mutex.lock_until(until));
      count += some.count;
      if (some.why != status::ok) return {some.why == status::busy ? status::timed_out : some.why, count};
    }
    return {status::ok, count};
  }

  batch_result pop_n_until(std::span<T> m, deadline until) noexcept {
    if (m.empty()) return {};
    std::uint32_t permits = 0;
    const status got = shared_->used.acquire_until(clamp(m.size()), permits, until);
    if (got == status::timed_out) return {got, 0};
    const batch_result some = pop_with(permits, m, shared_->mutex.lock_until(until));
    return some.why == status::busy ? batch_result{status::timed_out, 0} : some;
  }

  // Pushes fail from here on, pops drain and then say closed. Waits for the lock.
  void close() noexcept {
    if (!entered(shared_->mutex.lock_until(deadline::never()))) return;
    shared_->closed.write(1);
    shared_->mutex.unlock();
    shared_->free.close();
    shared_->used.close();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }

  // Exact at some moment during the call. Waits for the lock.
  std::uint64_t size_approx() const noexcept {
    if (!entered(shared_->mutex.lock_until(deadline::never()))) return 0;
    const std::uint64_t n = get(shared_->tail) - get(shared_->head);
    shared_->mutex.unlock();
    return std::min(n, capacity_);
  }

 private:
  template <class U>
  using plain = typename Platform::template plain<U>;
  using slot = plain<T>;

  struct control {
    explicit control(std::uint32_t slots) noexcept : free(slots), used(0) {}

    alignas(line_bytes) semaphore<Platform> free;
    alignas(line_bytes) semaphore<Platform> used;
    alignas(line_bytes) typename Platform::mutex mutex;
    plain<std::uint64_t> head;  // these three: read and written under the mutex
    plain<std::uint64_t> tail;
    plain<std::uint32_t> closed;
    alignas(line_bytes) std::byte end[line_bytes];  // slots start on a line of their own
  };

  static std::uint32_t clamp(std::size_t n) noexcept {
    return static_cast<std::uint32_t>(std::min<std::size_t>(n, semaphore<Platform>::max_count));
  }

  static std::uint64_t get(const plain<std::uint64_t>& p) noexcept {
    std::uint64_t value;
    p.read(value);
    return value;
  }

  bool is_closed() const noexcept {
    std::uint32_t value;
    shared_->closed.read(value);
    return value != 0;
  }

  // Whether the lock is held now. An owner's death leaves the indices whole.
  bool entered(lock_result got) const noexcept {
    if (got == lock_result::owner_died) shared_->mutex.make_consistent();
    return got == lock_result::locked || got == lock_result::owner_died;
  }

  // `permits` <= m.size() slots are ours to fill (T1).
  batch_result push_with(std::uint32_t permits, std::span<const T> m, lock_result got) noexcept {
    if (!entered(got)) {
      shared_->free.release(permits);
      return {status::busy, 0};
    }
    if (is_closed()) {
      shared_->mutex.unlock();
      shared_->free.release(permits);
      return {status::closed, 0};
    }
    const std::uint64_t t = get(shared_->tail);
    for (std::uint32_t i = 0; i != permits; ++i) slots_[(t + i) % capacity_].write(m[i]);
    Platform::light_fence();  // the compiler must not commit before the slots are written
    shared_->tail.write(t + permits);
    shared_->mutex.unlock();
    shared_->used.release(permits);
    return {status::ok, permits};
  }

  // With no permit only a closed ring is popped (T2).
  batch_result pop_with(std::uint32_t permits, std::span<T> m, lock_result got) noexcept {
    if (!entered(got)) {
      if (permits != 0) shared_->used.release(permits);
      return {status::busy, 0};
    }
    const std::uint64_t h = get(shared_->head);
    const std::uint64_t there = std::min(get(shared_->tail) - h, capacity_);
    const std::uint64_t n = std::min<std::uint64_t>(there, is_closed() ? m.size() : permits);
    for (std::uint64_t i = 0; i != n; ++i) slots_[(h + i) % capacity_].read(m[i]);
    Platform::light_fence();  // the compiler must not free a slot before it is read
    shared_->head.write(h + n);
    shared_->mutex.unlock();
    if (n == 0) return {status::closed, 0};
    shared_->free.release(static_cast<std::uint32_t>(n));
    return {status::ok, n};
  }

  control* shared_;
  slot* slots_;
  std::uint64_t capacity_;
};

}  // namespace millrace

#endif  // MILLRACE_SEMAPHORE_RING_H_
