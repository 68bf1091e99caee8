// Many senders, many receivers, and each receiver gets every message.
#ifndef MILLRACE_BROADCAST_RING_H_
#define MILLRACE_BROADCAST_RING_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
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

// A log of the last messages, which each receiver reads at a position of its own. Senders
// take turns under a robust mutex, receivers only read. Of those who are slow
//
//   lossless   senders wait: a slot is free once every living receiver has passed it
//              (the gating sequences of Thompson et al., Disruptor, 2011);
//   lossy      senders know nothing: who is overtaken finds it out, goes on with the oldest
//              message that is still there, and counts what it has missed (the two counters
//              of Aeron's broadcast buffer, 2014; one seqlock for all slots: Boehm, 2012).
//
//                     tail       intent          positions count messages; slot = position
//                      v           v             modulo the power of two that is not below
//    [ ... | sent | sent | being sent | ... ]    the capacity N
//        ^
//     a receiver's cursor, in its member's record
//
// Invariants:
//  B1 tail <= intent <= tail + N. Only the owner of the mutex moves them, and only
//     forward. tail's lowest bit says closed, which anybody may set: the CAS that moves tail
//     then fails. That CAS is the commit point of all that it passes. An owner killed before it
//     has sent nothing, after it everything: there is nothing to repair, and what it
//     had half written lies at tail, where nobody reads and the next one writes.
//  B2 The slot of position q is written only when intent > q. Words of a message are stored
//     with release, and loaded with acquire: who has read one that was written for q
//     finds intent > q. So a copy of position c is whole if intent <= c + N behind it.
//     intent never goes back, not even where its mover has died: of the slots up to it, any
//     word may be gone.
//  B3 Lossless: intent <= cursor + N for each receiver. Senders remember how far they may
//     go (`limit`), and look at the cursors when that is used up. The store that moves a
//     cursor can be relaxed: it is behind loads that acquire, and whoever
//     has seen it writes with release.
//  B4 Who joins, announces itself and then looks where tail is, a heavy fence between the
//     two. A sender whose look at the cursors has missed it had stored its tail before:
//     the joiner starts there or later, and `limit` was at most N beyond it.
//  B5 Only who is proved dead (roster R1) is not waited for. Its record is retired by a CAS
//     from the very state that was read before the proof, and each change of state makes a
//     new one: the next in its place is never retired instead.
//
// A receiver gets what is sent after begin_receiving() has returned. Where nobody receives,
// a push succeeds, and what it has sent is gone.
//
// What a failed try means. `full`, lossless only: a living receiver, as far as its steps are
// known to the caller, had as many messages before it as the ring holds. `busy`: another
// sender held the mutex. `empty`: there was no message that the receiver had not
// had, of those whose pushes are known to the caller. Pops are never busy. `closed` is
// final: no push succeeds after a pop has said it.
//
// Progress: receivers are lock-free, and wait-free if lossless: a further round of a pop is
// owed to sends that have overtaken it. A sender that is stopped inside a push keeps the
// mutex, and other senders waiting, until it goes on or is killed; receivers go on. A
// receiver that is stopped is waited for if lossless, which is what that means, and harms
// nobody if lossy. One that is killed is not waited for; what it had not had, it never gets.
//
// Any members may call everything at once, each with a handle of its own.
// Capacity: any number from 1 to 2^31; room is taken for the next power of two.
template <message T, class Platform = native>
class broadcast_ring : public ring_calls<broadcast_ring<T, Platform>, T, Platform> {
  using word = std::uint64_t;
  template <class U>
  using atomic = typename Platform::template atomic<U>;

 public:
  static constexpr std::string_view kind = "broadcast_ring";
  static constexpr std::uint64_t max_capacity = std::uint64_t{1} << 31;

  static std::string refuse(const geometry& g) { return refuse_unless_within("capacity", g.capacity, max_capacity); }

  static std::size_t bytes(const geometry& g) noexcept {
    return sizeof(control) + g.members * sizeof(record) + std::bit_ceil(g.capacity) * sizeof(slot);
  }

  static void construct(void* at, const geometry& g) noexcept {
    const view v(at, g);
    std::construct_at(v.shared);
    for (std::uint32_t i = 0; i != g.members; ++i) std::construct_at(v.records + i);
    for (std::uint64_t i = 0; i != std::bit_ceil(g.capacity); ++i) std::construct_at(v.slots + i);
  }

  static void construct_cut_off(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(view(at, g).shared);
    // B1 broken, far from the positions of calls that have been overtaken by this.
    c->tail.store(word{1} << 62, std::memory_order_relaxed);
    c->intent.store(word{1} << 62, std::memory_order_relaxed);
  }

  broadcast_ring(void* at, const geometry& g, const membership<Platform>& who) noexcept
      : at_(at, g),
        capacity_(g.capacity),
        mask_(std::bit_ceil(g.capacity) - 1),
        lossy_(g.fidelity == fidelity::lossy),
        who_(who) {}

  // From here on this handle's pops get what is sent. Waits for nobody.
  void begin_receiving() noexcept {
    record& mine = at_.records[who_.me];
    // relaxed, all but one: an old tail is an early position, which keeps senders for a moment.
    mine.cursor.store(position(at_.shared->tail.load(std::memory_order_relaxed)), std::memory_order_relaxed);
    const std::uint32_t last = mine.state.load(std::memory_order_relaxed);
    // release: whoever finds us receiving and asks whether we are dead means us, and
    // not the one before us in our place (pairs with `room`).
    mine.state.store(last | receiving, std::memory_order_release);
    Platform::heavy_fence();  // B4
    cursor_ = position(at_.shared->tail.load(std::memory_order_relaxed));
    pass(0);
  }

  // Senders wait for this handle no more.
  void end_receiving() noexcept {
    record& mine = at_.records[who_.me];
    const std::uint32_t last = mine.state.load(std::memory_order_relaxed);
    // relaxed: as a cursor's (B3).
    if ((last & receiving) != 0) mine.state.store(last + 1, std::memory_order_relaxed);
    at_.shared->not_full.notify();
  }

  // How many messages were overwritten before this handle had them: so many, and those that
  // it has had, were sent since it began to receive.
  std::uint64_t missed() const noexcept { return missed_; }

  status try_push(const T& m) noexcept { return try_push_n({&m, 1}).why; }
  status try_pop(T& m) noexcept { return try_pop_n({&m, 1}).why; }

  // Up to as many as the ring holds are committed at once.
  batch_result try_push_n(std::span<const T> m) noexcept {
    return m.empty() ? batch_result{} : locked(at_.shared->mutex.try_lock(who_), m);
  }

  // Never blocks. Where it fails, what it was given to fill means nothing.
  batch_result try_pop_n(std::span<T> m) noexcept {
    if (m.empty()) return {};
    for (;;) {
      const word t = at_.shared->tail.load(std::memory_order_acquire);  // pairs with send
      const word end = position(t);
      if (end == cursor_) return {(t & closed_flag) != 0 ? status::closed : status::empty, 0};
      if (end < cursor_) return {status::corrupt, 0};
      const word n = std::min<word>({m.size(), end - cursor_, capacity_});
      for (word i = 0; i != n; ++i) slot_of(cursor_ + i).read(m[i]);
      // acquire: pairs with send. What is oldest now is not beyond the tail that we load next.
      const word intent = at_.shared->intent.load(std::memory_order_acquire);
      const word oldest = intent - std::min(intent, capacity_);
      const word gone = oldest - std::min(oldest, cursor_);  // B2
      // B1: behind our loads it is not below what we found in tail.
      if (intent < end || (gone != 0 && !lossy_)) return {status::corrupt, 0};
      const word lost = std::min(gone, n);
      std::copy(m.begin() + static_cast<std::ptrdiff_t>(lost), m.begin() + static_cast<std::ptrdiff_t>(n), m.begin());
      cursor_ += gone;
      missed_ += gone;
      if (lost == n) continue;
      pass(n - lost);
      return {status::ok, n - lost};
    }
  }

  status push_until(const T& m, deadline until) noexcept { return push_n_until({&m, 1}, until).why; }

  batch_result push_n_until(std::span<const T> m, deadline until) noexcept {
    if (m.empty()) return {};
    std::size_t count = 0;
    const status why = await(at_.shared->not_full, until, [&]() noexcept {
      const batch_result some = locked(at_.shared->mutex.lock_until(who_, until), m.subspan(count));
      count += some.count;
      return some.why == status::busy ? status::timed_out : some.why;
    });
    return {why, count};
  }

  // Pushes fail from here on, pops drain and then say closed. Waits for nobody.
  void close() noexcept {
    // relaxed: as a read-modify-write it hands on what the last sender has stored.
    at_.shared->tail.fetch_or(closed_flag, std::memory_order_relaxed);
    at_.shared->not_empty.notify();
    at_.shared->not_full.notify();
  }

  void settle() noexcept {
    at_.shared->mutex.settle(who_);
    end_receiving();
  }

  void alarm() noexcept {
    at_.shared->mutex.alarm();
    at_.shared->not_empty.alarm();
    at_.shared->not_full.alarm();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }

  // How many messages this handle has yet to receive, at most as many as the ring holds.
  std::uint64_t size_approx() const noexcept {
    const word end = position(at_.shared->tail.load(std::memory_order_relaxed));
    return std::min(end - std::min(end, cursor_), capacity_);
  }

  event_count<Platform>& not_empty() noexcept { return at_.shared->not_empty; }

 private:
  static constexpr word closed_flag = 1;         // in tail
  static constexpr std::uint32_t receiving = 1;  // in a record's state

  static constexpr word position(word tail) noexcept { return tail >> 1; }

  // A message as words, which one may read while another writes.
  class slot {
   public:
    void write(const T& m) noexcept {
      for (std::size_t i = 0; i != count; ++i) {
        word w = 0;
        std::memcpy(&w, reinterpret_cast<const std::byte*>(std::addressof(m)) + i * sizeof w, size_of(i));
        words_[i].store(w, std::memory_order_release);  // B2: pairs with read
      }
    }
    void read(T& m) const noexcept {
      for (std::size_t i = 0; i != count; ++i) {
        const word w = words_[i].load(std::memory_order_acquire);
        std::memcpy(reinterpret_cast<std::byte*>(std::addressof(m)) + i * sizeof w, &w, size_of(i));
      }
    }

   private:
    static constexpr std::size_t count = (sizeof(T) + sizeof(word) - 1) / sizeof(word);

    static constexpr std::size_t size_of(std::size_t i) noexcept {
      return std::min(sizeof(word), sizeof(T) - i * sizeof(word));
    }

    atomic<word> words_[count];
  };

  struct alignas(line_bytes) record {
    atomic<word> cursor{0};          // written by the member
    atomic<std::uint32_t> state{0};  // changes, of which odd ones are `receiving`; retired by senders (B5)
  };

  struct control {
    alignas(line_bytes) robust_mutex<Platform> mutex;
    atomic<word> limit{0};                     // senders' own, under the mutex
    alignas(line_bytes) atomic<word> tail{0};  // [ position : 63 | closed : 1 ]
    atomic<word> intent{0};                    // written under the mutex, read by receivers
    alignas(line_bytes) event_count<Platform> not_empty;
    alignas(line_bytes) event_count<Platform> not_full;
  };

  // Where the parts are in this process.
  struct view {
    view(void* at, const geometry& g) noexcept
        : shared(static_cast<control*>(at)),
          records(reinterpret_cast<record*>(shared + 1)),
          slots(reinterpret_cast<slot*>(records + g.members)) {}
    control* shared;
    record* records;
    slot* slots;
  };

  slot& slot_of(word position) noexcept { return at_.slots[position & mask_]; }

  void pass(word n) noexcept {
    cursor_ += n;
    // relaxed: B3.
    at_.records[who_.me].cursor.store(cursor_, std::memory_order_relaxed);
    at_.shared->not_full.notify();
  }

  // An owner's death needs no repair (B1).
  batch_result locked(lock_result got, std::span<const T> m) noexcept {
    if (got == lock_result::timed_out) return {status::busy, 0};
    const batch_result sent = send(m);
    at_.shared->mutex.unlock();
    if (sent.count != 0) at_.shared->not_empty.notify();
    return sent;
  }

  // Under the mutex, which orders what is relaxed here.
  batch_result send(std::span<const T> m) noexcept {
    for (std::size_t sent = 0; sent != m.size();) {
      word t = at_.shared->tail.load(std::memory_order_relaxed);
      const word p = position(t);
      if ((t & closed_flag) != 0) return {status::closed, sent};
      const word intent = at_.shared->intent.load(std::memory_order_relaxed);
      if (intent - p > capacity_) return {status::corrupt, sent};  // B1
      word n = std::min<word>(m.size() - sent, capacity_);
      if (!lossy_) {
        if (const status s = room(p, n); s != status::ok) return {s, sent};
      }
      at_.shared->intent.store(std::max(intent, p + n), std::memory_order_release);  // pairs with try_pop_n
      for (word i = 0; i != n; ++i) slot_of(p + i).write(m[sent + i]);
      // release: pairs with try_pop_n. Fails if it has been closed, which the next round finds.
      if (at_.shared->tail.compare_exchange_strong(t, (p + n) << 1, std::memory_order_release,
                                                   std::memory_order_relaxed)) {
        sent += n;
      }
    }
    return {status::ok, m.size()};
  }

  // Makes `n` the number of slots from `p` on, at most n, that every receiver has passed.
  status room(word p, word& n) noexcept {
    word limit = at_.shared->limit.load(std::memory_order_relaxed);
    if (limit - p < n || limit - p > capacity_) {
      limit = p + capacity_;
      Platform::light_fence();  // B4: tail has been stored, perhaps by us
      for (std::uint32_t m = 0; m != who_.all.members(); ++m) {
        record& r = at_.records[m];
        // acquire: pairs with begin_receiving.
        std::uint32_t state = r.state.load(std::memory_order_acquire);
        if ((state & receiving) == 0) continue;
        // relaxed: an old one promises less.
        const word c = r.cursor.load(std::memory_order_relaxed);
        if (c > p) return status::corrupt;
        if (p + n - c > capacity_ && who_.all.dead(m)) {
          // relaxed: it hands over nothing (B5).
          r.state.compare_exchange_strong(state, state + 1, std::memory_order_relaxed, std::memory_order_relaxed);
          continue;
        }
        limit = std::min(limit, std::max(p, c + capacity_));  // who has just announced itself may be far behind
      }
      at_.shared->limit.store(limit, std::memory_order_relaxed);
    }
    n = std::min(n, limit - p);
    return n == 0 ? status::full : status::ok;
  }

  view at_;
  word capacity_;  // private copies: slots are found with them, so
  word mask_;      // whatever the segment holds, no access leaves it
  bool lossy_;
  membership<Platform> who_;
  word cursor_ = 0;  // the position that this handle receives next
  std::uint64_t missed_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_BROADCAST_RING_H_
