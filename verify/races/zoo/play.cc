#include "verify/races/zoo/play.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include <valgrind/helgrind.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "millrace/futex.h"
#include "millrace/keeper.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/spsc_ring.h"
#include "verify/races/naive_ring.h"
#include "verify/races/zoo/atomic_slots_ring.h"
#include "verify/races/zoo/check_then_act_ring.h"
#include "verify/races/zoo/mortal_ring.h"
#include "verify/races/zoo/no_loop_ring.h"
#include "verify/races/zoo/private_mutex_ring.h"
#include "verify/races/zoo/private_semaphore_ring.h"
#include "verify/races/zoo/relaxed_publish_ring.h"
#include "verify/races/zoo/relaxed_ring.h"
#include "verify/races/zoo/stage.h"
#include "verify/races/zoo/staged.h"
#include "verify/races/zoo/wake_one_ring.h"
#include "verify/races/zoo/wrong_order_ring.h"

namespace millrace::races {
namespace {

constexpr std::uint64_t seed = 1;

// What one actor does. Producers come first in a cast.
struct part {
  enum class role : std::uint8_t { pushes, pops } does;
  unsigned messages;
  stage::condition cue = nullptr;  // none: at once
  point halts = point::nowhere;    // at its first coming there
  stage::condition until = nullptr;
  bool killed = false;  // where it halts
};
using enum part::role;

struct play {
  std::uint64_t capacity;
  std::vector<part> cast;

  unsigned producers() const {
    return static_cast<unsigned>(std::ranges::count_if(cast, [](const part& p) { return p.does == pushes; }));
  }
};

// Where an actor is in the shipped rings' roster.
struct seat {
  void* members;
  std::uint32_t place;
};

// Any ring, behind one face.
struct instrument {
  std::size_t (*bytes)(const geometry&);
  void (*construct)(void* at, const geometry&);
  void (*act)(const part&, unsigned me, void* at, const seat&, const geometry&, stage&);
  void (*alarm)(void* at, const seat&, const geometry&);
};

// Shipped rings say how it went, textbook rings have nothing to say. An actor that
// fails waits for its end: that is a hang, with its reason told.
template <class Call>
void must_succeed(std::string_view what, unsigned me, Call call) {
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
  } else if (const status said = call(); said != status::ok) {
    const std::string_view why = to_string(said);
    std::fprintf(stderr, "actor %u: %.*s says %.*s\n", me, static_cast<int>(what.size()), what.data(),
                 static_cast<int>(why.size()), why.data());
    for (;;) pause();
  }
}

template <class Ring>
Ring sit(void* at, const seat& who, const geometry& g) {
  if constexpr (ring<Ring>) {
    return Ring(at, g, {roster<typename Ring::platform_type>(who.members, g.members), who.place});
  } else {
    return Ring(at, g, who);
  }
}

template <class Ring>
void act(const part& p, unsigned me, void* at, const seat& who, const geometry& g, stage& s) {
  Ring ring = sit<Ring>(at, who, g);
  for (unsigned i = 0; i != p.messages; ++i) {
    if (p.does == pushes) {
      const parcel m = pack(me, i, seed);
      must_succeed("push", me, [&] { return ring.push(m); });
      s.note_sent();
    } else {
      parcel m;
      must_succeed("pop", me, [&] { return ring.pop(m); });
      arrival a{arrival::nobody, 0};
      if (intact(m, seed)) a = {static_cast<std::uint32_t>(m.producer), static_cast<std::uint32_t>(m.sequence)};
      s.note_received(a);
    }
  }
}

// Textbook rings have nobody to wake for the dead.
template <class Ring>
void alarm(void* at, const seat& who, const geometry& g) {
  if constexpr (ring<Ring>) sit<Ring>(at, who, g).alarm();
}

template <template <class, class> class Ring>
constexpr instrument played_on{Ring<parcel, staged>::bytes, Ring<parcel, staged>::construct, act<Ring<parcel, staged>>,
                               alarm<Ring<parcel, staged>>};

// Two producers; the first knows where to write (or holds the lock), and goes on
// when the second is done (or asleep).
play two_producers() {
  return {4,
          {{.does = pushes,
            .messages = 1,
            .halts = point::before_message,
            .until = [](const stage& s) { return s.settled(1); }},
           {.does = pushes, .messages = 1, .cue = [](const stage& s) { return s.halted(0); }},
           {.does = pops, .messages = 2, .cue = [](const stage& s) { return s.done(0) && s.done(1); }}}};
}

// The same, where slots are words.
play two_producers_of_words() {
  play p = two_producers();
  p.cast[0].halts = point::before_word;
  return p;
}

play one_to_one() { return {4, {{.does = pushes, .messages = 3}, {.does = pops, .messages = 3}}}; }

// The consumer is there first.
play waiting_for_a_message() {
  return {4,
          {{.does = pushes, .messages = 1, .cue = [](const stage& s) { return s.settled(1); }},
           {.does = pops, .messages = 1}}};
}

play waiting_for_room() {
  return {1, {{.does = pushes, .messages = 2}, {.does = pops, .messages = 2, .cue = [](const stage& s) {
                                                  return s.settled(0);
                                                }}}};
}

// Two consumers wait, and one message comes; the second one when all is quiet.
play two_wait_for_one_message() {
  const auto one_is_served = [](const stage& s) { return s.settled(2) && s.settled(3) && (s.done(2) || s.done(3)); };
  return {1,
          {{.does = pushes, .messages = 1, .cue = [](const stage& s) { return s.settled(2) && s.settled(3); }},
           {.does = pushes, .messages = 1, .cue = one_is_served},
           {.does = pops, .messages = 1},
           {.does = pops, .messages = 1}}};
}

// The first producer has looked, or is done; then comes the second one, for the same slot.
play one_slot_for_two() {
  return {1,
          {{.does = pushes,
            .messages = 1,
            .halts = point::after_unlock,
            .until = [](const stage& s) { return s.settled(1); }},
           {.does = pushes, .messages = 1, .cue = [](const stage& s) { return s.halted(0); }},
           {.does = pops, .messages = 2, .cue = [](const stage& s) { return s.settled(0) && s.settled(1); }}}};
}

// The first slot is claimed, the second published; two consumers find nothing.
play published_out_of_order() {
  return {2,
          {{.does = pushes,
            .messages = 1,
            .halts = point::before_message,
            .until = [](const stage& s) { return s.done(1) && s.settled(2) && s.settled(3); }},
           {.does = pushes, .messages = 1, .cue = [](const stage& s) { return s.halted(0); }},
           {.does = pops, .messages = 1, .cue = [](const stage& s) { return s.done(1); }},
           {.does = pops, .messages = 1, .cue = [](const stage& s) { return s.done(1); }}}};
}

play killed_in_mid_push() {
  return {1,
          {{.does = pushes,
            .messages = 1,
            .halts = point::before_message,
            .until = [](const stage&) { return false; },
            .killed = true},
           {.does = pushes, .messages = 1, .cue = [](const stage& s) { return s.dead(0); }},
           {.does = pops, .messages = 1, .cue = [](const stage& s) { return s.dead(0); }}}};
}

struct programme {
  std::string_view name;
  play (*acted)();
  instrument wrong;
  instrument repaired;
};

constexpr programme programmes[] = {
    {"naive", two_producers, played_on<naive_ring>, played_on<mutex_ring>},
    {"volatile", two_producers, played_on<volatile_ring>, played_on<mutex_ring>},
    {"seq_cst", two_producers, played_on<seq_cst_ring>, played_on<mpmc_ring>},
    {"atomic_slots", two_producers_of_words, played_on<atomic_slots_ring>, played_on<mpmc_ring>},
    {"relaxed", one_to_one, played_on<relaxed_ring>, played_on<spsc_ring>},
    {"private_mutex", two_producers, played_on<private_mutex_ring>, played_on<mutex_ring>},
    {"private_semaphore", waiting_for_a_message, played_on<private_semaphore_ring>, played_on<semaphore_ring>},
    {"wrong_order", waiting_for_room, played_on<wrong_order_ring>, played_on<semaphore_ring>},
    {"no_loop", two_wait_for_one_message, played_on<no_loop_ring>, played_on<mutex_ring>},
    {"check_then_act", one_slot_for_two, played_on<check_then_act_ring>, played_on<mutex_ring>},
    {"relaxed_publish", one_to_one, played_on<relaxed_publish_ring>, played_on<mpmc_ring>},
    {"wake_one", published_out_of_order, played_on<wake_one_ring>, played_on<mpmc_ring>},
    {"mortal", killed_in_mid_push, played_on<mortal_ring>, played_on<mutex_ring>},
};

const programme& find(std::string_view name) {
  const auto* const found = std::ranges::find(programmes, name, &programme::name);
  if (found == std::end(programmes)) {
    std::fprintf(stderr, "zoo: no bug is called '%.*s'; see bazel run //verify/races:zoo\n",
                 static_cast<int>(name.size()), name.data());
    std::_Exit(2);
  }
  return *found;
}

// A page or two for the stage, the rest for the ring; inherited by fork.
class theatre {
 public:
  theatre(const play& p, const instrument& i) : geometry_{p.capacity, static_cast<std::uint32_t>(p.cast.size())} {
    void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED || i.bytes(geometry_) > bytes - ring_at) {
      std::fprintf(stderr, "zoo: no room for a ring of %zu bytes\n", i.bytes(geometry_));
      std::_Exit(2);
    }
    base_ = static_cast<std::byte*>(base);
    // Forked actors inherit it. Without it a shipped ring may lose a wake-up.
    if (const auto joined = join_barriers(); !joined) {
      std::fprintf(stderr, "zoo: %s\n", joined.error().message.c_str());
      std::_Exit(2);
    }
    // Not the ring's: Helgrind, which knows no atomics, need not tell us about it.
    VALGRIND_HG_DISABLE_CHECKING(base_, ring_at);
    std::construct_at(reinterpret_cast<stage*>(base_), static_cast<unsigned>(p.cast.size()));
    roster<native>::construct(base_ + roster_at, geometry_.members);
    keeper::construct(base_ + roster_at, geometry_.members);
    i.construct(ring(), geometry_);
  }
  theatre(const theatre&) = delete;
  theatre& operator=(const theatre&) = delete;

  stage& show() const { return *reinterpret_cast<stage*>(base_); }
  void* ring() const { return base_ + ring_at; }
  void* roster_memory() const { return base_ + roster_at; }
  seat as(std::uint32_t place) const { return {roster_memory(), place}; }
  const geometry& shape() const { return geometry_; }

 private:
  static constexpr std::size_t roster_at = 4096;
  static constexpr std::size_t ring_at = 8192;
  static constexpr std::size_t bytes = 65536;
  static_assert(sizeof(stage) <= roster_at);

  std::byte* base_;  // unmapped with the process: threads may hang in it
  geometry geometry_;
};

// Actors that are processes have keepers, so that the shipped rings hear of deaths.
std::unique_ptr<keeper> join(const instrument& i, const theatre& t, std::uint32_t& place) {
  auto made = keeper::start(t.roster_memory(), t.shape().members,
                            {.alarm = [&] { i.alarm(t.ring(), t.as(0), t.shape()); }, .settle = [](std::uint32_t) {}},
                            "the zoo's stage");
  const auto joined = made ? (*made)->join() : std::nullopt;
  if (!joined) {
    std::fprintf(stderr, "zoo: %s\n", made ? "no place is left" : made.error().message.c_str());
    std::_Exit(2);
  }
  place = *joined;
  return *std::move(made);
}

void play_part(const play& p, const instrument& i, unsigned me, const theatre& t, actors who) {
  const part& mine = p.cast[me];
  std::uint32_t place = me;
  const std::unique_ptr<keeper> kept = who == actors::processes ? join(i, t, place) : nullptr;
  t.show().enter(me, mine.cue);
  t.show().halt_at(mine.halts, mine.until);
  i.act(mine, me, t.ring(), t.as(place), t.shape(), t.show());
  t.show().leave();
}

// Kills the actor that is to die once it has halted. True when nobody is left to kill.
bool kill_if_due(const play& p, stage& s, actors who) {
  for (unsigned a = 0; a != p.cast.size(); ++a) {
    if (!p.cast[a].killed || s.dead(a)) continue;
    if (!s.halted(a)) return false;
    // A signal that kills has no thread: this ends all of a process, ours included.
    if (who == actors::threads) syscall(SYS_tgkill, s.process(a), s.thread(a), SIGKILL);
    kill(s.process(a), SIGKILL);
    waitpid(s.process(a), nullptr, 0);
    s.bury(a);
  }
  return true;
}

performance watch(const play& p, stage& s, actors who) {
  const auto patience = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (std::chrono::steady_clock::now() < patience) {
    const bool all_are_killed = kill_if_due(p, s, who);
    if (s.over()) {
      const damage found = judge(s.notes(p.producers()));
      return {found.any() ? fate::damaged : fate::fine, found};
    }
    if (all_are_killed && s.hung()) return {fate::hung, {}};
    pause_a_little();
  }
  return {fate::stuck, {}};
}

performance by_threads(const play& p, const instrument& i, theatre& t) {
  std::vector<std::thread> threads;
  for (unsigned me = 0; me != p.cast.size(); ++me)
    threads.emplace_back(play_part, p, i, me, std::cref(t), actors::threads);
  const performance seen = watch(p, t.show(), actors::threads);
  for (std::thread& each : threads) {
    if (seen.what == fate::fine || seen.what == fate::damaged) {
      each.join();
    } else {
      each.detach();
    }
  }
  return seen;
}

performance by_processes(const play& p, const instrument& i, theatre& t) {
  std::vector<pid_t> children;
  const pid_t parent = getpid();
  for (unsigned me = 0; me != p.cast.size(); ++me) {
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() == parent) play_part(p, i, me, t, actors::processes);
      _exit(0);
    }
    if (child < 0) {
      std::fprintf(stderr, "zoo: cannot fork\n");
      break;
    }
    children.push_back(child);
  }
  const bool complete = children.size() == p.cast.size();
  const performance seen = complete ? watch(p, t.show(), actors::processes) : performance{};
  for (unsigned a = 0; a != children.size(); ++a) {
    if (t.show().dead(a)) continue;
    kill(children[a], SIGKILL);
    waitpid(children[a], nullptr, 0);
  }
  return seen;
}

}  // namespace

performance perform(std::string_view name, ring_kind which, actors who) {
  const programme& chosen = find(name);
  const play p = chosen.acted();
  const instrument& i = which == ring_kind::wrong ? chosen.wrong : chosen.repaired;
  theatre t(p, i);
  return who == actors::threads ? by_threads(p, i, t) : by_processes(p, i, t);
}

std::string to_string(const performance& p) {
  switch (p.what) {
    case fate::fine:
      return "fine";
    case fate::damaged:
      return "damaged: " + std::to_string(p.found.lost) + " lost, " + std::to_string(p.found.duplicated) +
             " duplicated, " + std::to_string(p.found.torn) + " torn, " + std::to_string(p.found.reordered) +
             " reordered";
    case fate::hung:
      return "hung: all who are left sleep, and nobody is there to wake them";
    case fate::stuck:
      break;
  }
  return "stuck: no end within a minute";
}

}  // namespace millrace::races
