// Who sends and who receives, and whether a side has gone.
#ifndef MILLRACE_ATTENDANCE_H_
#define MILLRACE_ATTENDANCE_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "millrace/platform.h"
#include "millrace/roster.h"

namespace millrace {

enum class side : std::uint8_t { senders, receivers };

// A *role* for each place of a roster, and how often each side has been entered.
//
//  A1 Only the member in a place writes its role; or, after its death, whoever is
//     about to take the place over.
//  A2 A side has *gone* if somebody has been on it, and at some instant nobody alive was.
//     The roles are looked at one by one: who enters behind the look and then sees
//     another off (a shift that changes) has changed the count before, so that
//     the look is taken again.
//  A3 Of those who leave at once, or leave and die, the last one to be heard of finds
//     the side gone: each looks behind a heavy fence that follows its own leaving, or
//     the kernel's mark (a Dekker, on either side with the same fence).
//
// Any members may call everything at once.
template <class Platform>
class attendance {
  template <class U>
  using atomic = typename Platform::template atomic<U>;

 public:
  static std::size_t bytes(std::uint32_t members) noexcept {
    return sizeof(control) + members * sizeof(atomic<std::uint32_t>);
  }

  static void construct(void* at, std::uint32_t members) noexcept {
    auto* const c = std::construct_at(static_cast<control*>(at));
    for (std::uint32_t i = 0; i != members; ++i) {
      std::construct_at(reinterpret_cast<atomic<std::uint32_t>*>(c + 1) + i);
    }
  }

  attendance(void* at, const membership<Platform>& who) noexcept
      : shared_(static_cast<control*>(at)), roles_(reinterpret_cast<atomic<std::uint32_t>*>(shared_ + 1)), who_(who) {}

  void enter(side s) noexcept {
    // relaxed: whoever misses it, or takes us for a dead one before us, sees no count yet, or
    // looks again (A2).
    roles_[who_.me].store(role_of(s), std::memory_order_relaxed);
    entered(s).fetch_add(1, std::memory_order_release);  // pairs with gone
  }

  // For a member that leaves; or for the last one in its place, now dead.
  void leave() noexcept {
    roles_[who_.me].store(nobody, std::memory_order_release);  // pairs with anybody
  }

  // To be asked after each `leave`, and after each death.
  bool gone(side s) noexcept {
    Platform::heavy_fence();  // A3
    for (std::uint32_t looked = 0;;) {
      // acquire: the role of each who is counted (pairs with enter).
      const std::uint32_t count = entered(s).load(std::memory_order_acquire);
      if (count == looked) return count != 0;  // A2
      if (anybody(s)) return false;
      looked = count;
    }
  }

 private:
  static constexpr std::uint32_t nobody = 0;
  static constexpr std::uint32_t role_of(side s) noexcept { return 1 + static_cast<std::uint32_t>(s); }

  struct control {
    alignas(line_bytes) atomic<std::uint32_t> entered[2]{};  // of each side
  };

  atomic<std::uint32_t>& entered(side s) noexcept { return shared_->entered[static_cast<std::size_t>(s)]; }

  bool anybody(side s) noexcept {
    for (std::uint32_t m = 0; m != who_.all.members(); ++m) {
      // acquire: pairs with leave.
      if (roles_[m].load(std::memory_order_acquire) == role_of(s) && !who_.all.dead(m)) return true;
    }
    return false;
  }

  control* shared_;
  atomic<std::uint32_t>* roles_;
  membership<Platform> who_;
};

}  // namespace millrace

#endif  // MILLRACE_ATTENDANCE_H_
