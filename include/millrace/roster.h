// Who uses a segment, and who of them has been killed.
#ifndef MILLRACE_ROSTER_H_
#define MILLRACE_ROSTER_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "millrace/platform.h"

namespace millrace {

inline constexpr std::uint32_t max_members = 1u << 12;  // a number fits where algorithms pack one into a word

enum class recovery : std::uint8_t {
  place_taken_over,
  push_undone,
  message_redelivered,
  message_dropped,
  lock_taken_over,
  permit_recount,
};

// How often, since the segment was created. For people: a recovery whose doer was
// killed right after it is not counted.
struct recoveries {
  std::uint64_t places_taken_over = 0;     // of members that were killed, by those who joined
  std::uint64_t pushes_undone = 0;         // slots that one had claimed and not published
  std::uint64_t messages_redelivered = 0;  // that one had claimed and not taken
  std::uint64_t messages_dropped = 0;      // likewise, where the ring drops them
  std::uint64_t locks_taken_over = 0;
  std::uint64_t permit_recounts = 0;
};

// The members of a segment, as its rings see them: a *life word* each, which its
// holder's keeper (keeper.h) writes when it joins and leaves, and which the kernel
// alone marks when the holder's process ends.
//
//   0                 nobody's, and nothing is left to settle
//   alarmed | id      alive; id: the thread of the keeper
//   alarmed | died    dead, and what it held is not settled
//
//  R1 The kernel alone writes `died`, and only for the member itself (keeper.h, K5):
//     whoever is not dead is never taken for it. A timeout proves nothing.
//  R2 The mark comes when the *keeper* ends. Its process has been sent SIGKILL as a
//     whole by then, or has called exit or exec, but another of its threads may run
//     on for some instructions. `Platform::await_end` interrupts every processor,
//     and a thread that returns from an interrupt into a killed process does not
//     get there. So `dead` means: not one more instruction of it will be executed.
//  R3 A place is given to the next member only when all that the dead one held is
//     settled (`settle` of the rings): a number found in a ring never names a later
//     member than the one that wrote it.
//  R4 `deaths` rises after each mark, and then all sleepers are woken. So a try that
//     is refused by what the dead hold finds `deaths` changed, now or when it wakes,
//     and looks who they are. One that is not refused pays nothing.
template <class Platform>
class roster {
  template <class U>
  using atomic = typename Platform::template atomic<U>;

 public:
  static constexpr std::uint32_t alarmed = 0x80000000u;  // FUTEX_WAITERS: the kernel wakes whoever watches
  static constexpr std::uint32_t died = 0x40000000u;     // FUTEX_OWNER_DIED
  static constexpr std::uint32_t id_mask = 0x3fffffffu;  // FUTEX_TID_MASK

  struct life {
    atomic<std::uint32_t> word{0};
    std::uint32_t reserved = 0;  // the kernel's list of words has steps of eight bytes
  };

  static constexpr std::size_t bytes(std::uint32_t members) noexcept {
    return sizeof(control) + members * sizeof(life);
  }

  static void construct(void* at, std::uint32_t members) noexcept {
    auto* const c = std::construct_at(static_cast<control*>(at));
    for (std::uint32_t i = 0; i != members; ++i) std::construct_at(reinterpret_cast<life*>(c + 1) + i);
  }

  roster(void* at, std::uint32_t members) noexcept
      : shared_(static_cast<control*>(at)), lives_(reinterpret_cast<life*>(shared_ + 1)), members_(members) {}

  // Whether member `m` will never do another step (R2). Ask *after* having read (acquire)
  // what it held, and wrote (release): then neither an earlier nor a later member of
  // the same number can be meant (R3).
  bool dead(std::uint32_t m) const noexcept {
    // acquire: pairs with the kernel's mark, behind which is all that it has done.
    if (m >= members_ || (lives_[m].word.load(std::memory_order_acquire) & died) == 0) return false;
    Platform::await_end();
    return true;
  }

  // How many deaths have been reported.
  std::uint32_t deaths() const noexcept {
    return shared_->deaths.load(std::memory_order_acquire);  // pairs with report_death
  }

  // After a mark has been seen, and before the sleepers are woken.
  void report_death() noexcept {
    shared_->deaths.fetch_add(1, std::memory_order_release);  // pairs with deaths
  }

  void count(recovery what) const noexcept {
    // relaxed: nobody acts on it.
    shared_->counts[static_cast<std::size_t>(what)].fetch_add(1, std::memory_order_relaxed);
  }

  recoveries recovered() const noexcept {
    const auto times = [&](recovery what) noexcept {
      return shared_->counts[static_cast<std::size_t>(what)].load(std::memory_order_relaxed);
    };
    return {times(recovery::place_taken_over), times(recovery::push_undone),     times(recovery::message_redelivered),
            times(recovery::message_dropped),  times(recovery::lock_taken_over), times(recovery::permit_recount)};
  }

  std::uint32_t members() const noexcept { return members_; }
  atomic<std::uint32_t>& life_of(std::uint32_t m) const noexcept { return lives_[m].word; }

 private:
  struct control {
    alignas(line_bytes) atomic<std::uint32_t> deaths{0};
    atomic<std::uint64_t> counts[6]{};  // of each `recovery`
  };

  control* shared_;
  life* lives_;
  std::uint32_t members_;  // a private copy
};

// A handle's place in its segment's roster.
template <class Platform>
struct membership {
  roster<Platform> all;
  std::uint32_t me;
};

}  // namespace millrace

#endif  // MILLRACE_ROSTER_H_
