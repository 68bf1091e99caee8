// The machine, with places at which a process can be caught in the middle of a call.
#ifndef MILLRACE_VERIFY_CRASH_HALTING_H_
#define MILLRACE_VERIFY_CRASH_HALTING_H_

#include <cstdint>
#include <functional>
#include <type_traits>

#include "millrace/deadline.h"
#include "millrace/platform.h"

namespace millrace::crash {

// `native`, but a process can have something done at these places, by any of its
// threads: to say how far it has got and wait there to be killed, or to stop.
struct halting : native {
  inline static std::function<void()> at_message;  // behind each access to a message: it is in nobody's hands but ours
  inline static std::function<void()> at_wake;     // what sleepers wait for is done, and they are not woken yet

  inline static std::function<void()> at_sleep;  // before each wait for others

  template <message T>
  class plain {
   public:
    void read(T& out) const noexcept {
      value_.read(out);
      if (is_message && at_message) at_message();
    }
    void write(const T& in) noexcept {
      value_.write(in);
      if (is_message && at_message) at_message();
    }

    T& begin_write() noexcept { return value_.begin_write(); }
    void end_write() noexcept {
      if (is_message && at_message) at_message();
    }
    const T& begin_read() const noexcept { return value_.begin_read(); }
    void end_read() const noexcept {
      if (is_message && at_message) at_message();
    }

   private:
    static constexpr bool is_message = std::is_class_v<T>;  // the rings' own fields are numbers

    native::plain<T> value_;
  };

  static wait_result wait(const atomic<std::uint32_t>& word, std::uint32_t expected, deadline until) noexcept {
    if (at_sleep) at_sleep();
    return native::wait(word, expected, until);
  }
  static void wake_all(const atomic<std::uint32_t>& word) noexcept {
    if (at_wake) at_wake();
    native::wake_all(word);
  }
};

static_assert(platform<halting>);

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_HALTING_H_
