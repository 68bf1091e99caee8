// What pthread and sem_t do, for the model checker.
//
// Each is built of futex waits and wakes, as glibc's are, and is as weak as POSIX
// lets it be: waits may end for no reason, a wake-up hands over no order, and
// whoever is woken competes with everybody else.
//
// Each thread of a model stands for a *process*, as there is nothing between
// processes to model else. So a wake that is private to a process reaches nobody:
// that, and nothing more, is what `sharing` changes.
#ifndef MILLRACE_VERIFY_RACES_ZOO_POSIX_MODEL_H_
#define MILLRACE_VERIFY_RACES_ZOO_POSIX_MODEL_H_

#include "verify/races/zoo/seam.h"
// Relacy's names come last.
#include "verify/relacy_platform.h"

namespace verify {

using millrace::races::sharing;

struct posix_model : relacy_platform {
  class word {
   public:
    word(std::uint32_t value, sharing who) noexcept : value_(value), who_(who) {}

    // One atomic step, if it is possible now.
    bool exchange_if(std::uint32_t from, std::uint32_t to, site s) noexcept {
      return value_.compare_exchange_strong(from, to, std::memory_order_acquire, std::memory_order_relaxed, s);
    }
    std::uint32_t load(site s) const noexcept { return value_.load(std::memory_order_relaxed, s); }
    void add(std::uint32_t n, site s) noexcept { value_.fetch_add(n, std::memory_order_release, s); }
    void store(std::uint32_t v, site s) noexcept { value_.store(v, std::memory_order_release, s); }
    void sleep_while(std::uint32_t v, site s) const noexcept { wait(value_, v, millrace::deadline::never(), s); }
    void wake(site s) const noexcept {
      if (who_ == sharing::between_processes) return wake_all(value_, s);
      log(s, "private wake: reaches no other process");
    }

   private:
    atomic<std::uint32_t> value_;
    sharing who_;
  };

  class posix_mutex {
   public:
    explicit posix_mutex(sharing who) noexcept : held_(0, who) {}
    void lock(site s = site::here()) noexcept {
      while (!held_.exchange_if(0, 1, s)) held_.sleep_while(1, s);
    }
    void unlock(site s = site::here()) noexcept {
      held_.store(0, s);
      held_.wake(s);
    }

   private:
    word held_;
  };

  class posix_semaphore {
   public:
    posix_semaphore(std::uint32_t count, sharing who) noexcept : count_(count, who) {}
    void wait(site s = site::here()) noexcept {
      for (;;) {
        const std::uint32_t now = count_.load(s);
        if (now == 0) {
          count_.sleep_while(0, s);
        } else if (count_.exchange_if(now, now - 1, s)) {
          return;
        } else {
          relax(0, s);
        }
      }
    }
    void post(site s = site::here()) noexcept {
      count_.add(1, s);
      count_.wake(s);
    }

   private:
    word count_;
  };

  class posix_condition {
   public:
    void wait(posix_mutex& m, site s = site::here()) noexcept {
      const std::uint32_t seen = epoch_.load(s);
      m.unlock(s);
      epoch_.sleep_while(seen, s);
      m.lock(s);
    }
    void broadcast(site s = site::here()) noexcept {
      epoch_.add(1, s);
      epoch_.wake(s);
    }

   private:
    word epoch_{0, sharing::between_processes};
  };
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_RACES_ZOO_POSIX_MODEL_H_
