#include "millrace/robust_mutex.h"

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <climits>
#include <ctime>

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif

namespace millrace {
namespace {

lock_result from_errno(int e) noexcept {
  switch (e) {
    case 0:
      return lock_result::locked;
    case EOWNERDEAD:
      return lock_result::owner_died;
    case EBUSY:
    case ETIMEDOUT:
    case EAGAIN:
      return lock_result::timed_out;
    default:  // ENOTRECOVERABLE, or EINVAL from a scribbled word
      return lock_result::unrecoverable;
  }
}

}  // namespace

robust_mutex::robust_mutex() noexcept {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&mutex_, &attributes);
  pthread_mutexattr_destroy(&attributes);
}

lock_result robust_mutex::try_lock() noexcept {
  const int e = pthread_mutex_trylock(&mutex_);
  if (e == ENOTRECOVERABLE) {
    // glibc 2.36 keeps the lock that it then refuses to hand out, and every
    // later locker would sleep for ever. Unlock as it does elsewhere; where the
    // word does not name this thread, another glibc has done so.
    const std::atomic_ref<int> word(mutex_.__data.__lock);
    if ((word.load(std::memory_order_relaxed) & FUTEX_TID_MASK) == ::gettid()) {
      word.store(0, std::memory_order_release);
      ::syscall(SYS_futex, &mutex_.__data.__lock, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
    }
  }
  return from_errno(e);
}

lock_result robust_mutex::lock_until(deadline until) noexcept {
  if (until.is_never()) return from_errno(pthread_mutex_lock(&mutex_));
#if defined(__SANITIZE_THREAD__)
  // ThreadSanitizer knows trylock but not clocklock, and would take the timed
  // lock for none at all.
  lock_result got = try_lock();
  while (got == lock_result::timed_out && deadline::clock::now() < until.when()) {
    sched_yield();
    got = try_lock();
  }
  return got;
#else
  const timespec at = until.to_timespec();
  return from_errno(pthread_mutex_clocklock(&mutex_, CLOCK_MONOTONIC, &at));
#endif
}

void robust_mutex::make_consistent() noexcept { pthread_mutex_consistent(&mutex_); }

void robust_mutex::unlock() noexcept { pthread_mutex_unlock(&mutex_); }

}  // namespace millrace
