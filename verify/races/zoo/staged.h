// The machine, with a stage under it: `native` and the POSIX primitives, halting
// an actor where its play says so. At a halt nothing happens that the scheduler
// could not do by itself; it happens every time, not once in a million.
#ifndef MILLRACE_VERIFY_RACES_ZOO_STAGED_H_
#define MILLRACE_VERIFY_RACES_ZOO_STAGED_H_

#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include "millrace/platform.h"
#include "verify/races/history.h"
#include "verify/races/zoo/seam.h"
#include "verify/races/zoo/stage.h"

namespace millrace::races {

struct staged : native {
  template <class T>
  struct atomic : std::atomic<T> {
    using std::atomic<T>::atomic;

    void store(T value, std::memory_order order) noexcept {
      if constexpr (sizeof(T) == sizeof(std::uint64_t)) stage::arrive(point::before_word);
      std::atomic<T>::store(value, order);
    }
  };

  template <message T>
  struct plain : native::plain<T> {
    void write(const T& in) noexcept {
      if constexpr (std::is_same_v<T, parcel>) stage::arrive(point::before_message);
      native::plain<T>::write(in);
    }
  };

  // Shipped rings notify right behind their unlocking.
  static void light_fence() noexcept {
    native::light_fence();
    stage::arrive(point::after_unlock);
  }

  class posix_mutex {
   public:
    explicit posix_mutex(sharing who) noexcept {
      pthread_mutexattr_t attributes;
      pthread_mutexattr_init(&attributes);
      if (who == sharing::between_processes) pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
      pthread_mutex_init(&mutex_, &attributes);
      pthread_mutexattr_destroy(&attributes);
    }
    void lock() noexcept { pthread_mutex_lock(&mutex_); }
    void unlock() noexcept {
      pthread_mutex_unlock(&mutex_);
      stage::arrive(point::after_unlock);
    }

   private:
    friend struct staged;
    pthread_mutex_t mutex_;
  };

  class posix_semaphore {
   public:
    posix_semaphore(std::uint32_t count, sharing who) noexcept {
      sem_init(&semaphore_, who == sharing::between_processes ? 1 : 0, count);
    }
    void wait() noexcept {
      while (sem_wait(&semaphore_) != 0 && errno == EINTR) {
      }
    }
    void post() noexcept { sem_post(&semaphore_); }

   private:
    sem_t semaphore_;
  };

  class posix_condition {
   public:
    posix_condition() noexcept {
      pthread_condattr_t attributes;
      pthread_condattr_init(&attributes);
      pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
      pthread_cond_init(&condition_, &attributes);
      pthread_condattr_destroy(&attributes);
    }
    void wait(posix_mutex& m) noexcept { pthread_cond_wait(&condition_, &m.mutex_); }
    void broadcast() noexcept { pthread_cond_broadcast(&condition_); }

   private:
    pthread_cond_t condition_;
  };

  static void wake_one(const atomic<std::uint32_t>& word) noexcept {
    syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  }
};

static_assert(platform<staged>);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_ZOO_STAGED_H_
