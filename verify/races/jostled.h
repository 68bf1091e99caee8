// The machine with more elbows in it: other processes get in between at worse moments.
#ifndef MILLRACE_VERIFY_RACES_JOSTLED_H_
#define MILLRACE_VERIFY_RACES_JOSTLED_H_

#include <sched.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "millrace/platform.h"

namespace millrace::races {

// `native`, but now and then the core is given up, in the middle of the copy of a
// message or in a turn of the broken rings' busy wait. The scheduler may do that at any
// time by itself, so nothing happens that could not happen anyway: it happens within
// seconds, and also where other work has left one core to all processes. All rings of
// the demonstration run on it, the shipped ones as well, but for Boost.Lockfree, which
// has no such seam.
struct jostled : native {
  template <message T>
  class plain {
   public:
    void read(T& out) const noexcept { copy(reinterpret_cast<std::byte*>(&out), bytes_); }
    void write(const T& in) noexcept { copy(bytes_, reinterpret_cast<const std::byte*>(&in)); }

    T& begin_write() noexcept { return *std::launder(reinterpret_cast<T*>(bytes_)); }
    void end_write() noexcept { jostle(); }
    const T& begin_read() const noexcept { return *std::launder(reinterpret_cast<const T*>(bytes_)); }
    void end_read() const noexcept { jostle(); }

   private:
    static void copy(std::byte* to, const std::byte* from) noexcept {
      constexpr std::size_t half = sizeof(T) / 2;
      std::memcpy(to, from, half);
      jostle();
      std::memcpy(to + half, from + half, sizeof(T) - half);
    }

    alignas(T) std::byte bytes_[sizeof(T)];
  };

  // Once in a process: where its sequence of chances begins.
  static void seed(std::uint64_t value) noexcept { state_ = value; }

  static void jostle() noexcept {
    constexpr unsigned one_in = 256;
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;  // Knuth, MMIX
    if ((state_ >> 33) % one_in == 0) sched_yield();
  }

 private:
  inline static thread_local std::uint64_t state_ = 0;
};

static_assert(platform<jostled>);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_JOSTLED_H_
