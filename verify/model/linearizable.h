// Is there one order in which these calls, each at an instant, make a bounded queue?
#ifndef MILLRACE_VERIFY_MODEL_LINEARIZABLE_H_
#define MILLRACE_VERIFY_MODEL_LINEARIZABLE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "millrace/status.h"

namespace verify {

enum class action : std::uint8_t { push, pop, close };

// One call that a thread made, or was killed in.
struct call {
  static constexpr std::size_t most_messages = 3;
  static constexpr std::size_t most_threads = 8;

  action what;
  unsigned thread;
  bool returned = false;  // else its thread died in it
  std::size_t asked = 0;  // messages, of a push or pop
  // Of a call in which its thread died: whether it happened nevertheless. `nothing` also
  // of a push that returned, and had been withdrawn: it may have kept a place.
  enum class fate : std::uint8_t { unknown, happened, nothing } fate = fate::unknown;
  millrace::status said = millrace::status::ok;
  // Pushed: those that went in (of a call that did not return: all that it had).
  std::array<std::uint64_t, most_messages> ids{};
  std::size_t count = 0;

  // When, in the order in which the checker ran the steps of all threads.
  std::uint64_t began = 0;
  std::uint64_t ended = 0;
  // How far each thread was known to the caller when it began, and how far the
  // caller itself had come when it ended: vector clocks.
  std::array<std::uint64_t, most_threads> knew{};
  std::uint64_t reached = 0;
  // Likewise: the caller itself when it began, and each thread when it ended.
  std::uint64_t started = 0;
  std::array<std::uint64_t, most_threads> learned{};
};

// What a ring promises of the order of its calls, and of a try that fails.
struct promise {
  // real_time: a call that returned before another began comes before it
  // (linearizability: Herlihy and Wing, 1990). causal: if it also happens before
  // it in the sense of C++ (causal linearizability: Doherty, Dongol, Wehrheim
  // and Derrick, 2018): a store that is still on its way may be missed.
  enum class order { real_time, causal } order;
  // exact: full means full, empty means empty. each_alone: so does every failed
  // try by itself, but two threads' failed tries may not fit into one order.
  // overlapping: or a call of another thread was under way.
  enum class failure { exact, each_alone, overlapping } failure;
  bool drops = false;  // what a killed popper had in its hands; else it is redelivered
};

// Where callers were killed: a push that did not happen may hold a place until pops
// come to it; a pop that did not happen may have kept a message in its hands, which
// then leaves by a pop that says `redelivered`, out of turn, and before any that says `closed`.

// Searches for an order of the calls, consistent with `p`, in which each does to
// a FIFO queue of `capacity` that holds `before` what it says it did, and which
// leaves `left` in it. `busy` is allowed beside an overlapping call, `timed_out`
// always. A batch that stops short, without such a call, has left the queue full (empty). Calls of a thread are given
// in its order; at most 31.
bool linearizable(std::span<const call> calls, std::span<const std::uint64_t> before,
                  std::span<const std::uint64_t> left, std::size_t capacity, promise p);

// Who waits at a rendezvous for ever, and what was passed to the dead.
struct waiting {
  std::span<const std::uint64_t> offers{};  // the one that has waited longest is the first
  std::size_t asks = 0;
  std::span<const std::uint64_t> in_dead_hands{};
};

// The same for a queue of no capacity. A push and a pop of the same message, or of one that
// waits, have *met*: both happen at one instant, and each returns behind the other's
// beginning (concurrency-aware linearizability: Hemed, Rinetzky and Vafeiadis, 2015). `full`
// and `empty` say that nobody is left who waits for ever; such are met before any other, in
// their turn. A pop that asks for none and says `empty` is the end of a batch: it may be told
// so of a lock that is taken, too, or of a close. Each other call is of one message, but for those in which their
// thread died, of which as many may have been met as it had.
bool meetings(std::span<const call> calls, const waiting& before, const waiting& after, promise p);

// A line a call and one for what is left, for a person, cut to fit. No allocation:
// Relacy's are not the library's.
void describe(std::span<const call> calls, std::span<const std::uint64_t> left, std::span<char> text);

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_LINEARIZABLE_H_
