// A mutex for several processes whose owner may be killed.
#ifndef MILLRACE_ROBUST_MUTEX_H_
#define MILLRACE_ROBUST_MUTEX_H_

#include <atomic>
#include <cstdint>

#include "millrace/deadline.h"
#include "millrace/event_count.h"
#include "millrace/roster.h"
#include "millrace/status.h"

namespace millrace {

enum class lock_result : std::uint8_t {
  locked,
  owner_died,  // locked, and an owner died holding it: see robust_mutex
  timed_out,   // not locked (try_lock: somebody holds it)
};

// A lock word that names its owner (as pthread's robust mutexes do), with an event
// count to sleep on. Whoever finds that the owner is dead takes over and is told;
// it repairs what the mutex guards and calls `make_consistent`. Until somebody has
// done so every locker is told, whoever is killed in between.
//
//   word   [ turn : 50 | inconsistent : 1 | owner + 1 : 13 ]      owner + 1 = 0: free
//
//  X1 Only the owner's word changes while it lives: others CAS it when it is free, or
//     when they have read it and then found its owner dead. turn rises with each
//     change of owner, so the CAS fails if the lock has moved on meanwhile.
//  X2 The load that taking it begins with (acquire) pairs with letting it go (release),
//     or, after a death, the look at the owner's life with the kernel's mark.
//
// Not pthread's: that keeps a list through the shared memory, which a peer could
// scribble over, and a futex that a stopped process may sleep on for others.
//
// It lives in the shared memory itself. Not recursive. A holder that is merely
// stopped keeps it. Any members may call everything at once.
template <class Platform>
class robust_mutex {
  using word = std::uint64_t;

 public:
  // Never blocks; `timed_out` means that somebody holds it, or has just taken it.
  lock_result try_lock(const membership<Platform>& who) noexcept {
    // acquire: X2, and pairs with the owner's CAS, so that its life is looked at and not
    // that of a dead member before it in its place (roster R3).
    word now = word_.load(std::memory_order_acquire);
    const std::uint32_t owner = owner_of(now);
    // A number that no member has is a scribble's: nobody will ever let go.
    if (owner != nobody && owner <= who.all.members() && !who.all.dead(owner - 1)) return lock_result::timed_out;
    const word left = owner == nobody ? now : now | inconsistent;
    // release: pairs with the load above, which has read the very value that this replaces.
    if (!word_.compare_exchange_strong(now, next(left, who.me + 1), std::memory_order_release,
                                       std::memory_order_relaxed)) {
      return lock_result::timed_out;
    }
    if (owner != nobody) who.all.count(recovery::lock_taken_over);
    return (left & inconsistent) != 0 ? lock_result::owner_died : lock_result::locked;
  }

  // Blocks until the mutex is free, its owner dies, or the deadline passes.
  lock_result lock_until(const membership<Platform>& who, deadline until) noexcept {
    lock_result got = lock_result::timed_out;
    // It is a status only for `await`: busy is what it waits out.
    (void)await(released_, until, [&]() noexcept {
      got = try_lock(who);
      return got == lock_result::timed_out ? status::busy : status::ok;
    });
    return got;
  }

  void make_consistent() noexcept {
    // relaxed: the owner's own word (X1). release: a store hides the CAS that took it
    // from whoever loads the word next (try_lock).
    const word mine = word_.load(std::memory_order_relaxed);
    word_.store(mine & ~inconsistent, std::memory_order_release);
  }

  void unlock() noexcept {
    const word mine = word_.load(std::memory_order_relaxed);
    word_.store(next(mine, nobody), std::memory_order_release);  // pairs with try_lock
    released_.notify();
  }

  // If the last member in `who`'s place, now dead, holds it: lets it go on its behalf,
  // inconsistent. Wakes nobody: `alarm` follows.
  void settle(const membership<Platform>& who) noexcept {
    // relaxed: the word of a dead owner changes only by a CAS such as this.
    word now = word_.load(std::memory_order_relaxed);
    if (owner_of(now) != who.me + 1) return;
    // release: hands on what the dead one did, which the caller knows by its mark.
    if (word_.compare_exchange_strong(now, next(now | inconsistent, nobody), std::memory_order_release,
                                      std::memory_order_relaxed)) {
      who.all.count(recovery::lock_taken_over);
    }
  }

  void alarm() noexcept { released_.alarm(); }

  // Notified by each `unlock`.
  event_count<Platform>& released() noexcept { return released_; }

 private:
  static constexpr unsigned owner_bits = 13;
  static constexpr std::uint32_t nobody = 0;
  static constexpr word inconsistent = word{1} << owner_bits;
  static_assert(max_members < inconsistent);
  static constexpr word turn = inconsistent << 1;

  static constexpr std::uint32_t owner_of(word w) noexcept {
    return static_cast<std::uint32_t>(w & (inconsistent - 1));
  }
  static constexpr word next(word w, std::uint32_t owner) noexcept { return (w & ~(inconsistent - 1)) + turn + owner; }

  typename Platform::template atomic<word> word_{0};
  event_count<Platform> released_;
};

}  // namespace millrace

#endif  // MILLRACE_ROBUST_MUTEX_H_
