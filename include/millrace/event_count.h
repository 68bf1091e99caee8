// Sleep until something may have changed, at no cost to those who change it.
#ifndef MILLRACE_EVENT_COUNT_H_
#define MILLRACE_EVENT_COUNT_H_

#include <atomic>
#include <chrono>
#include <cstdint>

#include "millrace/deadline.h"
#include "millrace/platform.h"
#include "millrace/status.h"

namespace millrace {

// An event count (Reed and Kanodia, 1979; in this form after Vyukov, 2008): the
// sleeper announces itself, looks once more, and only then sleeps; whoever
// changes what it looks at notifies.
//
//      key = prepare()                      change the state
//      look again: found? cancel(key)       notify()
//      else wait(key, deadline)
//
// One futex word:   31                             1   0
//                  [ epoch: counts notifications    | sleepers ]
//
//  E1 sleepers is set by prepare and cleared only together with a new epoch, so
//     that whoever prepared before it fails to sleep or is woken.
//  E2 A notifier that reads sleepers == 0 after changing the state ran before
//     the announcement; the heavy fence in prepare then makes its change visible
//     to the second look (light_fence pairs with heavy_fence: a Dekker). Or another
//     notifier has cleared it since: then the sleeper wakes, and prepares anew (E1).
//  E3 Everyone is woken. Waking one would lose a wake-up: messages are published
//     out of order, and the one that is woken may find nothing or be killed.
//
// A sleeper that is killed leaves the flag set, which costs one needless wake.
// A notifier killed between the change and the wake leaves sleepers asleep, until
// `alarm` is called for its death.
//
// Any number of threads of any processes may call everything at once.
template <class Platform>
class event_count {
 public:
  using key = std::uint32_t;

  // Announces a sleeper. Look again before `wait`, or a change may be missed.
  key prepare() noexcept {
    const key k = announce().expected;
    Platform::heavy_fence();
    return k;
  }

  // Half of it, for one that announces itself here and there and sleeps on all at once
  // (`Platform::wait_any`): one heavy fence, behind the last, does for all.
  typename Platform::awaited announce() noexcept {
    // relaxed: the heavy fence puts the second look behind it (E2).
    const std::uint32_t before = word_.fetch_or(sleepers, std::memory_order_relaxed);
    return {&word_, before | sleepers};
  }

  // The second look found something. The announcement stays, as others may sleep
  // behind the same flag; it costs the next notifier one needless wake.
  void cancel(key) noexcept {}

  // Whether nobody has been notified since `prepare`: it need not be done again.
  bool stands(key k) const noexcept {
    // relaxed: who misses a notifier's new epoch has fenced before, and is seen by it (E2).
    return (k & sleepers) != 0 && word_.load(std::memory_order_relaxed) == k;
  }

  // Sleeps until a notification after `prepare`, or the deadline. May return
  // `woken` for no reason: look again.
  wait_result wait(key k, deadline until) noexcept { return Platform::wait(word_, k, until); }

  // Wakes all who prepared. Call after the change; costs a load where nobody sleeps.
  void notify() noexcept {
    Platform::light_fence();
    // relaxed: the fences alone decide whether the announcement is seen (E2).
    const std::uint32_t now = word_.load(std::memory_order_relaxed);
    if ((now & sleepers) != 0) [[unlikely]]
      wake(now);
  }

  // Whether `notify` would wake anybody: for one that has more to do then.
  bool has_sleepers() const noexcept {
    Platform::light_fence();
    return (word_.load(std::memory_order_relaxed) & sleepers) != 0;  // relaxed: as above
  }

  // For a notifier that was killed: wakes all, also those for whom it had begun to.
  void alarm() noexcept {
    notify();
    Platform::wake_all(word_);
  }

 private:
  static constexpr std::uint32_t sleepers = 1;
  static constexpr std::uint32_t epoch_step = 2;

  // Apart, so that a notifier who finds nobody asleep saves no registers for it.
  [[gnu::noinline]] void wake(std::uint32_t now) noexcept {
    const std::uint32_t next = (now & ~sleepers) + epoch_step;
    // relaxed: it hands over nothing but its number. Whoever wakes, looks again. Fails only
    // if another notifier has cleared the flag since, and wakes those whom we saw (E1, E2).
    if (word_.compare_exchange_strong(now, next, std::memory_order_relaxed, std::memory_order_relaxed)) {
      Platform::wake_all(word_);
    }
  }

  typename Platform::template atomic<std::uint32_t> word_{0};  // written by sleepers and notifiers
};

// Lets others run, and says whether a waiter whose `turn`th look found nothing looks again at once, of
// `turns` times in all, or goes to sleep: not past its deadline, nor where that is so near that giving up the
// core could take longer. One that sleeps is woken in time.
template <class Platform>
bool polls_on(unsigned turn, unsigned turns, deadline until) noexcept {
  constexpr std::chrono::milliseconds some_time_slices{20};
  const bool more = turn < turns && !(turn == 0 && until.within(deadline::clock::duration::zero())) &&
                    !(Platform::yields(turn) && until.within(some_time_slices));
  Platform::relax(more ? turn : 0);
  return more;
}

// Calls `attempt` until it returns a status that is not `would_block`, or the
// deadline passes: polls for a while, then sleeps on `event`, which everyone who
// can cure the failure notifies. A deadline that has passed still gets one try.
template <class Platform, class Attempt>
status await(event_count<Platform>& event, deadline until, Attempt attempt) noexcept {
  for (;;) {
    unsigned turn = 0;
    do {
      const status s = attempt();
      if (!would_block(s)) return s;
    } while (polls_on<Platform>(turn++, Platform::spins, until));
    if (until.within(deadline::clock::duration::zero())) return status::timed_out;
    const auto key = event.prepare();
    const status s = attempt();
    if (!would_block(s)) {
      event.cancel(key);
      return s;
    }
    if (event.wait(key, until) == wait_result::timed_out) {
      const status last = attempt();
      return would_block(last) ? status::timed_out : last;
    }
  }
}

}  // namespace millrace

#endif  // MILLRACE_EVENT_COUNT_H_
