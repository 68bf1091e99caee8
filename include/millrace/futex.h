// Process-shared waiting, and a memory barrier on behalf of others.
#ifndef MILLRACE_FUTEX_H_
#define MILLRACE_FUTEX_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>

#include "millrace/deadline.h"
#include "millrace/result.h"

namespace millrace {

enum class wait_result : std::uint8_t {
  woken,      // by a wake, or for no reason: look again
  changed,    // the word no longer held `expected`: never slept
  timed_out,  // the deadline has passed, whatever else happened
};

// For how long a waiter sleeps at most before it looks again. Who would wake it
// cannot where the word's page has been cut off from its file (truncation.h).
inline constexpr std::chrono::seconds longest_sleep{10};

// Blocks while `word` holds `expected`, until a wake, the deadline, or the end of
// the longest sleep. `word` may be mapped at different addresses in different
// processes: the kernel knows it by the page behind it. Not a synchronising
// operation: a woken caller has to read, with acquire, what it waited for. A waiter
// that is killed leaves nothing behind. (Drepper, Futexes Are Tricky, 2004/2011.)
wait_result futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, deadline until) noexcept;

// A word, and what it held when it was last looked at.
struct awaited {
  const std::atomic<std::uint32_t>* word;
  std::uint32_t expected;
};

inline constexpr std::size_t most_awaited = 128;  // FUTEX_WAITV_MAX

// The same on up to most_awaited words at once, of whichever segments: blocks while each
// holds what is expected of it, until a wake on any (futex_waitv(2), Linux 5.16).
wait_result futex_wait_any(std::span<const awaited> words, deadline until) noexcept;

// Wakes every waiter on `word`, in every process; returns how many.
int futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept;

// The two halves of an asymmetric Dekker: of two threads, one that stores A, has
// the compiler keep the order, and loads B, and one that stores B, calls
// `barrier_in_all_processes` and loads A, at least one sees the other's store.
// The call makes every running thread of every process that called
// `join_barriers` execute a full barrier (membarrier(2), global expedited; Linux
// 4.16). It costs the caller some microseconds and the others an interrupt.
void barrier_in_all_processes() noexcept;

// Must have succeeded in a process before it uses a ring: until then other
// processes' barriers pass it by. Survives fork, not exec; cheap to repeat.
result<done> join_barriers();

}  // namespace millrace

#endif  // MILLRACE_FUTEX_H_
