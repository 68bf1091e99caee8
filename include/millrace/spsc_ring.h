// One producer, one consumer: two indices, and as little traffic between them as can be.
#ifndef MILLRACE_SPSC_RING_H_
#define MILLRACE_SPSC_RING_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

#include "millrace/event_count.h"
#include "millrace/in_place.h"
#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/roster.h"
#include "millrace/status.h"

namespace millrace {

// Lamport's ring (1977) with cached indices (Giacomoni, Moseley and
// Vachharajani, FastForward, 2008; Rigtorp, 2021). At most one thread pushes and
// one pops at a time; a role may pass to another handle when the passing itself
// is synchronised (join, a message, a process's end).
//
//   head                tail               both count messages, never wrapping
//    v                   v                 in practice (2^64); slot = i mod 2^k
//   [ full | full | full | free | free ]   full: tail - head messages
//
// Invariants:
//  S1 Only the producer writes tail, only the consumer head.
//  S2 Slots head..tail-1, at most capacity of them, are the consumer's, the others
//     the producer's. Storing tail (release) hands slots over and pairs with the consumer's load of it
//     (acquire); head likewise in the other direction.
//  S3 seen_head <= head and seen_tail <= tail: an old value promises less than
//     there is. It is refreshed only when it promises nothing, so that the other
//     side's line is fetched once for many messages.
//
// What a failed try means: `full` (`empty`) held when the other side's index
// was last published to this thread: everything that happened before the call
// has been taken into account. There is no instant that both sides agree on: a
// store still on its way to memory is not seen. (The mpmc_ring's answers are
// exact.) Never busy.
//
// Progress: wait-free. The commit point is one store of an index: a side killed
// before it has pushed (popped) nothing, after it everything. The other side
// goes on with what was committed, and is woken by `alarm` if the dead one would
// have woken it; a role is free for another handle as soon as its holder is dead.
//
// Capacity: any number from 1 to 2^31; room is taken for the next power of two.
template <message T, class Platform = native>
class spsc_ring : public ring_calls<spsc_ring<T, Platform>, T, Platform>,
                  public in_place_calls<spsc_ring<T, Platform>, T, Platform> {
  template <class U>
  using atomic = typename Platform::template atomic<U>;

 public:
  static constexpr std::string_view kind = "spsc_ring";
  static constexpr std::uint64_t max_capacity = std::uint64_t{1} << 31;

  static std::string refuse(const geometry& g) {
    if (g.capacity >= 1 && g.capacity <= max_capacity) return {};
    return "capacity " + std::to_string(g.capacity) + " is not from 1 to " + std::to_string(max_capacity);
  }

  static std::size_t bytes(const geometry& g) noexcept {
    return sizeof(control) + std::bit_ceil(g.capacity) * sizeof(slot);
  }

  static void construct(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    std::uninitialized_default_construct_n(reinterpret_cast<slot*>(c + 1), std::bit_ceil(g.capacity));
  }

  static void construct_cut_off(void* at, const geometry&) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    // S2 broken for either side, once it has used up what its handle had seen before, even
    // after the commit of a call that has been overtaken by this.
    c->head.store(std::uint64_t{1} << 62, std::memory_order_relaxed);
    c->tail.store(std::uint64_t{1} << 63, std::memory_order_relaxed);
  }

  spsc_ring(void* at, const geometry& g, const membership<Platform>& /*who: there is one of each*/) noexcept
      : shared_(static_cast<control*>(at)), capacity_(g.capacity), mask_(std::bit_ceil(g.capacity) - 1) {}

  // Never blocks.
  status try_push(const T& m) noexcept {
    control& c = *shared_;
    if (is_closed(c)) return status::closed;
    // relaxed: our own (S1).
    const std::uint64_t t = c.tail.load(std::memory_order_relaxed);
    if (!known_room(t, 1)) [[unlikely]] {
      if (room(t) == 0) return shut_out(t);
    }
    fetch_ahead(t);
    slots()[t & mask_].write(m);
    commit_push(c, t + 1);
    return status::ok;
  }

  status try_pop(T& m) noexcept {
    control& c = *shared_;
    // relaxed: our own (S1).
    const std::uint64_t h = c.head.load(std::memory_order_relaxed);
    if (!known_there(h, 1)) [[unlikely]] {
      if (const status s = look_for_more(h); s != status::ok) return s;
    }
    slots()[h & mask_].read(m);
    commit_pop(c, h + 1);
    return status::ok;
  }

  // Never blocks. All that go in become visible at once.
  batch_result try_push_n(std::span<const T> m) noexcept {
    if (m.empty()) return {};
    if (is_closed(*shared_)) return {status::closed, 0};
    // relaxed: our own (S1).
    const std::uint64_t t = shared_->tail.load(std::memory_order_relaxed);
    const std::uint64_t n = known_room(t, m.size()) ? m.size() : std::min<std::uint64_t>(m.size(), room(t));
    if (n == 0) return {shut_out(t), 0};
    for (std::uint64_t i = 0; i != n; ++i) slots()[(t + i) & mask_].write(m[i]);
    commit_push(*shared_, t + n);
    return {n == m.size() ? status::ok : status::full, n};
  }

  batch_result try_pop_n(std::span<T> m) noexcept {
    if (m.empty()) return {};
    // relaxed: our own (S1).
    const std::uint64_t h = shared_->head.load(std::memory_order_relaxed);
    if (!known_there(h, m.size())) {
      if (const status s = look_for_more(h); s != status::ok) return {s, 0};
    }
    const std::uint64_t n = std::min<std::uint64_t>({m.size(), seen_tail_ - h, capacity_});
    for (std::uint64_t i = 0; i != n; ++i) slots()[(h + i) & mask_].read(m[i]);
    commit_pop(*shared_, h + n);
    return {status::ok, n};
  }

  // Called by the producer it ends the stream: pops drain, then say closed. Called
  // by anyone else, a push already under way may still go in after a pop has said
  // closed; a later pop returns it. Wakes both sides. Idempotent.
  void close() noexcept {
    shared_->closed.store(1, std::memory_order_release);  // pairs with look_for_more
    shared_->not_empty.notify();
    shared_->not_full.notify();
  }

  void settle() noexcept {}  // there is nothing between done and not done

  void alarm() noexcept {
    shared_->not_empty.alarm();
    shared_->not_full.alarm();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }

  std::uint64_t size_approx() const noexcept {
    // relaxed: a stale value makes the answer older, which it is anyway.
    const std::uint64_t h = shared_->head.load(std::memory_order_relaxed);
    const std::uint64_t t = shared_->tail.load(std::memory_order_relaxed);
    return std::min(t - std::min(h, t), capacity_);
  }

  event_count<Platform>& not_empty() noexcept { return shared_->not_empty; }
  event_count<Platform>& not_full() noexcept { return shared_->not_full; }

 private:
  friend class in_place_calls<spsc_ring, T, Platform>;
  using place = typename Platform::template plain<T>;
  struct spaced : place {
    std::byte gap[64];
  };
  // A processor that tells addresses apart by their low bits first holds up a copy between two
  // places that are near a whole number of pages apart. Where slots are a page apart that is so for
  // all of them or for none, as chance has it; with a line between them, for one in sixty.
  using slot = std::conditional_t<sizeof(T) % 1024 == 0, spaced, place>;
  using in_hand = std::uint64_t;  // the index, which is not moved before commit and done

  struct control {
    alignas(line_bytes) atomic<std::uint64_t> tail{0};    // written by the producer
    alignas(line_bytes) atomic<std::uint64_t> head{0};    // written by the consumer
    alignas(line_bytes) atomic<std::uint32_t> closed{0};  // written once, by anyone
    event_count<Platform> not_empty;                      // written by sleepers
    event_count<Platform> not_full;
    alignas(line_bytes) std::byte end[line_bytes];  // slots start on a line of their own
  };

  slot* slots() const noexcept { return reinterpret_cast<slot*>(shared_ + 1); }

  // relaxed: the caller reacts to a close when it sees it.
  static bool is_closed(const control& c) noexcept { return c.closed.load(std::memory_order_relaxed) != 0; }

  // Whether a producer at `t` is known to have room for `want` (S3).
  bool known_room(std::uint64_t t, std::uint64_t want) const noexcept {
    return seen_head_ + capacity_ - t - want < capacity_;
  }

  // Once a line, a line further on, if it is known to have been read: the consumer loses nothing by it.
  void fetch_ahead(std::uint64_t t) const noexcept {
    constexpr std::uint64_t to_a_line = std::bit_floor(std::max<std::uint64_t>(1, 64 / sizeof(slot)));
    constexpr std::uint64_t ahead = std::max<std::uint64_t>(1, 512 / sizeof(slot));
    if (t % to_a_line == 0 && known_room(t, ahead + to_a_line)) Platform::fetch_to_write(&slots()[(t + ahead) & mask_]);
  }

  // How much there is.
  std::uint64_t room(std::uint64_t t) noexcept {
    seen_head_ = shared_->head.load(std::memory_order_acquire);  // pairs with commit_pop
    const std::uint64_t used = t - seen_head_;
    return used < capacity_ ? capacity_ - used : 0;
  }

  // Why there is no room at `t`. seen_head_ is fresh, so that S2 bounds the distance.
  status shut_out(std::uint64_t t) const noexcept {
    return t - seen_head_ > capacity_ ? status::corrupt : status::full;
  }

  // Whether `want` messages are known to be there for a consumer at `h` (S3).
  bool known_there(std::uint64_t h, std::uint64_t want) const noexcept { return seen_tail_ - h - want < capacity_; }

  // Makes seen_tail_ promise all there are, or says why there are none.
  status look_for_more(std::uint64_t h) noexcept {
    Platform::fetch_to_read(&slots()[h & mask_]);  // on its way while tail is
    // Closed is read before tail: whatever was pushed before the close is seen.
    const bool closed = shared_->closed.load(std::memory_order_acquire) != 0;  // pairs with close
    const std::uint64_t t = shared_->tail.load(std::memory_order_acquire);     // pairs with commit_push
    if (t - h > capacity_) return status::corrupt;
    seen_tail_ = t;
    if (t != h) return status::ok;
    return closed ? status::closed : status::empty;
  }

  static void commit_push(control& c, std::uint64_t tail) noexcept {
    c.tail.store(tail, std::memory_order_release);  // pairs with look_for_more
    c.not_empty.notify();
  }
  static void commit_pop(control& c, std::uint64_t head) noexcept {
    c.head.store(head, std::memory_order_release);  // pairs with room
    c.not_full.notify();
  }

  // In place: a reservation that is withdrawn has moved nothing.
  status take_free(in_hand& t) noexcept {
    if (is_closed(*shared_)) return status::closed;
    t = shared_->tail.load(std::memory_order_relaxed);  // relaxed: our own (S1)
    return known_room(t, 1) || room(t) != 0 ? status::ok : shut_out(t);
  }
  status take_full(in_hand& h) noexcept {
    h = shared_->head.load(std::memory_order_relaxed);  // relaxed: our own (S1)
    return known_there(h, 1) ? status::ok : look_for_more(h);
  }
  std::uint64_t slot_of(in_hand i) const noexcept { return i & mask_; }
  T& written(in_hand t) noexcept { return slots()[t & mask_].begin_write(); }
  const T& read(in_hand h) const noexcept { return slots()[h & mask_].begin_read(); }
  void commit(in_hand t) noexcept {
    slots()[t & mask_].end_write();
    commit_push(*shared_, t + 1);
  }
  void withdraw(in_hand) noexcept {}
  void done(in_hand h) noexcept {
    slots()[h & mask_].end_read();
    commit_pop(*shared_, h + 1);
  }

  control* shared_;
  std::uint64_t capacity_;  // private copies: indices are masked with them, so
  std::uint64_t mask_;      // whatever the segment holds, no access leaves it
  std::uint64_t seen_head_ = 0;
  std::uint64_t seen_tail_ = 0;
};

}  // namespace millrace

#endif  // MILLRACE_SPSC_RING_H_
