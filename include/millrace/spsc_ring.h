// One producer, one consumer: each line of messages says how far it has been filled.
#ifndef MILLRACE_SPSC_RING_H_
#define MILLRACE_SPSC_RING_H_

#include <algorithm>
#include <atomic>
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

// A ring whose lines tell how far they have been filled (FastForward, by Giacomoni, Moseley and
// Vachharajani, 2008, tells it of each slot), under Lamport's indices (1977), of which the producer
// remembers where it last saw the consumer's. At most one thread pushes and
// one pops at a time; a role may pass to another handle when the passing itself
// is synchronised (join, a message, a process's end).
//
//   a line   [ message | message | ... | upto ]    as many as move between processors at a
//                                                  time; of large messages one
//   head     messages popped
//   upto     messages pushed, up to the last one of this line: it comes with them, and a
//            consumer looks at no index of the producer's
//   tail     messages *begun*: for the producer, and for a guess at the size
//   batch    where the latest push began that went over a line's end: likewise
//
// All four count messages and never wrap in practice (2^64). Message i lies in line
// i / per_line mod lines.
//
// Invariants:
//  S1 Only the producer writes tail, batch, lines and their upto, only the consumer head.
//  S2 head <= p <= head + capacity, where p messages have been published. Messages head..p-1
//     are the consumer's, other places the producer's. Storing upto (release) hands messages
//     over and pairs with the consumer's load of it (acquire); head hands back places likewise.
//  S3 A line is not begun anew before all its messages of the lap before have been popped. So
//     what its upto says while there is nothing in it for the consumer is known: the last of
//     the lap before, or its own position. Another value that is not of this lap is corrupt.
//  S4 What a handle remembers of the other side promises less than there is. It is refreshed
//     only when it promises too little: head is fetched once for many messages.
//  S5 A push stores the upto of its first line last: until then the consumer does not come to
//     the others. So that is its commit point, for all its messages at once.
//  S6 tail is p, but while the producer is in a push, or was killed in one. A producer that
//     finds another tail than its own, as each does at first, takes over. If batch lies before
//     tail, and its line says that nothing has been published there, it is a push that was cut
//     off, and lines behind may tell of it: they are set back first, and p is batch. Else a
//     push that was cut off had one line, that of the last message begun, which tells where p
//     is. As batch is stored before tail, and tail before the first upto, one that finds its
//     own tail knows that nobody has pushed since. (To whoever is killed it matters that the
//     compiler keeps that order: the light fences.)
//
// What a failed try means: `full` (`empty`) held when the other side's word
// was last published to this thread: everything that happened before the call
// has been taken into account. There is no instant that both sides agree on: a
// store still on its way to memory is not seen. (The mpmc_ring's answers are
// exact.) Never busy.
//
// Progress: wait-free. The commit point is one store, of a line's upto or of head: a side killed
// before it has pushed (popped) nothing, after it everything. The other side goes on with what was
// committed, and is woken by `alarm` if the dead one would have woken it; a role is free for another
// handle as soon as its holder is dead.
//
// Capacity: any number from 1 to 2^31; room is taken for whole lines.
template <message T, class Platform = native>
class spsc_ring : public ring_calls<spsc_ring<T, Platform>, T, Platform>,
                  public in_place_calls<spsc_ring<T, Platform>, T, Platform> {
  template <class U>
  using atomic = typename Platform::template atomic<U>;

 public:
  static constexpr std::string_view kind = "spsc_ring";
  static constexpr std::uint64_t max_capacity = std::uint64_t{1} << 31;

  static std::string refuse(const geometry& g) { return refuse_unless_within("capacity", g.capacity, max_capacity); }

  static std::size_t bytes(const geometry& g) noexcept { return sizeof(control) + lines_of(g) * sizeof(line); }

  static void construct(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    line* const all = reinterpret_cast<line*>(c + 1);
    const std::uint64_t lines = lines_of(g);
    std::uninitialized_default_construct_n(all, lines);
    // S3, before the first lap. relaxed: the segment is published as a whole once it is constructed.
    for (std::uint64_t i = 0; i != lines; ++i) {
      all[i].upto.store(i * per_line - (lines - 1) * per_line, std::memory_order_relaxed);
    }
  }

  static void construct_cut_off(void* at, const geometry&) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    // Which both sides look at, the consumer once it has used up what its handle had seen before.
    c->closed.store(is_cut_off, std::memory_order_relaxed);
  }

  spsc_ring(void* at, const geometry& g, const membership<Platform>& /*who: there is one of each*/) noexcept
      : shared_(static_cast<control*>(at)), capacity_(g.capacity), lines_(lines_of(g)) {
    pushes_ = pops_ = {lines(), 0, 0};
  }

  // Never blocks.
  status try_push(const T& m) noexcept {
    if (const status s = find_room(); s != status::ok) return s;
    // What is needed of the handle is read first: for all that the compiler knows, each store changes it.
    control& ring = *shared_;
    line& here = *pushes_.here;
    const std::uint64_t i = pushed_;
    slot& to = place(pushes_, i);
    begin_push(i + 1);
    to.write(m);
    publish(here, i + 1);
    ring.not_empty.notify();
    return status::ok;
  }

  status try_pop(T& m) noexcept {
    // relaxed: our own (S1).
    const std::uint64_t h = shared_->head.load(std::memory_order_relaxed);
    if (const status s = find_message(h); s != status::ok) return s;
    control& ring = *shared_;  // as in try_push
    place(pops_, h).read(m);
    commit_pop(ring, h + 1);
    return status::ok;
  }

  // Never blocks. All that go in become visible at once.
  batch_result try_push_n(std::span<const T> m) noexcept {
    if (m.empty()) return {};
    if (const status s = find_room(); s != status::ok) return {s, 0};
    if (room_to_ - pushed_ < m.size()) {
      if (const status s = look_for_room(); s != status::ok) return {s, 0};
    }
    const std::uint64_t n = std::min<std::uint64_t>(m.size(), room_to_ - pushed_);
    const std::uint64_t in_first = std::min(n, pushes_.first + per_line - pushed_);
    if (n != in_first) begin_batch();
    begin_push(pushed_ + n);
    Platform::light_fence();
    write(&place(pushes_, pushed_), m.first(in_first));
    stretch last = pushes_;
    for (std::uint64_t done = in_first; done != n;) {
      const std::uint64_t some = std::min(n - done, per_line);
      go_to(last, pushed_ + done);
      write(last.here->places, m.subspan(done, some));
      done += some;
      // relaxed: the first line's, which comes later, releases them all (S5).
      last.here->upto.store(pushed_ + done, std::memory_order_relaxed);
    }
    publish(*pushes_.here, pushed_ + in_first);
    pushed_ += n - in_first;
    pushes_ = last;
    shared_->not_empty.notify();
    return {n == m.size() ? status::ok : status::full, n};
  }

  batch_result try_pop_n(std::span<T> m) noexcept {
    if (m.empty()) return {};
    // relaxed: our own (S1).
    const std::uint64_t h = shared_->head.load(std::memory_order_relaxed);
    if (const status s = find_message(h); s != status::ok) return {s, 0};
    std::uint64_t n = 0;
    do {
      const std::uint64_t some = std::min<std::uint64_t>(m.size() - n, pops_.first + pops_.many - (h + n));
      const slot* const from = &place(pops_, h + n);
      for (std::uint64_t i = 0; i != some; ++i) from[i].read(m[n + i]);
      n += some;
    } while (n != m.size() && find_message(h + n) == status::ok);
    commit_pop(*shared_, h + n);
    return {status::ok, n};
  }

  // Called by the producer it ends the stream: pops drain, then say closed. Called
  // by anyone else, a push already under way may still go in after a pop has said
  // closed; a later pop returns it. Wakes both sides. Idempotent.
  void close() noexcept {
    shared_->closed.fetch_or(is_closed, std::memory_order_release);  // pairs with find_message
    shared_->not_empty.notify();
    shared_->not_full.notify();
  }

  void settle() noexcept {}  // whoever pushes next does (S6)

  void alarm() noexcept {
    shared_->not_empty.alarm();
    shared_->not_full.alarm();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }

  // With what is being pushed, or was when its producer was killed, until another pushes.
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
  using slot = typename Platform::template plain<T>;
  static constexpr std::uint64_t per_line =
      std::max<std::size_t>(1, (Platform::moved_together - sizeof(std::uint64_t)) / sizeof(T));
  static constexpr std::size_t alignment =
      per_line != 1 ? line_bytes : std::max(alignof(slot), alignof(atomic<std::uint64_t>));

  struct alignas(alignment) line {
    slot places[per_line];
    atomic<std::uint64_t> upto;  // behind them: it is looked at while they are being written
  };

  // What `closed` holds. Bits, as one that is cut off may be closed, too: anything else is corrupt.
  static constexpr std::uint32_t is_open = 0;
  static constexpr std::uint32_t is_closed = 1;
  static constexpr std::uint32_t is_cut_off = 2;

  struct control {
    alignas(line_bytes) atomic<std::uint64_t> tail{0};  // written by the producer
    atomic<std::uint64_t> batch{0};
    alignas(line_bytes) atomic<std::uint64_t> head{0};          // written by the consumer
    alignas(line_bytes) atomic<std::uint32_t> closed{is_open};  // written by anyone
    event_count<Platform> not_empty;                            // written by sleepers
    event_count<Platform> not_full;
  };

  // Of a line, its messages `first` to `first + many - 1` are known to be a side's to move.
  struct stretch {
    line* here;
    std::uint64_t first;
    std::uint64_t many;
  };
  using in_hand = std::uint64_t;  // the message's number

  // So many that no message is pushed into a line of which one of the lap before is left (S3).
  static std::uint64_t lines_of(const geometry& g) noexcept { return (g.capacity - 1 + per_line - 1) / per_line + 1; }

  line* lines() const noexcept { return reinterpret_cast<line*>(shared_ + 1); }
  line& line_of(std::uint64_t i) const noexcept { return lines()[i / per_line % lines_]; }
  slot& place(const stretch& s, std::uint64_t i) const noexcept { return s.here->places[i - s.first]; }

  static std::uint64_t first_of_line(std::uint64_t i) noexcept { return i - i % per_line; }

  // What the line that begins with message `first` says while message i of it has not been published (S3).
  std::uint64_t none(std::uint64_t i, std::uint64_t first) const noexcept {
    return i != first ? i : i - (lines_ - 1) * per_line;
  }

  // On to the line of message i, of which nothing is known to be the caller's.
  void go_to(stretch& s, std::uint64_t i) const noexcept {
    if (i - s.first == per_line && i > s.first) {  // as a rule
      line* const next = s.here + 1;
      s = {next != lines() + lines_ ? next : lines(), i, 0};
    } else {
      s = {&line_of(i), first_of_line(i), 0};
    }
  }

  // Whether there is room for one.
  status find_room() noexcept {
    // relaxed: the caller reacts to a close when it sees it.
    const std::uint32_t now = shared_->closed.load(std::memory_order_relaxed);
    if (now != is_open) [[unlikely]]
      return now == is_closed ? status::closed : status::corrupt;
    // relaxed: our own (S1).
    const std::uint64_t t = shared_->tail.load(std::memory_order_relaxed);
    if (t != pushed_) [[unlikely]]
      take_over(t);
    if (pushed_ - pushes_.first < pushes_.many) [[likely]]
      return status::ok;
    if (pushed_ == room_to_) {
      if (const status s = look_for_room(); s != status::ok) return s;
    }
    if (pushed_ - pushes_.first >= per_line) go_to(pushes_, pushed_);
    pushes_.many = std::min(per_line, room_to_ - pushes_.first);
    return status::ok;
  }

  // How much there is.
  status look_for_room() noexcept {
    const std::uint64_t h = shared_->head.load(std::memory_order_acquire);  // pairs with commit_pop
    const std::uint64_t used = pushed_ - h;
    if (used > capacity_) return status::corrupt;
    room_to_ = h + capacity_;
    pushes_.many = 0;  // if head was hostile, it may be less than before
    return used != capacity_ ? status::ok : status::full;
  }

  // Another has pushed since, and may have been killed in it (S6). Whatever the words say leads to
  // some place in the segment.
  [[gnu::noinline]] void take_over(std::uint64_t t) noexcept {
    // relaxed, here and below: whoever stored it has passed on the role, or is known to be dead. What
    // is set back is released with what is published before it.
    const std::uint64_t began = shared_->batch.load(std::memory_order_relaxed);
    std::uint64_t p = t;
    const std::uint64_t there = first_of_line(began);
    if (t - began - 1 < capacity_ && line_of(began).upto.load(std::memory_order_relaxed) == none(began, there)) {
      p = began;
      for (std::uint64_t i = there + per_line; i - p < t - p; i += per_line) {
        line_of(i).upto.store(none(i, i), std::memory_order_relaxed);
      }
    } else if (t != 0) {
      const std::uint64_t first = first_of_line(t - 1);
      const std::uint64_t upto = line_of(first).upto.load(std::memory_order_relaxed);
      p = upto - first - 1 < t - first ? upto : first;
    }
    Platform::light_fence();  // tail is next
    pushed_ = room_to_ = p;
    pushes_.many = 0;
  }

  // relaxed, both: for whoever takes over, see there.
  void begin_batch() noexcept {
    shared_->batch.store(pushed_, std::memory_order_relaxed);
    Platform::light_fence();
  }
  void begin_push(std::uint64_t upto) noexcept { shared_->tail.store(upto, std::memory_order_relaxed); }

  static void write(slot* to, std::span<const T> m) noexcept {
    for (std::size_t i = 0; i != m.size(); ++i) to[i].write(m[i]);
  }

  // The next ones up to `upto`, which are written, all in this line; and with them the lines behind (S5).
  void publish(line& here, std::uint64_t upto) noexcept {
    here.upto.store(upto, std::memory_order_release);  // pairs with find_message
    pushed_ = upto;
  }

  // Whether message h, the next, is there; and with it, how many are in its line.
  status find_message(std::uint64_t h) noexcept {
    if (h - pops_.first < pops_.many) [[likely]]
      return status::ok;
    if (h - pops_.first >= per_line) go_to(pops_, h);
    // Closed is read before upto: whatever was pushed before the close is seen.
    const std::uint32_t now = shared_->closed.load(std::memory_order_acquire);    // pairs with close
    const std::uint64_t upto = pops_.here->upto.load(std::memory_order_acquire);  // pairs with publish
    if (now > is_closed) return status::corrupt;
    if (upto == none(h, pops_.first)) return now == is_open ? status::empty : status::closed;
    const std::uint64_t many = upto - pops_.first;
    if (many > per_line || many <= h - pops_.first) return status::corrupt;
    pops_.many = many;
    return status::ok;
  }

  static void commit_pop(control& ring, std::uint64_t head) noexcept {
    ring.head.store(head, std::memory_order_release);  // pairs with look_for_room
    ring.not_full.notify();
  }

  // In place: a reservation that is withdrawn has begun nothing.
  status take_free(in_hand& i) noexcept {
    const status s = find_room();
    i = pushed_;
    return s;
  }
  status take_full(in_hand& i) noexcept {
    i = shared_->head.load(std::memory_order_relaxed);  // relaxed: our own (S1)
    return find_message(i);
  }
  std::uint64_t slot_of(in_hand i) const noexcept { return i % capacity_; }
  T& written(in_hand i) noexcept { return place(pushes_, i).begin_write(); }
  const T& read(in_hand i) const noexcept { return place(pops_, i).begin_read(); }
  void commit(in_hand i) noexcept {
    begin_push(i + 1);
    place(pushes_, i).end_write();
    publish(*pushes_.here, i + 1);
    shared_->not_empty.notify();
  }
  void withdraw(in_hand) noexcept {}
  void done(in_hand i) noexcept {
    place(pops_, i).end_read();
    commit_pop(*shared_, i + 1);
  }

  control* shared_;
  std::uint64_t capacity_;  // private copies: places are reckoned from them, so
  std::uint64_t lines_;     // whatever the segment holds, no access leaves it
  stretch pushes_;
  stretch pops_;
  std::uint64_t pushed_ = ~std::uint64_t{0};   // how many had been when this handle last pushed; at first what never is
  std::uint64_t room_to_ = ~std::uint64_t{0};  // how many may have been pushed, at least (S4)
};

}  // namespace millrace

#endif  // MILLRACE_SPSC_RING_H_
