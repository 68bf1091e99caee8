// A ring of no capacity: a push and a pop meet, or wait for each other.
#ifndef MILLRACE_RENDEZVOUS_RING_H_
#define MILLRACE_RENDEZVOUS_RING_H_

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

// Synchronous sending (Hoare's CSP, 1978; the textbook's zero capacity): a push says ok
// when a receiver has its message. Who comes first leaves word in its own place, an offer
// or an ask, and waits; who comes second serves the one that has waited longest, and goes on.
// (A synchronous queue, as Scherer, Lea and Scott make it, 2006, but with a lock.)
//
//   segment   [ lock, ticket | place x members: offer, ask, event | hands x members ]
//
//   offer, ask   [ ticket : 62 | state : 2 ]
//
//     idle --its member, locked--> waiting --other side, locked--> passed --its member--> idle
//     waiting --its member, at its deadline or a close--> idle
//     ask only:  passed, of a dead member --> orphan --a pop, locked--> idle
//
// Invariants:
//  Z1 Behind the lock there is no live offer beside a live ask: who comes looks at
//     the other side before it waits, under the lock. And whoever asks has found no orphan, so
//     those, and asks, are never more than the places: a new member's place may
//     still have its predecessor's orphan in it.
//  Z2 `waiting -> passed` is the moment at which the two meet, and one CAS: who is killed
//     before it has given or taken nothing, after it everything. So there is nothing to
//     repair when a locker hears that the last owner died.
//  Z3 Hands are written under the lock only, and before the word that tells of it. So one that
//     gives up, by a CAS and without the lock, does not disturb who reads them.
//  Z4 The words of the dead are ended by whoever meets them, or by who is to have the
//     place: a dead member's offer and ask are taken back, what it was passed is an orphan's.
//  Z5 A pop that waits looks for orphans once more whenever a death has been reported.
//     Others' words need no second look: who comes sees them (Z1). Who looks again waits
//     anew, behind those that have looked before it.
//  Z6 `closed` of a pop means that nothing can come back: nobody has been passed a message that it
//     has not taken, so that nobody's death leaves another. A pop that finds, under the lock, that
//     somebody has, says `busy`, or waits on; and whoever then takes what it was passed tells all.
//     (A Dekker: it knew of the close before it announced itself for that.)
//
// Each member sleeps on an event of its own, as it is served by name: if it is dead, or
// dies before it has its message, that goes to the next.
//
// What a failed try means, exactly: `full`, nobody alive waits in a pop; `empty`, nobody
// waits in a push, and nothing is left to be redelivered. `busy`: somebody held the lock, or
// (Z6) has been passed the last message before the close and not taken it.
// Blocking calls wait for the lock, too, as in mutex_ring; no call waits for it after its
// deadline, or to be told that its message has gone. A batch is so many calls one after the other: a push
// meets a receiver for each message, a pop waits for the first message only.
//
// close: who waits is told closed, and whoever comes; only what has been passed is still
// delivered, to whom it was or, if that one is killed, to another.
//
// A member that is stopped while it waits in a pop may be passed a message, which then waits
// with it. A call costs a look at every place, so `members` should be no more than are needed.
//
// Capacity: 0.
template <message T, class Platform = native>
class rendezvous_ring : public ring_calls<rendezvous_ring<T, Platform>, T, Platform> {
 public:
  static constexpr std::string_view kind = "rendezvous_ring";

  static std::string refuse(const geometry& g) {
    if (g.capacity == 0) return {};
    return "capacity " + std::to_string(g.capacity) + " is not 0: it keeps no messages; other rings do";
  }

  static std::size_t bytes(const geometry& g) noexcept { return hands_offset(g) + g.members * sizeof(hands); }

  static void construct(void* at, const geometry& g) noexcept {
    std::construct_at(static_cast<control*>(at));
    std::uninitialized_default_construct_n(stands_at(at), g.members);
    std::uninitialized_default_construct_n(hands_at(at, g), g.members);
  }

  static void construct_cut_off(void* at, const geometry& g) noexcept {
    std::construct_at(static_cast<control*>(at));
    for (std::uint32_t m = 0; m != g.members; ++m) {
      stand* const p = std::construct_at(stands_at(at) + m);
      p->offer.store(impossible, std::memory_order_relaxed);
      p->ask.store(impossible, std::memory_order_relaxed);
    }
  }

  rendezvous_ring(void* at, const geometry& g, const membership<Platform>& who) noexcept
      : shared_(static_cast<control*>(at)),
        stands_(stands_at(at)),
        hands_(hands_at(at, g)),
        members_(g.members),
        drops_(g.on_death == delivery::drop),
        who_(who) {}

  status try_push(const T& m) noexcept {
    if (!entered(shared_->mutex.try_lock(who_))) return status::busy;
    return leave(push_now(m));
  }
  status try_pop(T& m) noexcept {
    if (!entered(shared_->mutex.try_lock(who_))) return status::busy;
    return leave(pop_now(m, idle));
  }

  batch_result try_push_n(std::span<const T> m) noexcept {
    for (std::size_t i = 0; i != m.size(); ++i) {
      if (const status s = try_push(m[i]); s != status::ok) return {s, i};
    }
    return {status::ok, m.size()};
  }
  batch_result try_pop_n(std::span<T> m) noexcept { return m.empty() ? batch_result{} : more(try_pop(m[0]), m); }

  status push_until(const T& m, deadline until) noexcept {
    if (!entered(shared_->mutex.lock_until(who_, until))) return status::timed_out;
    const meeting now = push_now(m);
    if (now.why != status::full) return leave(now);
    hands_[who_.me].offered.write(m);
    Platform::light_fence();  // the compiler must not offer before (Z3)
    const word mine = next_ticket();
    here().offer.store(mine, std::memory_order_relaxed);  // relaxed: the lock orders it
    shared_->mutex.unlock();
    const status s = await(here().event, until, [&]() noexcept {
      // acquire: pairs with commit_pop, so that a push that says ok comes after its pop's beginning.
      const word found = here().offer.load(std::memory_order_acquire);
      if (found != mine) return sent(found, mine);
      return is_closed() ? take_back_offer(mine, status::closed) : status::full;
    });
    return s == status::timed_out ? take_back_offer(mine, s) : s;
  }

  status pop_until(T& m, deadline until) noexcept {
    word mine = idle;
    for (;;) {
      if (!entered(shared_->mutex.lock_until(who_, until))) return take_back_ask(m, mine, status::timed_out);
      const meeting now = pop_now(m, mine);
      if (!would_block(now.why)) return leave(now);
      const bool ending = now.why == status::busy;
      mine = next_ticket();
      here().ask.store(mine, std::memory_order_relaxed);  // relaxed: the lock orders it
      shared_->mutex.unlock();
      bool look_again = false;
      const status s = await(here().event, until, [&]() noexcept {
        // acquire: pairs with commit_push.
        const word found = here().ask.load(std::memory_order_acquire);
        if (found != mine) return served(m, found, mine);
        look_again = who_.all.deaths() != heard_ || (is_closed() && !(ending && under_way()));  // Z5, Z6
        return look_again ? status::ok : status::empty;
      });
      if (s == status::timed_out) return take_back_ask(m, mine, s);
      if (!look_again) return s;
    }
  }

  batch_result push_n_until(std::span<const T> m, deadline until) noexcept {
    for (std::size_t i = 0; i != m.size(); ++i) {
      if (const status s = push_until(m[i], until); s != status::ok) return {s, i};
    }
    return {status::ok, m.size()};
  }
  batch_result pop_n_until(std::span<T> m, deadline until) noexcept {
    return m.empty() ? batch_result{} : more(pop_until(m[0], until), m);
  }

  // Waits for nobody.
  void close() noexcept {
    // seq_cst: whoever locks after this has returned finds it set.
    shared_->closed.store(1, std::memory_order_seq_cst);
    notify_all();
  }

  void settle() noexcept {
    shared_->mutex.settle(who_);
    for (const side s : {side::pushes, side::pops}) {
      for (word now = get(of(s, who_.me)); in_hand(now); now = get(of(s, who_.me))) end(s, who_.me, now);
    }
  }

  void alarm() noexcept {
    shared_->mutex.alarm();
    for (std::uint32_t m = 0; m != members_; ++m) stands_[m].event.alarm();
  }

  std::uint64_t capacity() const noexcept { return 0; }
  std::uint64_t size_approx() const noexcept { return 0; }

 private:
  using word = std::uint64_t;
  template <class U>
  using atomic = typename Platform::template atomic<U>;
  template <class U>
  using plain = typename Platform::template plain<U>;

  enum class side : std::uint8_t { pushes, pops };

  static constexpr word idle = 0;  // and no ticket
  static constexpr word waiting = 1;
  static constexpr word passed = 2;
  static constexpr word orphan = 3;
  static constexpr word state_bits = 3;
  static constexpr word ticket_step = 4;
  static constexpr word impossible = ticket_step;

  static constexpr word state_of(word w) noexcept { return w & state_bits; }
  static constexpr word next(word w, word state) noexcept { return (w & ~state_bits) | state; }
  static constexpr bool in_hand(word w) noexcept { return state_of(w) == waiting || state_of(w) == passed; }

  struct stand {
    atomic<word> offer{idle};
    atomic<word> ask{idle};
    event_count<Platform> event;  // its member sleeps on it
  };

  // What is in a place's hands: written under the mutex.
  struct hands {
    plain<T> offered;
    plain<T> passed;
  };

  struct control {
    alignas(line_bytes) robust_mutex<Platform> mutex;
    atomic<word> ticket{0};                               // the last one; written under the mutex
    alignas(line_bytes) atomic<std::uint32_t> closed{0};  // written once, by anyone; read at each call
  };

  static stand* stands_at(void* at) noexcept { return reinterpret_cast<stand*>(static_cast<control*>(at) + 1); }
  static std::size_t hands_offset(const geometry& g) noexcept {
    const std::size_t end = sizeof(control) + g.members * sizeof(stand);
    return (end + line_bytes - 1) / line_bytes * line_bytes;
  }
  static hands* hands_at(void* at, const geometry& g) noexcept {
    return reinterpret_cast<hands*>(static_cast<std::byte*>(at) + hands_offset(g));
  }

  // relaxed: written under the lock, or by this member, or changed from here by a CAS.
  static word get(const atomic<word>& w) noexcept { return w.load(std::memory_order_relaxed); }

  stand& here() noexcept { return stands_[who_.me]; }
  atomic<word>& of(side s, std::uint32_t member) noexcept {
    return s == side::pushes ? stands_[member].offer : stands_[member].ask;
  }

  void notify_all() noexcept {
    for (std::uint32_t m = 0; m != members_; ++m) stands_[m].event.notify();
  }

  bool is_closed() const noexcept {
    return shared_->closed.load(std::memory_order_seq_cst) != 0;  // pairs with close
  }

  // Whether the lock is held now. An owner's death needs no repair (Z2).
  static bool entered(lock_result got) noexcept { return got != lock_result::timed_out; }

  // Of a try under the lock: what it says, and whom it has met.
  struct meeting {
    status why;
    std::uint32_t with = max_members;
  };

  status leave(const meeting& m) noexcept {
    shared_->mutex.unlock();
    if (m.with != max_members) stands_[m.with].event.notify();
    return m.why;
  }

  word next_ticket() noexcept {
    const word ticket = get(shared_->ticket) + ticket_step;
    shared_->ticket.store(ticket, std::memory_order_relaxed);
    return ticket | waiting;
  }

  meeting push_now(const T& m) noexcept {
    if (get(here().offer) != idle) return {status::corrupt};
    if (is_closed()) return {status::closed};
    for (;;) {
      const waiter other = oldest(side::pops);
      if (other.why != status::ok) return {other.why == status::empty ? status::full : other.why};
      if (commit_push(m, hands_[other.whom].passed, stands_[other.whom].ask, other.now)) {
        return {status::ok, other.whom};
      }
    }
  }

  // `mine`: what this pop asks with so far.
  meeting pop_now(T& m, word mine) noexcept {
    const word own = get(here().ask);
    if (mine != idle) {
      if (own != mine) return {served(m, own, mine)};
      here().ask.store(idle, std::memory_order_relaxed);  // relaxed: the lock orders it
    } else if (own != idle && state_of(own) != orphan) {
      return {status::corrupt};
    }
    heard_ = who_.all.deaths();  // before the look (Z5)
    if (const status s = inherit(m); s != status::empty) return {s};
    if (!is_closed()) return take(m);
    return {under_way() ? status::busy : status::closed};
  }

  // Whether somebody has been passed a message that may yet come back (Z6). An orphan that
  // `inherit` has not met has been made since by the heir of one who died: that is reported soon.
  bool under_way() const noexcept {
    for (std::uint32_t m = 0; m != members_ && !drops_; ++m) {
      const word state = state_of(get(stands_[m].ask));
      if (state == passed || state == orphan) return true;
    }
    return false;
  }

  meeting take(T& m) noexcept {
    for (;;) {
      const waiter other = oldest(side::pushes);
      if (other.why != status::ok) return {other.why};
      if (commit_pop(hands_[other.whom].offered, m, stands_[other.whom].offer, other.now, next(other.now, passed))) {
        return {status::ok, other.whom};
      }
    }
  }

  // A message that was passed to one that died.
  status inherit(T& m) noexcept {
    for (std::uint32_t whose = 0; whose != members_;) {
      const word now = get(stands_[whose].ask);
      if (!possible(now)) return status::corrupt;
      if (state_of(now) == passed && who_.all.dead(whose)) {
        end(side::pops, whose, now);
      } else if (state_of(now) != orphan) {
        ++whose;
      } else if (commit_pop(hands_[whose].passed, m, stands_[whose].ask, now, idle)) {
        who_.all.count(recovery::message_redelivered);
        return status::redelivered;
      }
    }
    return status::empty;
  }

  static constexpr bool possible(word w) noexcept { return w == idle || state_of(w) != idle; }

  struct waiter {
    status why = status::empty;
    std::uint32_t whom = max_members;
    word now = ~word{0};
  };

  // Who of the living has waited longest on that side. Each further round is owed to a
  // death.
  waiter oldest(side s) noexcept {
    for (;;) {
      waiter first;
      for (std::uint32_t m = 0; m != members_; ++m) {
        const word now = get(of(s, m));
        if (!possible(now)) return {status::corrupt};
        if (state_of(now) == waiting && now < first.now) first = {status::ok, m, now};
      }
      if (first.why != status::ok || !who_.all.dead(first.whom)) return first;
      end(s, first.whom, first.now);
    }
  }

  // Ends what a dead member had in hand, if its word is still that (Z4).
  void end(side s, std::uint32_t member, word now) noexcept {
    const bool lost = s == side::pops && state_of(now) == passed;
    word expected = now;
    // relaxed: what is in its hands was written under the lock.
    if (!of(s, member).compare_exchange_strong(expected, lost && !drops_ ? next(now, orphan) : idle,
                                               std::memory_order_relaxed, std::memory_order_relaxed)) {
      return;
    }
    if (s == side::pushes && state_of(now) == waiting) who_.all.count(recovery::push_undone);
    if (lost && drops_) who_.all.count(recovery::message_dropped);
  }

  // The commit point of a push that finds one who asks. False if that one has given up.
  bool commit_push(const T& m, plain<T>& to, atomic<word>& of, word now) noexcept {
    to.write(m);
    Platform::light_fence();  // the compiler must not pass it before it is written (Z3)
    // release: pairs with pop_until.
    return of.compare_exchange_strong(now, next(now, passed), std::memory_order_release, std::memory_order_relaxed);
  }

  // The commit point of each pop. False if the word has changed: its member has given up, or
  // was settled.
  bool commit_pop(const plain<T>& from, T& m, atomic<word>& of, word now, word then) noexcept {
    from.read(m);
    Platform::light_fence();  // the compiler must not let go before it is read
    // release: pairs with push_until.
    return of.compare_exchange_strong(now, then, std::memory_order_release, std::memory_order_relaxed);
  }

  // This member's ask has become `found`: only a push changes it while it waits.
  status served(T& m, word found, word mine) noexcept {
    const bool sound = found == next(mine, passed) && commit_pop(hands_[who_.me].passed, m, here().ask, found, idle);
    if (!sound) return status::corrupt;
    Platform::light_fence();  // the compiler must not look at the close before (Z6)
    if (is_closed()) notify_all();
    return status::ok;
  }

  // This member's offer, likewise: only a pop.
  status sent(word found, word mine) noexcept {
    if (found != next(mine, passed)) return status::corrupt;
    here().offer.store(idle, std::memory_order_relaxed);  // relaxed: others don't mind it
    return status::ok;
  }

  // Gives up, and says `why`, unless somebody has come at the last moment (Z3).
  status take_back_offer(word mine, status why) noexcept {
    word expected = mine;
    // relaxed: it hands over nothing.
    if (here().offer.compare_exchange_strong(expected, idle, std::memory_order_relaxed, std::memory_order_relaxed)) {
      return why;
    }
    return sent(here().offer.load(std::memory_order_acquire), mine);  // pairs with commit_pop
  }
  status take_back_ask(T& m, word mine, status why) noexcept {
    word expected = mine;
    // relaxed: likewise.
    if (mine == idle ||
        here().ask.compare_exchange_strong(expected, idle, std::memory_order_relaxed, std::memory_order_relaxed)) {
      return why;
    }
    return served(m, here().ask.load(std::memory_order_acquire), mine);  // pairs with commit_push
  }

  // Those that wait beside the first one of a batch.
  batch_result more(status first, std::span<T> m) noexcept {
    if (first != status::ok) return {first, delivered(first) ? std::size_t{1} : 0};
    std::size_t n = 1;
    while (n != m.size() && entered(shared_->mutex.try_lock(who_)) && leave(take(m[n])) == status::ok) {
      ++n;
    }
    return {status::ok, n};
  }

  control* shared_;
  stand* stands_;
  hands* hands_;
  std::uint32_t members_;
  bool drops_;
  membership<Platform> who_;
  std::uint32_t heard_ = 0;  // deaths reported when this handle last looked for orphans
};

}  // namespace millrace

#endif  // MILLRACE_RENDEZVOUS_RING_H_
