#include "millrace/futex.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <string>

namespace millrace {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && std::atomic<std::uint32_t>::is_always_lock_free,
              "the kernel has to see the same 32 bits");
static_assert(most_awaited == FUTEX_WAITV_MAX);

timespec awake_by(deadline until) noexcept {
  return deadline::at(std::min(until.when(), deadline::clock::now() + longest_sleep)).to_timespec();
}

// `why`: of the system call, 0 if it has succeeded.
wait_result ended(int why, deadline until) noexcept {
  // Asked also where a word had changed: someone may keep changing it, and wake us.
  if (deadline::clock::now() >= until.when()) return wait_result::timed_out;
  // EINTR: a signal handler ran. ETIMEDOUT: the longest sleep is over. EFAULT: a page is gone.
  return why == EAGAIN ? wait_result::changed : wait_result::woken;
}

}  // namespace

wait_result futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, deadline until) noexcept {
  // WAIT_BITSET, unlike WAIT, takes an absolute time; no PRIVATE flag, as the
  // waker may be in another process.
  const timespec at = awake_by(until);
  const long rc = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, &at, nullptr, FUTEX_BITSET_MATCH_ANY);
  return ended(rc == 0 ? 0 : errno, until);
}

wait_result futex_wait_any(std::span<const awaited> words, deadline until) noexcept {
  std::array<futex_waitv, FUTEX_WAITV_MAX> waiters;
  std::transform(words.begin(), words.end(), waiters.begin(), [](const awaited& w) noexcept {
    return futex_waitv{w.expected, reinterpret_cast<std::uintptr_t>(w.word), FUTEX_32, 0};
  });
  const timespec at = awake_by(until);
  // It takes the kernel's own timespec, which is this one on 64-bit machines.
  const long rc = ::syscall(SYS_futex_waitv, waiters.data(), words.size(), 0, &at, CLOCK_MONOTONIC);
  return ended(rc >= 0 ? 0 : errno, until);
}

int futex_wake_all(const std::atomic<std::uint32_t>& word) noexcept {
  const long woken = ::syscall(SYS_futex, &word, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
  return woken > 0 ? static_cast<int>(woken) : 0;
}

void barrier_in_all_processes() noexcept {
  // Cannot fail once join_barriers has succeeded in this process.
  ::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL_EXPEDITED, 0, 0);
}

result<done> join_barriers() {
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED, 0, 0) == 0) return done{};
  const int e = errno;
  return error{errc::system, e, "membarrier",
               std::string("membarrier(REGISTER_GLOBAL_EXPEDITED) is refused (") + std::strerror(e) +
                   "): sleeping on a ring needs Linux 4.16 or later and a seccomp filter that lets membarrier pass"};
}

}  // namespace millrace
