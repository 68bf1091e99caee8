// The textbook's bounded buffer: two semaphores and a mutex.
#ifndef MILLRACE_SEMAPHORE_RING_H_
#define MILLRACE_SEMAPHORE_RING_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/robust_mutex.h"
#include "millrace/roster.h"
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
// Invariants:
//  T1 used <= tail - head and free <= capacity - (tail - head): a permit in hand
//     promises a slot. Permits in nobody's count are in some caller's hands.
//  T2 Once closed, pops go by the indices, under the lock, and permits no longer
//     matter: a producer may be between its unlock and its V. closed is written
//     without the lock, before the semaphores are closed, and read under it: whoever
//     says closed has found the ring empty with it set, and whoever locks later
//     finds it set, too.
//  T3 Who is killed between P and V takes a permit with it. Under the lock nobody is
//     between an index and its slot, so the indices tell how many permits there
//     ought to be: whoever gets the lock after a death recounts them. That voids
//     those in the hands of the living, who see it under the lock, before they use
//     them, and take new ones; and a V that the recount has been ahead of does
//     nothing. A recounter that is killed has not noted the deaths yet, and the next one
//     starts over.
//  T4 The one write of tail (head) is the commit point, as in mutex_ring: a caller
//     killed before it has pushed (popped) nothing, after it everything.
//
// What a failed try means: `full` (`empty`): no permit was left. Where another
// caller is between its P and its V that can be so of a ring that holds fewer
// (more) messages. `busy`: there was a permit, but somebody held the lock.
// Blocking calls wait for the lock, too, a stopped holder included, or one that a
// scribble makes look like it; the timed ones until their deadline. Nothing else
// waits. `corrupt`: the indices contradict one another, or a permit, which is given
// back. A call that finds no permit does not look at the indices.
//
// Capacity: any number from 1 to 2^31 - 1.
template <message T, class Platform = native>
class semaphore_ring : public ring_calls<semaphore_ring<T, Platform>, T, Platform> {
 public:
  static constexpr std::string_view kind = "semaphore_ring";
  static constexpr std::uint64_t max_capacity = semaphore<Platform>::max_count;

  static std::string refuse(const geometry& g) { return refuse_unless_within("capacity", g.capacity, max_capacity); }

  static std::size_t bytes(const geometry& g) noexcept { return sizeof(control) + g.capacity * sizeof(slot); }

  static void construct(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at), static_cast<std::uint32_t>(g.capacity));
    c->deaths.write(0);
    std::uninitialized_default_construct_n(reinterpret_cast<slot*>(c + 1), g.capacity);
  }

  static void construct_cut_off(void* at, const geometry&) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at), 1u);
    c->used.recount(1);  // a permit of each, so that the indices are looked at
    // Contradictory, and so after the commit of a call that has been overtaken by this.
    c->head.store(std::uint64_t{1} << 62, std::memory_order_relaxed);
    c->tail.store(std::uint64_t{1} << 63, std::memory_order_relaxed);
  }

  semaphore_ring(void* at, const geometry& g, const membership<Platform>& who) noexcept
      : shared_(static_cast<control*>(at)),
        slots_(reinterpret_cast<slot*>(shared_ + 1)),
        capacity_(g.capacity),
        who_(who) {}

  status try_push(const T& m) noexcept { return try_push_n({&m, 1}).why; }
  status try_pop(T& m) noexcept { return try_pop_n({&m, 1}).why; }

  batch_result try_push_n(std::span<const T> m) noexcept {
    if (m.empty()) return {};
    const auto lock = [&]() noexcept { return shared_->mutex.try_lock(who_); };
    const batch_result moved =
        push_with(m, lock, [&](permits& got) noexcept { return take(shared_->free, m.size(), got, lock); });
    if (moved.why == status::empty) return {status::full, 0};
    return moved.why == status::ok && moved.count < m.size() ? batch_result{status::full, moved.count} : moved;
  }

  batch_result try_pop_n(std::span<T> m) noexcept {
    if (m.empty()) return {};
    const auto lock = [&]() noexcept { return shared_->mutex.try_lock(who_); };
    return pop_with(m, lock, [&](permits& got) noexcept { return take(shared_->used, m.size(), got, lock); });
  }

  status push_until(const T& m, deadline until) noexcept { return push_n_until({&m, 1}, until).why; }
  status pop_until(T& m, deadline until) noexcept { return pop_n_until({&m, 1}, until).why; }

  batch_result push_n_until(std::span<const T> m, deadline until) noexcept {
    const auto lock = [&]() noexcept { return shared_->mutex.lock_until(who_, until); };
    std::size_t count = 0;
    while (count != m.size()) {
      const batch_result some = push_with(m.subspan(count), lock, [&](permits& got) noexcept {
        return await(shared_->free.positive(), until, [&]() noexcept {
          const status s = take(shared_->free, m.size() - count, got, lock);
          return s == status::busy ? status::timed_out : s;  // the lock was waited for till the end
        });
      });
      count += some.count;
      if (some.why != status::ok) return {some.why == status::busy ? status::timed_out : some.why, count};
    }
    return {status::ok, count};
  }

  batch_result pop_n_until(std::span<T> m, deadline until) noexcept {
    if (m.empty()) return {};
    const auto lock = [&]() noexcept { return shared_->mutex.lock_until(who_, until); };
    const batch_result some = pop_with(m, lock, [&](permits& got) noexcept {
      return await(shared_->used.positive(), until, [&]() noexcept {
        const status s = take(shared_->used, m.size(), got, lock);
        return s == status::busy ? status::timed_out : s;  // likewise
      });
    });
    return some.why == status::busy ? batch_result{status::timed_out, 0} : some;
  }

  event_count<Platform>& push_event(status why) noexcept {
    return why == status::busy ? shared_->mutex.released() : shared_->free.positive();
  }
  event_count<Platform>& pop_event(status why) noexcept {
    return why == status::busy ? shared_->mutex.released() : shared_->used.positive();
  }

  // Pushes fail from here on, pops drain and then say closed. Waits for nobody.
  void close() noexcept {
    // relaxed: handed over with the semaphores; else it is seen when it is seen (T2).
    shared_->closed.store(1, std::memory_order_relaxed);
    shared_->free.close();
    shared_->used.close();
  }

  void settle() noexcept { shared_->mutex.settle(who_); }

  void alarm() noexcept {
    shared_->mutex.alarm();
    shared_->free.positive().alarm();
    shared_->used.positive().alarm();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }

  // Waits for nobody: the two may be of different moments.
  std::uint64_t size_approx() const noexcept {
    const std::uint64_t h = get(shared_->head);
    const std::uint64_t t = get(shared_->tail);
    return std::min(t - std::min(h, t), capacity_);
  }

 private:
  template <class U>
  using atomic = typename Platform::template atomic<U>;
  template <class U>
  using plain = typename Platform::template plain<U>;
  using slot = plain<T>;
  using permits = typename semaphore<Platform>::permits;

  struct control {
    explicit control(std::uint32_t slots) noexcept : free(slots), used(0) {}

    alignas(line_bytes) semaphore<Platform> free;
    alignas(line_bytes) semaphore<Platform> used;
    alignas(line_bytes) robust_mutex<Platform> mutex;
    atomic<std::uint64_t> head{0};                  // written under the mutex
    atomic<std::uint64_t> tail{0};                  // likewise
    atomic<std::uint32_t> closed{0};                // written once, by anyone
    plain<std::uint32_t> deaths;                    // that the permits have been recounted for; under the mutex
    alignas(line_bytes) std::byte end[line_bytes];  // slots start on a line of their own
  };

  // relaxed, here and where they are written: the lock orders them.
  static std::uint64_t get(const atomic<std::uint64_t>& index) noexcept {
    return index.load(std::memory_order_relaxed);
  }

  bool is_closed() const noexcept {
    return shared_->closed.load(std::memory_order_relaxed) != 0;  // relaxed: T2
  }

  bool recounted_for(std::uint32_t deaths) const noexcept {
    std::uint32_t value;
    shared_->deaths.read(value);
    return value == deaths;
  }

  // ok: the lock is held now, and the permits are what they ought to be (T3). Else
  // it is not.
  status entered(lock_result got) const noexcept {
    if (got == lock_result::timed_out) return status::busy;
    const std::uint64_t stored = get(shared_->tail) - get(shared_->head);
    if (stored > capacity_) {
      shared_->mutex.unlock();
      return status::corrupt;
    }
    const std::uint32_t deaths = who_.all.deaths();
    if (!recounted_for(deaths)) {
      const auto used = static_cast<std::uint32_t>(stored);
      shared_->free.recount(static_cast<std::uint32_t>(capacity_) - used);
      shared_->used.recount(used);
      if (is_closed()) {  // whoever closed it may have died before it could say so
        shared_->free.close();
        shared_->used.close();
      }
      shared_->deaths.write(deaths);
      who_.all.count(recovery::permit_recount);
    }
    return status::ok;
  }

  // Takes permits, at most `most`. Where there are none, and members have died since
  // this one last looked, there may be some after a recount: `busy` if `lock` does
  // not get the lock for it. Each further round is owed to a death reported meanwhile.
  template <class Lock>
  status take(semaphore<Platform>& from, std::size_t most, permits& got, Lock lock) noexcept {
    for (;;) {
      const auto clamped = static_cast<std::uint32_t>(std::min<std::size_t>(most, semaphore<Platform>::max_count));
      const status s = from.try_acquire(clamped, got);
      const std::uint32_t deaths = who_.all.deaths();
      if (s != status::empty || deaths == heard_) return s;
      if (const status in = entered(lock()); in != status::ok) return in;
      shared_->mutex.unlock();
      heard_ = deaths;
    }
  }

  // Permits are void if somebody has recounted since they were taken: so each further
  // round is owed to a recount by another.
  template <class Lock, class Take>
  batch_result push_with(std::span<const T> m, Lock lock, Take take_permits) noexcept {
    for (;;) {
      permits mine;
      if (const status got = take_permits(mine); got != status::ok) return {got, 0};
      if (const status in = entered(lock()); in != status::ok) {
        shared_->free.release(mine);
        return {in, 0};
      }
      if (is_closed()) {
        shared_->mutex.unlock();
        shared_->free.release(mine);
        return {status::closed, 0};
      }
      if (mine.generation == shared_->free.generation()) {
        const batch_result moved = push_locked(m.first(mine.count));
        if (moved.why == status::corrupt) shared_->free.release(mine);
        return moved;
      }
      shared_->mutex.unlock();  // void (T3)
    }
  }

  batch_result push_locked(std::span<const T> m) noexcept {
    const std::uint64_t t = get(shared_->tail);
    const std::uint64_t used = t - get(shared_->head);
    if (m.size() > capacity_ - used) {  // T1
      shared_->mutex.unlock();
      return {status::corrupt, 0};
    }
    for (std::size_t i = 0; i != m.size(); ++i) slots_[(t + i) % capacity_].write(m[i]);
    Platform::light_fence();  // the compiler must not commit before the slots are written (T4)
    shared_->tail.store(t + m.size(), std::memory_order_relaxed);
    const permits pushed{static_cast<std::uint32_t>(m.size()), shared_->used.generation()};
    shared_->mutex.unlock();
    shared_->used.release(pushed);
    return {status::ok, m.size()};
  }

  template <class Lock, class Take>
  batch_result pop_with(std::span<T> m, Lock lock, Take take_permits) noexcept {
    for (;;) {
      permits mine;
      const status got = take_permits(mine);
      if (got != status::ok && got != status::closed) return {got, 0};
      if (const status in = entered(lock()); in != status::ok) {
        if (got == status::ok) shared_->used.release(mine);
        return {in, 0};
      }
      if (is_closed()) return pop_locked(m, false);  // T2
      if (got == status::closed) {                   // by the semaphore alone
        shared_->mutex.unlock();
        return {status::corrupt, 0};
      }
      if (mine.generation == shared_->used.generation()) {
        const batch_result moved = pop_locked(m.first(mine.count), true);
        if (moved.why == status::corrupt) shared_->used.release(mine);
        return moved;
      }
      shared_->mutex.unlock();  // void (T3)
    }
  }

  // `permitted`: as many messages as are asked for have been promised.
  batch_result pop_locked(std::span<T> m, bool permitted) noexcept {
    const std::uint64_t h = get(shared_->head);
    const std::uint64_t there = get(shared_->tail) - h;
    if (permitted && there < m.size()) {  // T1
      shared_->mutex.unlock();
      return {status::corrupt, 0};
    }
    if (there == 0) {
      shared_->mutex.unlock();
      return {status::closed, 0};
    }
    const std::uint64_t n = std::min<std::uint64_t>(there, m.size());
    for (std::uint64_t i = 0; i != n; ++i) slots_[(h + i) % capacity_].read(m[i]);
    Platform::light_fence();  // the compiler must not free a slot before it is read
    shared_->head.store(h + n, std::memory_order_relaxed);
    const permits popped{static_cast<std::uint32_t>(n), shared_->free.generation()};
    shared_->mutex.unlock();
    shared_->free.release(popped);
    return {status::ok, n};
  }

  control* shared_;
  slot* slots_;
  std::uint64_t capacity_;
  membership<Platform> who_;
  std::uint32_t heard_ = 0;  // deaths that no permit can still be missing for, as far as this handle knows
};

}  // namespace millrace

#endif  // MILLRACE_SEMAPHORE_RING_H_
