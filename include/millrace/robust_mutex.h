// A mutex for several processes whose owner may be killed.
#ifndef MILLRACE_ROBUST_MUTEX_H_
#define MILLRACE_ROBUST_MUTEX_H_

#include <pthread.h>

#include <cstdint>

#include "millrace/deadline.h"

namespace millrace {

enum class lock_result : std::uint8_t {
  locked,
  owner_died,     // locked, and the last owner died holding it: see robust_mutex
  timed_out,      // not locked (try_lock: somebody holds it)
  unrecoverable,  // not locked, and never will be again
};

// A pthread mutex, process-shared and robust: when the thread or process that
// holds it dies, the kernel wakes the next locker and tells it so. That locker
// holds the mutex; it must repair what the mutex guards and call
// `make_consistent` *before* it unlocks, or everybody gets `unrecoverable` from
// then on. A repairer that is killed hands `owner_died` to the next in turn.
//
// It lives in the shared memory itself, constructed once by whoever initialises
// the segment and never destroyed: the memory just goes. Not recursive; unlock
// from the thread that locked. A holder that is merely stopped keeps it.
//
// Fields are written by glibc and, at an owner's death, by the kernel.
class robust_mutex {
 public:
  robust_mutex() noexcept;
  robust_mutex(const robust_mutex&) = delete;
  robust_mutex& operator=(const robust_mutex&) = delete;

  // Never blocks; `timed_out` means that somebody holds it.
  lock_result try_lock() noexcept;

  // Blocks until the mutex is free, its owner dies, or the deadline passes.
  lock_result lock_until(deadline until) noexcept;

  void make_consistent() noexcept;
  void unlock() noexcept;

 private:
  pthread_mutex_t mutex_;
};

}  // namespace millrace

#endif  // MILLRACE_ROBUST_MUTEX_H_
