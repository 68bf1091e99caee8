// One cell of the kill matrix: an operation on a ring in a state, struck at any point.
#ifndef MILLRACE_VERIFY_CRASH_CELL_H_
#define MILLRACE_VERIFY_CRASH_CELL_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "verify/crash/actor.h"
#include "verify/crash/rings.h"
#include "verify/crash/tracer.h"

namespace millrace::crash {

inline constexpr std::uint64_t capacity = 4;
inline constexpr std::uint32_t batch = 3;

enum class state : std::uint8_t {
  empty,
  one,      // holds one message
  full,     // holds as many as it can
  wrapped,  // its messages lie across the end of its slots
  run,      // likewise, by the victim's hands: it was the last to push and the last to pop
};
inline constexpr std::array<std::string_view, 5> state_names{"empty", "one", "full", "wrapped", "run"};

// Who sleeps at the ring while the victim works, and has to go on.
enum class sleeper : std::uint8_t { none, popper, pusher };

struct operation {
  std::string_view name;
  verb what;
  std::uint32_t count = 1;
  bool sleeper = false;        // one that waits for what the operation brings about
  std::optional<verb> dead{};  // another was killed in this before: the victim recovers
  bool sysv = false;           // creates a System V segment, not a POSIX one
  bool by_keeper = false;      // the thread that is struck is the victim's keeper

  bool creates() const { return what == verb::create; }
};

std::span<const operation> operations();

enum class blow : std::uint8_t { kill, stop };

struct cell {
  const ring_type* ring;
  const operation* what;
  state from;
  blow how;
};

// Whether there is such a thing: no popper sleeps at a full ring.
bool possible(const cell& c);

// The operation as it goes when nobody strikes, and, if another was killed in
// his, after which of that one's steps.
struct act {
  std::uint32_t before = 0;
  trace what;
};

struct play {
  trace first;            // of whom was killed before
  std::vector<act> acts;  // one, if there was no such one
};

struct strike_point {
  std::uint32_t before = 0;  // of the act
  kill_point at;

  std::string name() const;  // "57"; "57s", asleep; "12/57", after another was killed at 12
};

// Nothing if `text` is no name of a point.
std::optional<strike_point> read_point(std::string_view text);

struct finding {
  std::string wrong;       // what; empty: nothing is
  bool elsewhere = false;  // the operation took another way than when it was recorded
};

play rehearse(const cell& c, const std::function<void()>& alive);

// Where to strike, so that every instruction is shown: before each that others can
// see, the first eight times that it comes and the last; after the last one; and wherever the
// operation sleeps. What is struck between two of these leaves to the others what it
// would leave at the second one.
std::vector<kill_point> points(const trace& t, blow how);

// Before each, whether others can see it or not; and as above where it sleeps.
std::vector<kill_point> all_points(const trace& t);

// Strikes there, lets the survivors go on, and settles the accounts: of one that is killed
// twice, as whoever comes afterwards has a place of its own or takes that of the dead. What has not
// happened after `patience` never will.
finding strike(const cell& c, const play& p, const act& a, const kill_point& point, std::chrono::milliseconds patience);

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_CELL_H_
