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
#include "millrace/in_place.h"
#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/roster.h"
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
//   and where the claimer is killed before its store, instead of it, by anyone:
//     empty(p) ---CAS---> skipped(p)   a pop claims it as it would full(p), and goes on; or
//                                      by itself: a reservation that is not committed
//     full(p)  ---CAS---> orphan(p), which a pop redelivers, or empty(p+N): dropped
//     skipped(p) -CAS---> empty(p+N)
//
// Invariants (for producers and tail; for consumers and head alike):
//  M1 head <= tail <= head + N. Each position is claimed once, by the one CAS
//     that moves tail (head) past it, in order and without a gap.
//  M2 A slot's word is written only by the claimer of the position that it
//     names, from claim to publication, or once for it after its death; the payload
//     likewise. Publication (release) pairs with the reading of the word (acquire)
//     before the next claim of the slot: payload accesses never overlap.
//  M3 Who holds p is known exactly. The value that tail had when it stood at p is
//     unique: it names the claimer of p-1, the *predecessor* of p. A claimer that is not
//     that one itself writes that value to its own record before its CAS; each writes it into
//     the slot's word when it publishes. So the holder of p is tail's claimer, if tail stands
//     at p+1; else the predecessor noted in slot p+1, if that is published; else
//     the one noted in the record of the holder of p+1, who is found in the
//     same way and, not having published, has not touched its record. One record does for
//     a *run*: a batch, or claims of one handle that nobody came between. So if the record of
//     the holder of p names another position, the holder had claimed p-1, too.
//     Whoever acts for a dead claimer notes the predecessor as it would have. While a
//     handle has a slot in hand, in place, it claims no other: it has one record a side, and
//     a push may have to skip, which is a pop's claim.
//  M4 What a failed try means. `empty`: head had come to p when it was read, and
//     tail, read after it, stood at p: as head never passes tail, both stood at p
//     at the instant of that read (seq_cst, as is every claim; acquire on the first
//     read puts the claim that it saw before the second). While tail holds that very value,
//     which is unique (M3), it is still so: a handle that polls looks at nothing else. `full` mirrors it;
//     tail is then read once more, since a close after that instant may be missed
//     and one before it may not. `busy`: somebody had claimed the slot that comes
//     next and not published it, or did so while we looked; or, of a closed ring, M8.
//
//  M5 Recovery: a slot's holder is looked up, *then* found dead, and then the slot's
//     word is changed by a CAS from what it was before. Had the claim been settled
//     meanwhile, the word would differ, for good: it names its position. As nobody
//     takes a dead member's number before its claims are settled (roster R3), the
//     one that was found dead is the one that held the slot. So any number may
//     recover at once, and may be killed doing it. A claim made before a death was
//     reported is seen by whoever has read the report.
//  M6 One consumer at a time redelivers: the *redeliverer* takes an orphan's payload
//     and frees its slot. Its word is a lock that names its holder, taken over when
//     that is dead; it counts its changes, so that no CAS is fooled.
//  M7 Whatever the words hold, a call ends: each further round of a loop here is owed
//     to a change by another member, or to a death newly reported, or clears one of
//     at most N skipped slots; and recovery, and each handle's first pop at the end, go round
//     the slots once.
//  M8 `closed` of a pop means drained: head stands at the closed tail, and, where dead hands' messages
//     are redelivered, no slot is full or an orphan: nobody's death can bring a message back. A pop
//     that finds such a slot says `busy`. It sleeps on not_empty, and those who free slots notify
//     not_full; so it announces itself there, too, and whoever finds somebody announced there
//     notifies not_full and then not_empty. For who takes an announcement away does it for all
//     that free slots later and don't see it.
//
// Progress: lock-free, except that a member stopped between claim and
// publication makes the others see `busy` at its slot when they get there. If it is
// killed there, the others settle its claim and go on. While one is stopped in a
// redelivery, or a scribble says so of a living one, pops that find nothing say `busy`.
// A slot that is skipped counts as taken until pops have come to it. A redelivered
// message comes later than others of its producer, which is why it is marked;
// redelivery happens when a pop would otherwise fail. One that is peeked at keeps the
// redeliverer's lock for as long. A message is out of the ring,
// and not recovered, once its consumer has freed the slot, though its pop may not
// have returned.
//
// Capacity: a power of two, 1 to 2^31. Positions wrap after 2^50 messages;
// all comparisons are modular.
template <message T, class Platform = native>
class mpmc_ring : public ring_calls<mpmc_ring<T, Platform>, T, Platform>,
                  public in_place_calls<mpmc_ring<T, Platform>, T, Platform> {
  using word = std::uint64_t;
  template <class U>
  using atomic = typename Platform::template atomic<U>;

 public:
  static constexpr std::string_view kind = "mpmc_ring";

  static std::string refuse(const geometry& g) {
    if (!std::has_single_bit(g.capacity) || g.capacity > (std::uint64_t{1} << 31)) {
      return "capacity " + std::to_string(g.capacity) + " is not a power of two from 1 to 2147483648; try " +
             std::to_string(std::bit_ceil(std::clamp<std::uint64_t>(g.capacity, 1, std::uint64_t{1} << 31)));
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

  static void construct_cut_off(void* at, const geometry& g) noexcept {
    const view v(at, g);
    std::construct_at(v.shared);
    // M1 broken, far from the slots of calls that have been overtaken by this.
    v.shared->head.store(pack(word{1} << 48, empty_state, 0), std::memory_order_relaxed);
    v.shared->tail.store(pack(word{1} << 49, empty_state, 0), std::memory_order_relaxed);
  }

  mpmc_ring(void* at, const geometry& g, const membership<Platform>& who) noexcept
      : at_(at, g),
        mine_(at_.records + who.me),
        mask_(g.capacity - 1),
        lap_(pack(g.capacity, empty_state, 0)),
        me_(who.me),
        all_(who.all),
        redelivers_(g.on_death == delivery::redeliver) {}

  // Never blocks; full, busy and closed are told apart (M4).
  status try_push(const T& m) noexcept {
    const claim c = continue_run(side::producers, pushes_, empty_state, 1);
    return c.why == status::ok ? put(c, m) : look_and_push(m);
  }

  // Never blocks. `closed` only when every message pushed before the close has been taken (M8).
  status try_pop(T& m) noexcept {
    const claim c = continue_run(side::consumers, pops_, full_state, 1);
    return c.why == status::ok ? take(c, m) : look_and_pop(m);
  }

  // One CAS claims as many slots in a row as are free, up to the span's size;
  // they become visible one by one, in order. One that stops short says full, be
  // the slot that stopped it full or busy: another try tells.
  batch_result try_push_n(std::span<const T> m) noexcept {
    if (m.empty()) return {};
    const claim c = claim_push(m.size());
    if (c.why != status::ok) return {c.why, 0};
    for_each(c, [m](slot& s, word from, std::uint64_t i) { publish(s, from, m[i]); });
    at_.shared->not_empty.notify();
    return {c.count == m.size() ? status::ok : status::full, c.count};
  }

  batch_result try_pop_n(std::span<T> m) noexcept {
    if (m.empty()) return {};
    const claim c = claim_pop(m.size());
    if (c.why != status::ok) {
      const status why = redeliver_or(c.why, m[0]);
      return {why, why == status::redelivered ? 1u : 0u};
    }
    for_each(c, [m, lap = lap_](slot& s, word from, std::uint64_t i) { release(s, from + lap, m[i]); });
    tell_of_room();
    return {status::ok, c.count};
  }

  void settle() noexcept {
    sweep();
    // A dead redeliverer's lock must not become its successor's.
    word now = at_.shared->redeliverer.load(std::memory_order_relaxed);
    if (redeliverer_of(now) == me_ + 1) {
      at_.shared->redeliverer.compare_exchange_strong(now, next_redeliverer(now, nobody), std::memory_order_release,
                                                      std::memory_order_relaxed);
    }
  }

  void alarm() noexcept {
    at_.shared->not_full.alarm();  // first: M8
    at_.shared->not_empty.alarm();
  }

  // No push claims a slot after this; pops drain what was claimed before, then
  // say closed. Wakes everyone. Idempotent; anybody may call it.
  void close() noexcept {
    at_.shared->tail.fetch_or(closed_flag, std::memory_order_seq_cst);
    tell_all();
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
  static constexpr word skipped_state = 2;  // nothing is in it: its producer died
  static constexpr word orphan_state = 3;   // its consumer died
  static constexpr unsigned redeliverer_bits = 13;
  static constexpr word nobody = 0;
  static constexpr word nowhere = ~word{0};  // no end holds this: the state of an end is that of an empty slot
  static_assert(max_members - 1 <= member_mask && max_members < word{1} << redeliverer_bits);

  static constexpr word position(word w) noexcept { return w >> (member_bits + state_bits); }
  static constexpr word member_of(word w) noexcept { return w & member_mask; }
  static constexpr word state_of(word w) noexcept { return (w >> member_bits) & 3; }
  static constexpr word stage(word w) noexcept { return w >> member_bits; }  // position and state
  static constexpr word pack(word pos, word state, word member) noexcept {
    return ((pos & position_mask) << (member_bits + state_bits)) | (state << member_bits) | member;
  }
  static constexpr word stage_of(word pos, word state) noexcept { return stage(pack(pos, state, 0)); }

  struct slot {
    atomic<word> state;  // written by the claimer; see M2
    typename Platform::template plain<T> payload;
  };

  // What a member is about to claim: tail's (head's) value just before its CAS. Need not be
  // written where that names the member itself (M3).
  struct alignas(line_bytes) record {
    atomic<word> pushing{0};  // written by the member alone, read by recovery
    atomic<word> popping{0};
  };

  struct control {
    alignas(line_bytes) atomic<word> tail{0};             // CASed by producers; closed_flag by anyone
    alignas(line_bytes) atomic<word> head{0};             // CASed by consumers
    alignas(line_bytes) event_count<Platform> not_empty;  // read at each push, written by sleepers
    alignas(line_bytes) event_count<Platform> not_full;
    alignas(line_bytes) atomic<word> redeliverer{0};  // [ changes | member + 1 ], 0: nobody (M6)
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
    word from = 0;            // what the end held: the first position, and its predecessor
    std::uint64_t count = 0;  // slots in a row
    slot* first = nullptr;
  };

  // What a handle remembers of its claims on one side.
  struct run {
    word next = nowhere;  // what the end holds if nobody has claimed since; `nowhere`: somebody had, the last time
    word refused = 0;     // where the end stood when a claim was refused, the last time
  };
  friend class in_place_calls<mpmc_ring, T, Platform>;
  struct in_hand : claim {
    word lock = 0;  // of a redelivery: ours (M6)
  };

  slot& at(word pos) noexcept { return at_.slots[pos & mask_]; }

  enum class side { producers, consumers };

  atomic<word>& end_of(side s) noexcept { return s == side::producers ? at_.shared->tail : at_.shared->head; }
  atomic<word>& record_of(side s, word m) noexcept {
    return s == side::producers ? at_.records[m].pushing : at_.records[m].popping;
  }

  claim claim_push(std::uint64_t want) noexcept {
    const claim c = continue_run(side::producers, pushes_, empty_state, want);
    return c.why == status::ok ? c : look_and_claim_push(want);
  }

  claim claim_pop(std::uint64_t want) noexcept {
    const claim c = continue_run(side::consumers, pops_, full_state, want);
    return c.why == status::ok ? c : look_and_claim_pop(want);
  }

  // A claim by the handle that was the last to claim. It need not look at the end: if the CAS
  // finds there what this handle has put there, which nobody else can have, nobody has come
  // between (M3). Its record stands: a try that failed since, which may have changed it, has seen
  // this very value, or a later one, and then the CAS fails. `busy`: look.
  claim continue_run(side s, run& mine, word state, std::uint64_t want) noexcept {
    word from = mine.next;
    if (from == nowhere) return {status::busy};
    slot& first = at(position(from));
    if (s == side::producers) {
      // A consumer that polls has the one, and has freed the other: both at once, and to be written.
      Platform::fetch_to_write(&end_of(s));
      Platform::fetch_to_write(&first);
    }
    word met = 0;
    const std::uint64_t n = ready(from, state, want, met);
    if (n == 0) return {status::busy};
    if (position(from) - mine.refused > mask_) fetch_ahead(position(from), n);
    const word next = from + pack(n, 0, 0);
    // seq_cst: M4.
    if (!end_of(s).compare_exchange_strong(from, next, std::memory_order_seq_cst, std::memory_order_relaxed)) {
      mine.next = nowhere;
      return {status::busy};
    }
    mine.next = next;
    return {status::ok, from, n, &first};
  }

  // The lines of `n` slots (of large ones the first of each) some lines further on. For a handle
  // that has not been refused for a lap: most likely the other side is far, and does not need them.
  void fetch_ahead(word pos, std::uint64_t n) noexcept {
    constexpr word to_a_line = std::max<word>(1, 64 / sizeof(slot));
    const word ahead = std::max<word>({1, 256 / sizeof(slot), n});
    for (std::uint64_t i = 0; i < n; i += to_a_line) Platform::fetch_to_write(&at(pos + ahead + i));
  }

  // The rest of try_push and try_pop. Apart, so that those which continue a run save no
  // registers for it, and keep their claim in some.
  [[gnu::noinline]] status look_and_push(const T& m) noexcept {
    const claim c = look_and_claim_push(1);
    return c.why == status::ok ? put(c, m) : c.why;
  }
  [[gnu::noinline]] status look_and_pop(T& m) noexcept {
    const claim c = look_and_claim_pop(1);
    return c.why == status::ok ? take(c, m) : redeliver_or(c.why, m);
  }

  claim look_and_claim_push(std::uint64_t want) noexcept {
    for (unsigned turn = 0;; ++turn) {
      // acquire: M4. A stale tail fails the CAS, or meets a slot that is ahead of it.
      const word t = at_.shared->tail.load(std::memory_order_acquire);
      word met = 0;
      // A tail with closed_flag matches no slot but one that is full of a position which
      // nobody has claimed.
      const std::uint64_t n = ready(t, empty_state, want, met);
      if (n == 0) {
        const status why = no_room(t, met);
        if (why != status::ok) {
          pushes_.refused = position(t);
          return {why};
        }
      } else if (claim_from(side::producers, t, n)) {
        note(pushes_, t, n);
        return {status::ok, t, n, &at(position(t))};
      } else {
        Platform::back_off();
      }
      Platform::relax(turn);
    }
  }

  claim look_and_claim_pop(std::uint64_t want) noexcept {
    if (quiet_ != nowhere) {
      // seq_cst: M4. So one who polls looks at this line alone, and leaves the slot's to whoever writes it.
      if (at_.shared->tail.load(std::memory_order_seq_cst) == quiet_) return {status::empty};
      Platform::fetch_to_write(&at(position(quiet_)));
      quiet_ = nowhere;
    }
    for (unsigned turn = 0;; ++turn) {
      // acquire: M4.
      const word h = at_.shared->head.load(std::memory_order_acquire);
      word met = 0;
      const std::uint64_t n = ready(h, full_state, want, met);
      if (n == 0) {
        const status why = no_message(h, met);
        if (why != status::ok) {
          pops_.refused = position(h);
          return {why};
        }
      } else if (claim_from(side::consumers, h, n)) {
        note(pops_, h, n);
        return {status::ok, h, n, &at(position(h))};
      } else {
        Platform::back_off();
      }
      Platform::relax(turn);
    }
  }

  // Why a push fails that found tail at `t` and `met` in the slot there; ok if it is
  // worth another try.
  status no_room(word t, word met) noexcept {
    if ((t & closed_flag) != 0) return status::closed;
    const word p = position(t);
    // seq_cst: M4.
    const word h = at_.shared->head.load(std::memory_order_seq_cst);
    const word again = at_.shared->tail.load(std::memory_order_seq_cst);
    if (again != t) return status::ok;
    const word last = (p - capacity()) & position_mask;
    const bool is_full = position(h) == last;
    if (!possible(p, met, position(h), p)) return status::corrupt;
    if (is_full && stage(met) == stage_of(last, skipped_state)) {
      skip(h);
    } else if (!recover()) {
      return is_full ? status::full : status::busy;
    }
    return status::ok;
  }

  // The same of a pop, head at `h`.
  status no_message(word h, word met) noexcept {
    const word p = position(h);
    // seq_cst: M4.
    const word t = at_.shared->tail.load(std::memory_order_seq_cst);
    if (position(t) == p) {
      if ((t & closed_flag) != 0) return status::closed;
      quiet_ = t;
      pops_.next = nowhere;  // the slot is not looked at until tail has moved
      return status::empty;
    }
    // relaxed: an old head makes it busy, which it was.
    const word again = at_.shared->head.load(std::memory_order_relaxed);
    if (again != h) return status::ok;
    if (!possible(p, met, p, position(t))) return status::corrupt;
    if (stage(met) == stage_of(p, skipped_state)) {
      skip(h);
    } else if (!recover()) {
      return status::busy;
    }
    return status::ok;
  }

  // Claims `n` positions from where that side's end stood at `from` (M1, M3).
  bool claim_from(side s, word from, std::uint64_t n) noexcept {
    // release: the record of the next claim must not be seen before the publication
    // of this one (M3).
    (s == side::producers ? mine_->pushing : mine_->popping).store(from, std::memory_order_release);
    // seq_cst: M4; it releases the record to whoever reads the end.
    return end_of(s).compare_exchange_strong(from, next_end(from, n), std::memory_order_seq_cst,
                                             std::memory_order_relaxed);
  }

  // After a claim of `n` from where the end stood at `from`. Where handles take turns, a run is
  // not tried: the slot that would be next, another's, is best not touched.
  void note(run& mine, word from, std::uint64_t n) noexcept {
    mine.next = member_of(from) == me_ ? next_end(from, n) : nowhere;
  }

  // How many slots from the position in `from` on, at most `want`, are in `state` of
  // their position; `met` is the word of the first.
  std::uint64_t ready(word from, word state, std::uint64_t want, word& met) noexcept {
    for (std::uint64_t n = 0;; from += pack(1, 0, 0)) {
      // acquire: pairs with publish (a consumer reads the payload next) and with
      // release (a producer overwrites it).
      const word w = at(position(from)).state.load(std::memory_order_acquire);
      if (n == 0) met = w;
      if (stage(w ^ from) != state) return n;
      if (++n == want || n > mask_) return n;
    }
  }

  // Whether members alone can have brought about (M1, M2) that the slot of `pos`
  // held `met`, when tail or head stood at `pos` and the two where they say. The
  // slot's last claimer but one has published, as one was claimed after it.
  bool possible(word pos, word met, word head, word tail) const noexcept {
    const word last = (pos - capacity()) & position_mask;
    return ((tail - head) & position_mask) <= capacity() && (position(met) == pos || position(met) == last);
  }

  // Of the position in `from`, which also names its predecessor: what an end held, and so
  // without a state.
  static constexpr word published(word from, word state) noexcept { return from | pack(0, state, 0); }
  word freed(word from) const noexcept { return from + lap_; }

  static void publish(slot& s, word from, const T& m) noexcept {
    s.payload.write(m);
    s.state.store(published(from, full_state), std::memory_order_release);
  }

  static void release(slot& s, word after, T& m) noexcept {
    s.payload.read(m);
    s.state.store(after, std::memory_order_release);
  }

  // Each slot of a claim, in order, and what the end would have held there. The handle is read
  // before the first store, behind which the compiler would read it again.
  template <class Move>
  void for_each(const claim& c, Move move) noexcept {
    slot* const slots = at_.slots;
    const word mask = mask_;
    const std::uint64_t count = c.count;
    move(*c.first, c.from, 0);
    word from = next_end(c.from, 1);
    for (std::uint64_t i = 1; i != count; ++i, from += pack(1, 0, 0)) move(slots[position(from) & mask], from, i);
  }

  status put(const claim& c, const T& m) noexcept {
    publish(*c.first, c.from, m);
    at_.shared->not_empty.notify();
    return status::ok;
  }

  status take(const claim& c, T& m) noexcept {
    release(*c.first, freed(c.from), m);
    tell_of_room();
    return status::ok;
  }

  // What an end holds once this member has claimed `n` positions from where it stood at `from`.
  word next_end(word from, std::uint64_t n) const noexcept { return pack(position(from) + n, empty_state, me_); }

  // After a refusal: whether it is worth another try, as claims of the dead may have
  // been settled. Costs a load while nobody has died.
  bool recover() noexcept {
    const std::uint32_t deaths = all_.deaths();
    if (deaths == heard_) return false;
    sweep();
    heard_ = deaths;
    return true;
  }

  // Claims and frees the slot at `h`, which is skipped, as a pop would, unless another
  // is quicker. Either way head has moved: the caller tries again, and does not
  // call it busy, as nobody would wake it.
  void skip(word h) noexcept {
    const word p = position(h);
    if (!claim_from(side::consumers, h, 1)) return;
    at(p).state.store(freed(h), std::memory_order_release);
    tell_of_room();
  }

  // Settles the claims of all who are dead (M5).
  void sweep() noexcept {
    sweep(side::producers);
    sweep(side::consumers);
  }

  // From a side's last claim back through all that can still be held: m holds p, and
  // p's slot or m's record names who holds the one before (M3). Below a slot that has
  // gone on to the other side nothing is held any more, and m means nothing.
  void sweep(side s) noexcept {
    // acquire: each claim up to here, and the record that its claimer wrote before it.
    const word end = end_of(s).load(std::memory_order_acquire);
    word m = member_of(end);
    word found_dead = ~word{0};  // it stays so for all that it had claimed before `end` was read
    for (std::uint64_t n = 1; n <= capacity() && m < all_.members(); ++n) {
      const word p = (position(end) - n) & position_mask;
      const word before = predecessor(s, p, m);
      // Not published behind the reading of its record (acquire), it had not gone on to
      // another record. relaxed: the CAS decides, and who is known to be dead had seen no later word.
      word now = at(p).state.load(std::memory_order_relaxed);
      if (noted(s, now, p)) {
        m = member_of(now);
        continue;
      }
      if (held(s, now, p) && (m == found_dead || all_.dead(static_cast<std::uint32_t>(m)))) {
        found_dead = m;
        const word after = settled(s, now, p, before);
        // release: hands on the slot as the dead one left it. Fails if somebody else
        // has settled it. Those that it makes room for are woken by the death's alarm.
        if (at(p).state.compare_exchange_strong(now, after, std::memory_order_release, std::memory_order_relaxed)) {
          if (s == side::producers) all_.count(recovery::push_undone);
          if (s == side::consumers && state_of(now) == full_state && !redelivers_)
            all_.count(recovery::message_dropped);
        }
      }
      m = before;
    }
  }

  // Of position p, claimed by a member of that side: whether its slot, with the word
  // `w`, is still that member's.
  static constexpr bool held(side s, word w, word p) noexcept {
    return s == side::producers ? stage(w) == stage_of(p, empty_state)
                                : stage(w) == stage_of(p, full_state) || stage(w) == stage_of(p, skipped_state);
  }

  // Whether w names the member that holds the position before p.
  bool noted(side s, word w, word p) const noexcept {
    return s == side::producers
               ? stage(w) == stage_of(p, full_state) || stage(w) == stage_of(p, skipped_state)
               : stage(w) == stage_of(p + capacity(), empty_state) || stage(w) == stage_of(p, orphan_state);
  }

  // What becomes of the word `w` of a slot whose holder is dead.
  word settled(side s, word w, word p, word before) const noexcept {
    if (s == side::producers) return pack(p, skipped_state, before);
    if (state_of(w) == full_state && redelivers_) return pack(p, orphan_state, before);
    return pack(p + capacity(), empty_state, before);
  }

  // Who holds the position before `p`, which `m` holds.
  word predecessor(side s, word p, word m) noexcept {
    // acquire: pairs with claim_from; see sweep.
    const word r = record_of(s, m).load(std::memory_order_acquire);
    return position(r) == p ? member_of(r) : m;
  }

  // For a pop that would fail for `why`: an orphan, if there is one (M6). Kept out of the way
  // of those that don't.
  [[gnu::noinline]] status redeliver_or(status why, T& m) noexcept {
    const in_hand c = claim_orphan(why);
    if (c.why != status::redelivered) return c.why;
    release(*c.first, freed(c.from), m);
    all_.count(recovery::message_redelivered);
    end_redelivery(c.lock);
    return c.why;
  }

  // An orphan, and with it the redeliverer's lock; or why there is none: `why`, or, of a closed
  // ring that is not drained yet, `busy`.
  in_hand claim_orphan(status why) noexcept {
    if (!redelivers_) return {{why}};
    if (why == status::closed && !drained()) {
      // Whoever frees a slot behind the second look sees the announcement (M8; event_count E2).
      if (!at_.shared->not_full.stands(announced_)) announced_ = at_.shared->not_full.prepare();
      if (!drained()) why = status::busy;
    }
    const std::uint32_t deaths = all_.deaths();
    if (deaths == redelivered_) return {{why}};
    recover();
    // acquire: pairs with the other's CAS, so that its life is looked at and not that of
    // a dead member before it in its place (roster R3); and with its unlocking: the
    // orphans that it has freed are seen as such.
    word now = at_.shared->redeliverer.load(std::memory_order_acquire);
    const word other = redeliverer_of(now);
    // A number that no member has is a scribble's: nobody will ever let go.
    const bool taken = other != nobody && other <= all_.members();
    if (taken && !all_.dead(static_cast<std::uint32_t>(other - 1))) return {{status::busy}};
    const word mine = next_redeliverer(now, me_ + 1);
    // release: pairs with the load above, which has read the very value that this replaces.
    if (!at_.shared->redeliverer.compare_exchange_strong(now, mine, std::memory_order_release,
                                                         std::memory_order_relaxed)) {
      return {{status::busy}};
    }
    for (std::uint64_t n = 0; n != capacity(); ++n) {
      const word i = next_orphan_++ & mask_;
      const word w = at_.slots[i].state.load(std::memory_order_acquire);
      // One that names another slot's position is a scribble's, and would never go.
      if (state_of(w) != orphan_state || (position(w) & mask_) != i) continue;
      return {{status::redelivered, w & ~pack(0, orphan_state, 0), 1, &at_.slots[i]}, mine};
    }
    redelivered_ = deaths;
    end_redelivery(mine);
    return {{why}};
  }

  // Of a closed ring whose messages have all been claimed: whether they have been taken (M8). Goes
  // on where it left off, as no slot is filled any more.
  bool drained() noexcept {
    // relaxed: this call has read it, and it moves no more.
    const word end = position(at_.shared->head.load(std::memory_order_relaxed));
    for (; drained_ != capacity(); ++drained_) {
      const word p = (end - 1 - drained_) & position_mask;
      // relaxed: what filled it comes before the claim that moved head past it, which this
      // call has seen (acquire); the message is not read.
      const word w = at(p).state.load(std::memory_order_relaxed);
      if (stage(w) == stage_of(p, full_state) || stage(w) == stage_of(p, orphan_state)) return false;
    }
    return true;
  }

  // After a slot has been freed.
  void tell_of_room() noexcept {
    if (at_.shared->not_full.has_sleepers()) [[unlikely]]
      tell_all();
  }

  // In this order: M8. Apart, so that those who find nobody asleep save no registers for it.
  [[gnu::noinline]] void tell_all() noexcept {
    at_.shared->not_full.notify();
    at_.shared->not_empty.notify();
  }

  void end_redelivery(word lock) noexcept {
    at_.shared->redeliverer.store(next_redeliverer(lock, nobody), std::memory_order_release);
    tell_all();  // also those who were told busy
  }

  // In place: what try_push and try_pop do, in two halves.
  status take_free(in_hand& c) noexcept {
    c = {claim_push(1)};
    return c.why;
  }
  status take_full(in_hand& c) noexcept {
    c = {claim_pop(1)};
    if (c.why != status::ok) c = claim_orphan(c.why);
    return c.why;
  }
  std::uint64_t slot_of(const in_hand& c) const noexcept { return position(c.from) & mask_; }
  T& written(const in_hand& c) noexcept { return c.first->payload.begin_write(); }
  const T& read(const in_hand& c) noexcept { return c.first->payload.begin_read(); }

  void commit(const in_hand& c) noexcept {
    slot& s = *c.first;
    s.payload.end_write();
    s.state.store(published(c.from, full_state), std::memory_order_release);
    at_.shared->not_empty.notify();
  }
  void withdraw(const in_hand& c) noexcept {
    slot& s = *c.first;
    s.payload.end_write();
    s.state.store(published(c.from, skipped_state), std::memory_order_release);
    tell_all();  // a push that needs it may have it; pops were told busy
  }
  void done(const in_hand& c) noexcept {
    slot& s = *c.first;
    s.payload.end_read();
    s.state.store(freed(c.from), std::memory_order_release);
    if (c.why == status::redelivered) {
      all_.count(recovery::message_redelivered);
      end_redelivery(c.lock);
    }
    tell_of_room();
  }

  static constexpr word redeliverer_of(word w) noexcept { return w & ((word{1} << redeliverer_bits) - 1); }
  static constexpr word next_redeliverer(word w, word who) noexcept {
    return (((w >> redeliverer_bits) + 1) << redeliverer_bits) | who;
  }

  view at_;
  record* mine_;
  word mask_;
  word lap_;  // from a slot's word to that of its next position
  word me_;
  roster<Platform> all_;
  bool redelivers_;
  run pushes_;
  run pops_;
  word quiet_ = nowhere;           // tail, where the last pop found the ring empty
  std::uint32_t heard_ = 0;        // deaths whose claims are settled, as far as this handle knows
  word next_orphan_ = 0;           // the slot to look at first
  std::uint32_t redelivered_ = 0;  // deaths that have left no orphan, likewise
  std::uint64_t drained_ = 0;      // slots before head that are empty for good, once the ring is closed
  typename event_count<Platform>::key announced_ = 0;  // at not_full: M8
};

}  // namespace millrace

#endif  // MILLRACE_MPMC_RING_H_
