#include "millrace/futex.h"

#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <string>

namespace millrace {
namespace {

static_assert(sizeof(std::atomic<std::uint32_t>) == 4 && std::atomic<std::uint32_t>::is_always_lock_free,
              "the kernel has to see the same 32 bits");

}  // namespace

wait_result futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, deadline until) noexcept {
  // WAIT_BITSET, unlike WAIT, takes an absolute time; no PRIVATE flag, as the
  // waker may be in another process.
  const timespec at = deadline::at(std::min(until.when(), deadline::clock::now() + longest_sleep)).to_timespec();
  const long rc = ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET, expected, &at, nullptr, FUTEX_BITSET_MATCH_ANY);
  const int why = rc == 0 ? 0 : errno;
  // Asked also where the word had changed: someone may keep changing it, and wake us.
  if (deadline::clock::now() >= until.when()) return wait_result::timed_out;
  // EINTR: a signal handler ran. ETIMEDOUT: the longest sleep is over. EFAULT: the page is gone.
  return why == EAGAIN ? wait_result::changed : wait_result::woken;
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
