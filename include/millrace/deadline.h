// A point in time on the monotonic clock, or never.
#ifndef MILLRACE_DEADLINE_H_
#define MILLRACE_DEADLINE_H_

#include <algorithm>
#include <chrono>
#include <ctime>

namespace millrace {

// std::chrono::steady_clock is CLOCK_MONOTONIC on Linux, the clock that the
// futex waits on: setting the time of day neither hurries nor delays a waiter.
class deadline {
 public:
  using clock = std::chrono::steady_clock;

  static constexpr deadline never() noexcept { return deadline(clock::time_point::max()); }

  static constexpr deadline at(clock::time_point when) noexcept { return deadline(when); }

  // A duration too long for the clock to hold counts as never, one that is
  // negative as already past.
  template <class Rep, class Period>
  static deadline after(std::chrono::duration<Rep, Period> wait) noexcept {
    const clock::time_point now = clock::now();
    const std::chrono::duration<double> seconds = wait;
    const std::chrono::duration<double> room = clock::time_point::max() - now;
    if (!(seconds < room * 0.5)) return never();
    if (seconds.count() <= 0) return at(now);
    return at(now + std::chrono::ceil<clock::duration>(wait));
  }

  constexpr bool is_never() const noexcept { return when_ == clock::time_point::max(); }
  constexpr clock::time_point when() const noexcept { return when_; }

  // Whether it passes before so much time has; zero: whether it has passed.
  bool within(clock::duration time) const noexcept { return !is_never() && when_ <= clock::now() + time; }

  // The form in which the kernel takes it: absolute, CLOCK_MONOTONIC. It refuses
  // times before that clock began, which a day ago may be on a machine just booted.
  timespec to_timespec() const noexcept {
    const clock::duration since = std::max(when_.time_since_epoch(), clock::duration::zero());
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    const std::chrono::nanoseconds rest = since - seconds;
    timespec t{};
    t.tv_sec = static_cast<time_t>(seconds.count());
    t.tv_nsec = static_cast<long>(rest.count());
    return t;
  }

 private:
  explicit constexpr deadline(clock::time_point when) noexcept : when_(when) {}

  clock::time_point when_;
};

}  // namespace millrace

#endif  // MILLRACE_DEADLINE_H_
