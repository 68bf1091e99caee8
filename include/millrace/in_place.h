// Messages written, and read, where they lie in the ring: no copy is made.
#ifndef MILLRACE_IN_PLACE_H_
#define MILLRACE_IN_PLACE_H_

#include <chrono>
#include <concepts>
#include <cstdint>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/event_count.h"
#include "millrace/platform.h"
#include "millrace/process.h"
#include "millrace/status.h"

namespace millrace {

//   if (auto m = ring.reserve()) {        if (const auto m = ring.peek()) {
//     render(*m);                           show(*m);
//     m.commit();                         }  // its slot is free for another
//   }
//
// A *reservation* is a push that has claimed its slot, a *peeked* message a pop that has
// claimed its own. What becomes of them:
//
//   commit()             published, as by a push that returned ok
//   gone uncommitted     nothing was pushed. mpmc: its slot is skipped, and counts as taken
//                        until pops, or a push that needs it, have come to it
//   release(), or gone   done with, as by a pop that returned ok: no other gets it
//   killed with one      as if in a push or pop: nothing was pushed; and what was peeked at is
//                        redelivered or dropped, as ring_options::on_death says (spsc: it
//                        is still the first, and nobody says `redelivered`)
//
// While one lives, its handle makes no other push, pop, reserve or peek, and is neither moved
// nor destroyed; any other handle may do what it likes (spsc: on the other side; on this one
// the role is this handle's). Others find the slot in this
// member's hands: `busy` where it is the next, or the last before `closed` (mpmc), or full and
// empty as before (spsc). So they wait for whoever holds one for long, or is stopped; and who waits
// for other receivers to end, lets go of its message first. In mpmc_ring, while a
// *redelivered* one is peeked at, pops that find nothing else say `busy`, too.
// In a child of fork, which has its parent's objects and not its place, all these do nothing.
//
// What a reserved slot holds is what was in it before. Members who follow the protocol
// let it alone from reserve to commit and from peek to release; but a hostile one may
// change a message while it is read. Unless all who map the segment are trusted, copy what is to be
// checked and used, and peek at no type of which some bytes are no value (bool, enumerations).
//
// Have no system call write into a reserved slot (read, recv, or another process's
// process_vm_writev): the kernel may still be copying for a thread of which no instruction will be
// executed any more, when its death is known and the slot is another's (roster R2).
//
// mutex_ring and semaphore_ring offer none of this, as user code would run under their lock;
// boost_ring has its messages in nodes of its own.
//
// The calls are the same over each ring, which provides
//
//   in_hand                                          what it remembers of a claim
//   status take_free(in_hand&), take_full(in_hand&)  a try; take_full also says redelivered
//   T& written(in_hand), const T& read(in_hand)      the message; it is the caller's from here on
//   void commit(in_hand), withdraw(in_hand), done(in_hand)
//   std::uint64_t slot_of(in_hand)
template <class Self, class T, class Platform>
class in_place_calls {
  // A slot in hand, or why there is none.
  template <class Message>
  class hold {
   public:
    // Whether there is a message to write to, or to read. In a child of fork there is none.
    explicit operator bool() const noexcept { return message_ != nullptr && forks_ == forks(); }
    // As the push or pop would have said it.
    status why() const noexcept { return why_; }

    Message& operator*() const noexcept { return *message_; }
    Message* operator->() const noexcept { return message_; }

    // Which slot, below the ring's capacity, for what lies beside it.
    std::uint64_t slot() const noexcept { return of_->slot_of(at_); }

   protected:
    explicit hold(status why) noexcept : why_(why) {}
    hold(Self& of, const typename Self::in_hand& at, status why, Message& m) noexcept
        : of_(&of), message_(&m), at_(at), forks_(forks()), why_(why) {}
    hold(hold&& other) noexcept
        : of_(other.of_),
          message_(std::exchange(other.message_, nullptr)),
          at_(other.at_),
          forks_(other.forks_),
          why_(other.why_) {}
    hold& operator=(hold&&) = delete;

    // Lets go of it: true once, and not in a child of the process that claimed it.
    bool let_go() noexcept { return std::exchange(message_, nullptr) != nullptr && forks_ == forks(); }

    Self* of_ = nullptr;
    Message* message_ = nullptr;
    typename Self::in_hand at_{};

   private:
    std::uint32_t forks_ = 0;
    status why_;
  };

 public:
  // A slot to write a message into.
  class [[nodiscard]] reservation : public hold<T> {
   public:
    reservation(reservation&&) noexcept = default;
    ~reservation() {
      if (this->let_go()) this->of_->withdraw(this->at_);
    }

    // Publishes what has been written. Once; then there is nothing any more.
    void commit() noexcept {
      if (this->let_go()) this->of_->commit(this->at_);
    }

   private:
    friend class in_place_calls;
    using hold<T>::hold;
  };

  // A message to read where it lies.
  class [[nodiscard]] peeked : public hold<const T> {
   public:
    peeked(peeked&&) noexcept = default;
    ~peeked() { release(); }

    // Done with it: its slot is free. Then there is nothing any more.
    void release() noexcept {
      if (this->let_go()) this->of_->done(this->at_);
    }

   private:
    friend class in_place_calls;
    using hold<const T>::hold;
  };

  // As try_push and push (ring.h), but for the message, which commit() pushes.
  reservation try_reserve() noexcept {
    typename Self::in_hand at{};
    return reserved(self().take_free(at), at);
  }
  reservation reserve() noexcept { return reserve_until(deadline::never()); }
  template <class Rep, class Period>
  reservation reserve_for(std::chrono::duration<Rep, Period> wait) noexcept {
    return reserve_until(deadline::after(wait));
  }
  reservation reserve_until(deadline until) noexcept {
    typename Self::in_hand at{};
    const status why = await(self().not_full(), until, [&]() noexcept { return self().take_free(at); });
    return reserved(why, at);
  }

  // As try_pop and pop, but for the message, which stays where it is.
  peeked try_peek() noexcept {
    typename Self::in_hand at{};
    return found(self().take_full(at), at);
  }
  peeked peek() noexcept { return peek_until(deadline::never()); }
  template <class Rep, class Period>
  peeked peek_for(std::chrono::duration<Rep, Period> wait) noexcept {
    return peek_until(deadline::after(wait));
  }
  peeked peek_until(deadline until) noexcept {
    typename Self::in_hand at{};
    const status why = await(self().not_empty(), until, [&]() noexcept { return self().take_full(at); });
    return found(why, at);
  }

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }

  template <class Place>
  reservation reserved(status why, const Place& at) noexcept {
    if (why != status::ok) return reservation(why);
    return reservation(self(), at, why, self().written(at));
  }
  template <class Place>
  peeked found(status why, const Place& at) noexcept {
    if (!delivered(why)) return peeked(why);
    return peeked(self(), at, why, self().read(at));
  }
};

// A ring, or an end of a channel, whose messages can be written (read) in place.
template <class R>
concept writes_in_place = requires(R r, deadline until) {
  { *r.try_reserve() } -> std::same_as<typename R::value_type&>;
  r.reserve_until(until).commit();
};
template <class R>
concept reads_in_place = requires(R r, deadline until) {
  { *r.try_peek() } -> std::same_as<const typename R::value_type&>;
  r.peek_until(until).release();
};

}  // namespace millrace

#endif  // MILLRACE_IN_PLACE_H_
