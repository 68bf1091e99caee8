// Where a bug is acted out: up to four actors, threads or processes, each of which
// can be made to wait for another, so that a race is run and not waited for.
#ifndef MILLRACE_VERIFY_RACES_ZOO_STAGE_H_
#define MILLRACE_VERIFY_RACES_ZOO_STAGE_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "verify/races/history.h"

namespace millrace::races {

// Where in a ring an actor can be made to halt: see staged.h.
enum class point : std::uint8_t { nowhere, before_message, before_word, after_unlock };

// Shared by the actors and whoever watches them. All accesses are relaxed, or race
// detectors would take the stage's directions for synchronisation of the ring.
class stage {
 public:
  static constexpr unsigned most_actors = 4;
  static constexpr unsigned most_messages = 8;
  using condition = bool (*)(const stage&);

  explicit stage(unsigned actors) noexcept : actors_(actors) {}

  unsigned actors() const noexcept { return actors_; }

  // For an actor itself. `enter` waits for its cue, `leave` is the last that it does.
  void enter(unsigned me, condition cue) noexcept;
  void leave() noexcept;
  void halt_at(point where, condition until) noexcept;
  void note_sent() noexcept;
  void note_received(const arrival& a) noexcept;

  // For conditions.
  bool halted(unsigned actor) const noexcept;
  bool done(unsigned actor) const noexcept;
  bool dead(unsigned actor) const noexcept;
  bool settled(unsigned actor) const noexcept;  // done, or asleep in the kernel

  // For whoever watches.
  bool over() const noexcept;  // everyone is done or dead
  bool hung() const noexcept;  // everyone else sleeps, or waits for what a sleeper should do
  void bury(unsigned actor) noexcept;
  pid_t process(unsigned actor) const noexcept;
  pid_t thread(unsigned actor) const noexcept;
  history notes(unsigned producers) const;  // once it is over or hung; producers come first

  // Called by the platform at each point.
  static void arrive(point where) noexcept {
    if (here != nullptr && here->cast_[me].halts_at == where) here->halt();
  }

 private:
  enum class phase : std::uint32_t { absent, at_a_gate, playing, halted, done, dead };

  struct alignas(128) seat {
    std::atomic<phase> now{phase::absent};
    std::atomic<pid_t> process{0};
    std::atomic<pid_t> thread{0};
    std::atomic<std::uint32_t> sent{0};
    std::atomic<std::uint32_t> received{0};
    std::array<arrival, most_messages> arrivals{};
    std::atomic<condition> gate{nullptr};  // what it waits for at a gate or at its halt
    point halts_at = point::nowhere;       // these two: the actor's own
    condition until = nullptr;
  };

  // What can be seen of an actor. Of one that plays: whether the kernel has it
  // asleep, and how often it went to sleep. Two equal looks: it did nothing between.
  struct look {
    phase now = phase::absent;
    bool asleep = false;
    std::uint64_t times = 0;
    friend bool operator==(const look&, const look&) = default;
  };

  void halt() noexcept;
  void wait_for(condition holds, phase meanwhile) noexcept;
  bool is_stuck(unsigned actor, const look& seen) const noexcept;
  phase of(unsigned a) const noexcept { return cast_[a].now.load(std::memory_order_relaxed); }
  look look_at(unsigned actor) const noexcept;

  static inline thread_local stage* here = nullptr;
  static inline thread_local unsigned me = 0;

  std::array<seat, most_actors> cast_;
  unsigned actors_;
};

// Until the next look at something that is polled.
void pause_a_little() noexcept;

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_STAGE_H_
