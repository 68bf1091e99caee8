// Keeps a process's places in a segment's roster, and hears of the others' deaths.
#ifndef MILLRACE_KEEPER_H_
#define MILLRACE_KEEPER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "millrace/platform.h"
#include "millrace/process.h"
#include "millrace/result.h"
#include "millrace/roster.h"

namespace millrace {

// Somebody who has, or had, a place.
struct member {
  std::uint32_t place = 0;
  process_identity process;
  bool dead = false;
};

// One a process and segment: a thread that sleeps, with all signals but SIGBUS
// blocked, for as long as the process has handles there.
//
//   segment   [ roster: control | life word x members | claim, 7 bells x members | ... ]
//
//  K1 The life words of this process's handles hold the thread's number, and are in
//     its *robust list* (set_robust_list(2); Molnar, 2006): however the process
//     ends, the kernel marks them and wakes one who watches each. The list runs
//     through memory of this process alone: a peer that scribbles over the segment
//     can misdirect nothing. Another process that inherits or copies the words has
//     no such list: a child of fork is nobody until it attaches.
//  K2 The kernel wakes one watcher a word, and that one may be stopped before it does
//     anything. So there are seven more words a member, its *bells*, marked in the
//     same way. Each watcher listens to one of the eight, the one with the fewest
//     others, and wakes all sleepers of all processes: seven that are stopped keep
//     nobody from hearing. A watcher that dies, too, is watched by others, who look
//     at everybody.
//  K3 A joiner makes the others look anew before its handle can do anything: nobody
//     who holds something is unwatched.
//  K4 Whoever is woken, and finds a mark that it has not seen, says so in the roster
//     and wakes all sleepers of the ring (roster R4).
//  K5 A place is taken and given back by its *claim*, a word that is marked, too. The
//     kernel is told of the claim before it is made: of two who want it, the loser
//     may be killed before it has taken that back, and if it has the number of the
//     winner, in another PID namespace, the kernel marks the claim of a living
//     member. So nobody's death is read from a claim; a life word is told of only
//     by whoever has the claim, and a marked claim is taken only where no life is.
//
// Needs Linux 5.16 (futex_waitv). A keeper watches 120 members; where there are
// more, those that come next behind its own place, so that each is watched by the
// 120 before it.
class keeper {
 public:
  // What it does to the ring, on its own thread: see the ring concept.
  struct ring {
    std::function<void()> alarm;
    std::function<void(std::uint32_t)> settle;  // for the place
  };

  // Of the part behind the roster. `at` is the roster's place.
  static std::size_t bytes(std::uint32_t members) noexcept;
  static void construct(void* at, std::uint32_t members) noexcept;

  // Starts the thread. `at`: of a roster<native> with what `construct` made behind it;
  // `object` names the segment in errors.
  static result<std::unique_ptr<keeper>> start(void* at, std::uint32_t members, ring of, const std::string& object);

  // Gives up all places and ends the thread. In a child of fork, whose keeper this is
  // not, it does nothing.
  ~keeper();

  // A place: a free one, or a dead member's, settled. Nothing if there is none, or this process
  // has `most_places`.
  std::optional<std::uint32_t> join();

  // That this process has in the segment, and can have: of a longer list the kernel would not mark all.
  std::size_t places() const;
  static const std::size_t most_places;

  // Its member must hold nothing in the ring.
  void leave(std::uint32_t place) noexcept;

  // Whether it is this process's, and not its parent's.
  bool mine() const noexcept;

 private:
  struct state;

  explicit keeper(std::unique_ptr<state> s) noexcept;

  std::unique_ptr<state> state_;
};

// All who are in the roster now.
std::vector<member> list_members(void* at, std::uint32_t members);

}  // namespace millrace

#endif  // MILLRACE_KEEPER_H_
