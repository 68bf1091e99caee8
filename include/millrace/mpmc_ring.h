// Many producers, many consumers, lock-free: the ring to use unless you know better.
#ifndef MILLRACE_MPMC_RING_H_
#define MILLRACE_MPMC_RING_H_

#include <algorithm>
#include <atomic>
#include <bit>
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

namespace millrace {

// Vyukov's bounded MPMC queue (2010) in which, at every instant, the member that
// holds a slot is known. Any number of threads of any processes, each with a
// handle of its own. FIFO: messages leave in the order in which they were claimed.
//
//   tail, head    [ position : 50 | flags : 2 | last claimer : 12 ]
//   slot's word   [ position : 50 | state : 2 | predecessor  : 12 ]
//
//   slot of position p, capacity N, index p mod N:
//     empty(p) --CAS tail p -> p+1-- payload --store--> full(p)
//     full(p)  --CAS head p -> p+1-- payload --store--> empty(p+N)
//
// Invariants (for producers and tail; for consumers and head alike):
//  M1 head <= tail <= head + N. Each position is claimed once, by the one CAS
//     that moves tail (head) past it, in order and without a gap.
//  M2 A slot's word is written only by the claimer of the position that it
//     names, from claim to publication; the payload likewise. Publication
//     (release) pairs with the reading of the word (acquire) before the next
//     claim of the slot: payload accesses never overlap.
//  M3 Who holds p is known exactly. The value that tail had when it stood at p is
//     unique: it names the claimer of p-1, the *predecessor* of p. A claimer
//     writes that value to its own record before its CAS, and into the slot's
//     word when it publishes. So the holder of p is tail's claimer, if tail stands
//     at p+1; else the predecessor noted in slot p+1, if that is published; else
//     the one noted in the record of the holder of p+1, who is found in the
//     same way and, not having published, has not touched its record. A record
//     that starts a batch at q <= p names its owner the holder of all up to p.
//  M4 What a failed try means. `empty`: head had come to p when it was read, and
//     tail, read after it, stood at p: as head never passes tail, both stood at p
//     at the instant of that read (seq_cst, as is every claim; acquire on the first
//     read puts the claim that it saw before the second). `full` mirrors it;
//     tail is then read once more, since a close after that instant may be missed
//     and one before it may not. `busy`: somebody had claimed the slot that comes
//     next and not published it, or did so while we looked.
//
// Progress: lock-free, except that a member stopped between claim and
// publication makes the others see `busy` at its slot when they get there. A
// member *killed* there does so for ever: it is known who it was (M3), but
// recovery is not implemented yet.
//
// Capacity: a power of two, 1 to 2^31. Positions wrap after 2^50 messages;
// all comparisons are modular.
template <message T, class Platform = native>
class mpmc_ring : public ring_calls<mpmc_ring<T, Platform>, T, Platform> {
  using word = std::uint64_t;
  template <class U>
  using atomic = typename Platform::template atomic<U>;

 public:
  static constexpr std::string_view kind = "mpmc_ring";
  static constexpr std::uint32_t max_members = 1u << 12;

  static std::string refuse(const geometry& g) {
    if (!std::has_single_bit(g.capacity) || g.capacity > (std::uint64_t{1} << 31)) {
      return "capacity " + std::to_string(g.capacity) + " is not a power of two from 1 to 2147483648; try " +
             std::to_string(std::bit_ceil(std::clamp<std::uint64_t>(g.capacity, 1, std::uint64_t{1} << 31)));
    }
    if (g.members < 1 || g.members > max_members) {
      return "members " + std::to_string(g.members) + " is not from 1 to " + std::to_string(max_members);
    }
    return {};
  }

  static std::size_t bytes(const geometry& g) noexcept {
    return sizeof(control) + g.members * sizeof(record) + g.capacity * sizeof(slot);
  }

  static void construct(void* at, const geometry& g) noexcept {
    const view v(at, g);
    std::construct_at(v.shared);
    for (std::uint32_t i = 0; i != g.members; ++i) std::construct_at(v.records + i);
    for (std::uint64_t i = 0; i != g.capacity; ++i) {
      std::construct_at(v.slots + i);
      // relaxed: the segment is published as a whole once it is constructed.
      v.slots[i].state.store(pack(i, empty_state, 0), std::memory_order_relaxed);
    }
  }

  mpmc_ring(void* at, const geometry& g, std::uint32_t member) noexcept
      : at_(at, g), mask_(g.capacity - 1), me_(member), mine_(&at_.records[member]) {}

  // Never blocks; full, busy and closed are told apart (M4).
  status try_push(const T& m) noexcept {
    const claim c = claim_push(1);
    if (c.why != status::ok) return c.why;
    publish(c.from, c.first, m);
    at_.shared->not_empty.notify();
    return status::ok;
  }

  // Never blocks. `closed` only when every message pushed before the close has
  // been claimed by a consumer.
  status try_pop(T& m) noexcept {
    const claim c = claim_pop(1);
    if (c.why != status::ok) return c.why;
    release(c.from, c.first, m);
    at_.shared->not_full.notify();
    return status::ok;
  }

  // One CAS claims as many slots in a row as are free, up to the span's size;
  // they become visible one by one, in order. One that stops short says full, be
  // the slot that stopped it full or busy: another try tells.
  batch_result try_push_n(std::span<const T> m) noexcept {
    if (m.empty()) return {};
    const claim c = claim_push(m.size());
    if (c.why != status::ok) return {c.why, 0};
    for (std::uint64_t i = 0; i != c.count; ++i) publish(i == 0 ? c.from : me_, c.first + i, m[i]);
    at_.shared->not_empty.notify();
    return {c.count == m.size() ? status::ok : status::full, c.count};
  }

  batch_result try_pop_n(std::span<T> m) noexcept {
    if (m.empty()) return {};
    const claim c = claim_pop(m.size());
    if (c.why != status::ok) return {c.why, 0};
    for (std::uint64_t i = 0; i != c.count; ++i) release(i == 0 ? c.from : me_, c.first + i, m[i]);
    at_.shared->not_full.notify();
    return {status::ok, c.count};
  }

  // No push claims a slot after this; pops drain what was claimed before, then
  // say closed. Wakes everyone. Idempotent; anybody may call it.
  void close() noexcept {
    at_.shared->tail.fetch_or(closed_flag, std::memory_order_seq_cst);
    at_.shared->not_empty.notify();
    at_.shared->not_full.notify();
  }

  std::uint64_t capacity() const noexcept { return mask_ + 1; }

  // Claimed by producers and not by consumers at some moment: 0 to capacity.
  std::uint64_t size_approx() const noexcept {
    // relaxed: a stale value makes the answer older, which it is anyway.
    const word h = at_.shared->head.load(std::memory_order_relaxed);
    const word t = at_.shared->tail.load(std::memory_order_relaxed);
    return std::min((position(t) - position(h)) & position_mask, capacity());
  }

  event_count<Platform>& not_empty() noexcept { return at_.shared->not_empty; }
  event_count<Platform>& not_full() noexcept { return at_.shared->not_full; }

 private:
  static constexpr unsigned member_bits = 12;
  static constexpr unsigned state_bits = 2;
  static constexpr word position_mask = (word{1} << 50) - 1;
  static constexpr word member_mask = (word{1} << member_bits) - 1;
  static constexpr word closed_flag = word{1} << member_bits;  // in tail only
  static constexpr word empty_state = 0;                       // in slots
  static constexpr word full_state = 1;

  static constexpr word position(word w) noexcept { return w >> (member_bits + state_bits); }
  static constexpr word member_of(word w) noexcept { return w & member_mask; }
  static constexpr word stage(word w) noexcept { return w >> member_bits; }  // position and state
  static constexpr word pack(word pos, word state, word member) noexcept {
    return ((pos & position_mask) << (member_bits + state_bits)) | (state << member_bits) | member;
  }
  static constexpr word stage_of(word pos, word state) noexcept { return stage(pack(pos, state, 0)); }

  struct slot {
    atomic<word> state;  // written by the claimer; see M2
    typename Platform::template plain<T> payload;
  };

  // What a member is about to claim: tail's (head's) value just before its CAS.
  struct alignas(line_bytes) record {
    atomic<word> pushing{0};  // written by the member alone, read by recovery
    atomic<word> popping{0};
  };

  struct control {
    alignas(line_bytes) atomic<word> tail{0};             // CASed by producers; closed_flag by anyone
    alignas(line_bytes) atomic<word> head{0};             // CASed by consumers
    alignas(line_bytes) event_count<Platform> not_empty;  // read at each push, written by sleepers
    alignas(line_bytes) event_count<Platform> not_full;
  };

  // Where the parts are in this process. Indices are masked with a private copy
  // of the capacity: whatever the words hold, no access leaves the segment.
  struct view {
    view(void* at, const geometry& g) noexcept
        : shared(static_cast<control*>(at)),
          records(reinterpret_cast<record*>(shared + 1)),
          slots(reinterpret_cast<slot*>(records + g.members)) {}
    control* shared;
    record* records;
    slot* slots;
  };

  struct claim {
    status why;
    word first = 0;           // position
    word from = 0;            // its predecessor
    std::uint64_t count = 0;  // slots in a row
  };

  slot& at(word pos) noexcept { return at_.slots[pos & mask_]; }

  claim claim_push(std::uint64_t want) noexcept {
    // acquire: M4. A stale tail fails the CAS, or meets a slot that is ahead of it.
    word t = at_.shared->tail.load(std::memory_order_acquire);
    for (unsigned turn = 0;; ++turn) {
      if ((t & closed_flag) != 0) return {status::closed};
      const word p = position(t);
      const std::uint64_t n = ready(p, empty_state, want);
      if (n == 0) {
        // seq_cst: M4.
        const word h = at_.shared->head.load(std::memory_order_seq_cst);
        const word again = at_.shared->tail.load(std::memory_order_seq_cst);
        if (again == t) return {position(h) == ((p - capacity()) & position_mask) ? status::full : status::busy};
        t = again;
      } else {
        // release: the record of the next claim must not be seen before the
        // publication of this one (M3).
        mine_->pushing.store(t, std::memory_order_release);
        // seq_cst: M4; it releases the record to whoever reads tail.
        if (at_.shared->tail.compare_exchange_strong(t, pack(p + n, empty_state, me_), std::memory_order_seq_cst,
                                                     std::memory_order_relaxed)) {
          return {status::ok, p, member_of(t), n};
        }
        t = at_.shared->tail.load(std::memory_order_acquire);
      }
      Platform::relax(turn);
    }
  }

  claim claim_pop(std::uint64_t want) noexcept {
    // acquire: M4.
    word h = at_.shared->head.load(std::memory_order_acquire);
    for (unsigned turn = 0;; ++turn) {
      const word p = position(h);
      const std::uint64_t n = ready(p, full_state, want);
      if (n == 0) {
        // seq_cst: M4.
        const word t = at_.shared->tail.load(std::memory_order_seq_cst);
        if (position(t) == p) return {(t & closed_flag) != 0 ? status::closed : status::empty};
        // acquire: M4. An old head makes it busy, which it was.
        const word again = at_.shared->head.load(std::memory_order_acquire);
        if (again == h) return {status::busy};
        h = again;
      } else {
        mine_->popping.store(h, std::memory_order_release);
        if (at_.shared->head.compare_exchange_strong(h, pack(p + n, empty_state, me_), std::memory_order_seq_cst,
                                                     std::memory_order_relaxed)) {
          return {status::ok, p, member_of(h), n};
        }
        h = at_.shared->head.load(std::memory_order_acquire);
      }
      Platform::relax(turn);
    }
  }

  // How many slots from `pos` on, at most `want`, are in `state` of their position.
  std::uint64_t ready(word pos, word state, std::uint64_t want) noexcept {
    const std::uint64_t most = std::min(want, capacity());
    std::uint64_t n = 0;
    // acquire: pairs with publish (a consumer reads the payload next) and with
    // release (a producer overwrites it).
    while (n != most && stage(at(pos + n).state.load(std::memory_order_acquire)) == stage_of(pos + n, state)) ++n;
    return n;
  }

  void publish(word from, word pos, const T& m) noexcept {
    at(pos).payload.write(m);
    at(pos).state.store(pack(pos, full_state, from), std::memory_order_release);
  }

  void release(word from, word pos, T& m) noexcept {
    at(pos).payload.read(m);
    at(pos).state.store(pack(pos + capacity(), empty_state, from), std::memory_order_release);
  }

  view at_;
  word mask_;
  word me_;
  record* mine_;
};

}  // namespace millrace

#endif  // MILLRACE_MPMC_RING_H_
