// Many producers, many consumers, one lock: the ring to check the others against.
#ifndef MILLRACE_MUTEX_RING_H_
#define MILLRACE_MUTEX_RING_H_

#include <algorithm>
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
#include "millrace/robust_mutex.h"
#include "millrace/roster.h"
#include "millrace/status.h"

namespace millrace {

// A ring under one robust mutex (a monitor: Hoare, 1974; Brinch Hansen, 1973),
// with event counts for its conditions. FIFO in the order of the lock. Where its messages
// lie is the affair of its `Slots`, which are a handle, too, and are only asked under the lock.
//
// Invariants, outside the lock and at every instruction inside it:
//  L1 positions head..tail-1 hold messages; tail - head <= capacity.
//  L2 A push writes slots beyond tail and then tail; a pop reads and then writes
//     head. That one write is the commit point: a holder killed before it has
//     done nothing, after it everything. So there is nothing to repair when a
//     locker hears that the last owner died.
//  L3 closed is written without the lock, and read under it. Whoever says closed has
//     found the ring empty with it set, and whoever locks later finds it set, too: a
//     push that had the lock meanwhile goes in, and is popped before that.
//
// What a failed try means: `full` and `empty` are exact, under the lock. `busy`:
// somebody held the lock. Blocking calls wait for the lock, too, a stopped
// holder included, or one that a scribble makes look like it; the timed ones until
// their deadline. Nothing else waits.
//
// A holder that dies is found dead by the next who wants the lock; sleepers whom
// a dead one would have woken are woken by `alarm`.
//
// Capacity: any number from 1 to 2^31.
template <message T, class Platform, class Slots>
class ring_under_mutex : public ring_calls<ring_under_mutex<T, Platform, Slots>, T, Platform> {
 public:
  static constexpr std::uint64_t max_capacity = std::uint64_t{1} << 31;

  static std::string refuse(const geometry& g) { return refuse_unless_within("capacity", g.capacity, max_capacity); }

  static std::size_t bytes(const geometry& g) noexcept { return sizeof(control) + Slots::bytes(g); }

  static void construct(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    Slots::construct(c + 1, g);
  }

  static void construct_cut_off(void* at, const geometry&) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    // L1 broken, and so after the commit of a call that has been overtaken by this.
    c->head.store(std::uint64_t{1} << 62, std::memory_order_relaxed);
    c->tail.store(std::uint64_t{1} << 63, std::memory_order_relaxed);
  }

  ring_under_mutex(void* at, const geometry& g, const membership<Platform>& who) noexcept
      : shared_(static_cast<control*>(at)), slots_(shared_ + 1, g), capacity_(g.capacity), who_(who) {}

  status try_push(const T& m) noexcept { return try_push_n({&m, 1}).why; }
  status try_pop(T& m) noexcept { return try_pop_n({&m, 1}).why; }

  batch_result try_push_n(std::span<const T> m) noexcept {
    return m.empty() ? batch_result{} : locked(shared_->mutex.try_lock(who_), m);
  }
  batch_result try_pop_n(std::span<T> m) noexcept {
    return m.empty() ? batch_result{} : locked(shared_->mutex.try_lock(who_), m);
  }

  status push_until(const T& m, deadline until) noexcept { return push_n_until({&m, 1}, until).why; }
  status pop_until(T& m, deadline until) noexcept { return pop_n_until({&m, 1}, until).why; }

  batch_result push_n_until(std::span<const T> m, deadline until) noexcept {
    if (m.empty()) return {};
    std::size_t count = 0;
    const status why = await(shared_->not_full, until, [&]() noexcept {
      const batch_result some = locked(shared_->mutex.lock_until(who_, until), m.subspan(count));
      count += some.count;
      return some.why == status::busy ? status::timed_out : some.why;
    });
    return {why, count};
  }
  batch_result pop_n_until(std::span<T> m, deadline until) noexcept {
    if (m.empty()) return {};
    std::size_t count = 0;
    const status why = await(shared_->not_empty, until, [&]() noexcept {
      const batch_result some = locked(shared_->mutex.lock_until(who_, until), m);
      count = some.count;
      return some.why == status::busy ? status::timed_out : some.why;
    });
    return {why, count};
  }

  event_count<Platform>& push_event(status why) noexcept {
    return why == status::busy ? shared_->mutex.released() : shared_->not_full;
  }
  event_count<Platform>& pop_event(status why) noexcept {
    return why == status::busy ? shared_->mutex.released() : shared_->not_empty;
  }

  // Pushes fail from here on, pops drain and then say closed. Waits for nobody.
  void close() noexcept {
    // seq_cst: whoever locks after this has returned finds it set (L3).
    shared_->closed.store(1, std::memory_order_seq_cst);
    shared_->not_empty.notify();
    shared_->not_full.notify();
  }

  void settle() noexcept { shared_->mutex.settle(who_); }

  void alarm() noexcept {
    shared_->mutex.alarm();
    shared_->not_empty.alarm();
    shared_->not_full.alarm();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }

  // Waits for nobody: the two may be of different moments.
  std::uint64_t size_approx() const noexcept {
    const std::uint64_t h = get(shared_->head);
    const std::uint64_t t = get(shared_->tail);
    return std::min(t - std::min(h, t), capacity_);
  }

 protected:
  template <class U>
  using atomic = typename Platform::template atomic<U>;

  struct control {
    alignas(line_bytes) robust_mutex<Platform> mutex;
    atomic<std::uint64_t> head{0};    // written under the mutex
    atomic<std::uint64_t> tail{0};    // likewise
    atomic<std::uint32_t> closed{0};  // written once, by anyone
    alignas(line_bytes) event_count<Platform> not_empty;
    event_count<Platform> not_full;
    alignas(line_bytes) std::byte end[line_bytes];  // slots start on a line of their own
  };

  const Slots& slots() const noexcept { return slots_; }

 private:
  // relaxed, here and where they are written: the lock orders them.
  static std::uint64_t get(const atomic<std::uint64_t>& index) noexcept {
    return index.load(std::memory_order_relaxed);
  }

  bool is_closed() const noexcept {
    return shared_->closed.load(std::memory_order_seq_cst) != 0;  // pairs with close
  }

  // Whether the lock is held now. An owner's death needs no repair (L2).
  static bool entered(lock_result got) noexcept { return got != lock_result::timed_out; }

  batch_result locked(lock_result got, std::span<const T> m) noexcept {
    if (!entered(got)) return {status::busy, 0};
    const batch_result moved = push_locked(m);
    shared_->mutex.unlock();
    if (moved.count != 0) shared_->not_empty.notify();
    return moved;
  }
  batch_result locked(lock_result got, std::span<T> m) noexcept {
    if (!entered(got)) return {status::busy, 0};
    const batch_result moved = pop_locked(m);
    shared_->mutex.unlock();
    if (moved.count != 0) shared_->not_full.notify();
    return moved;
  }

  // Slots are found modulo a private number of them: a scribbled index can yield the
  // wrong message, never an access outside the segment.
  batch_result push_locked(std::span<const T> m) noexcept {
    if (is_closed()) return {status::closed, 0};
    const std::uint64_t t = get(shared_->tail);
    const std::uint64_t h = get(shared_->head);
    const std::uint64_t used = t - h;
    if (used > capacity_ || !slots_.look(h, t)) return {status::corrupt, 0};  // L1
    const std::uint64_t n = slots_.ready(h, t, std::min<std::uint64_t>(m.size(), capacity_ - used));
    for (std::uint64_t i = 0; i != n; ++i) slots_[t + i].write(m[i]);
    Platform::light_fence();  // the compiler must not commit first (L2)
    if (n != 0) shared_->tail.store(t + n, std::memory_order_relaxed);
    return {n == m.size() ? status::ok : status::full, n};
  }
  batch_result pop_locked(std::span<T> m) noexcept {
    const std::uint64_t h = get(shared_->head);
    const std::uint64_t t = get(shared_->tail);
    const std::uint64_t used = t - h;
    if (used > capacity_ || !slots_.look(h, t)) return {status::corrupt, 0};  // L1
    const std::uint64_t n = std::min<std::uint64_t>(m.size(), used);
    if (n == 0) return {is_closed() ? status::closed : status::empty, 0};
    for (std::uint64_t i = 0; i != n; ++i) slots_[h + i].read(m[i]);
    Platform::light_fence();  // likewise
    shared_->head.store(h + n, std::memory_order_relaxed);
    slots_.emptied(h + n);
    return {status::ok, n};
  }

  control* shared_;
  Slots slots_;
  std::uint64_t capacity_;
  membership<Platform> who_;
};

// An array, whose memory is there from the start.
template <message T, class Platform>
class fixed_slots {
  using slot = typename Platform::template plain<T>;

 public:
  static std::size_t bytes(const geometry& g) noexcept { return g.capacity * sizeof(slot); }
  static void construct(void* at, const geometry& g) noexcept {
    std::uninitialized_default_construct_n(static_cast<slot*>(at), g.capacity);
  }

  fixed_slots(void* at, const geometry& g) noexcept : slots_(static_cast<slot*>(at)), capacity_(g.capacity) {}

  // Before anything else, of what lies from `head` to `tail`: false if the slots' own words
  // contradict that.
  bool look(std::uint64_t /*head*/, std::uint64_t /*tail*/) noexcept { return true; }
  // How many of `n` slots from `tail` on may be written.
  std::uint64_t ready(std::uint64_t /*head*/, std::uint64_t /*tail*/, std::uint64_t n) noexcept { return n; }
  slot& operator[](std::uint64_t position) const noexcept { return slots_[position % capacity_]; }
  // What lay before `head` has been popped.
  void emptied(std::uint64_t /*head*/) noexcept {}

 private:
  slot* slots_;
  std::uint64_t capacity_;
};

template <message T, class Platform = native>
class mutex_ring : public ring_under_mutex<T, Platform, fixed_slots<T, Platform>> {
 public:
  static constexpr std::string_view kind = "mutex_ring";
  using ring_under_mutex<T, Platform, fixed_slots<T, Platform>>::ring_under_mutex;
};

}  // namespace millrace

#endif  // MILLRACE_MUTEX_RING_H_
