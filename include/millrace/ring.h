// What every ring here is and does: the concept, and the calls built on its four tries.
#ifndef MILLRACE_RING_H_
#define MILLRACE_RING_H_

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "millrace/deadline.h"
#include "millrace/event_count.h"
#include "millrace/platform.h"
#include "millrace/roster.h"
#include "millrace/status.h"

namespace millrace {

// What becomes of a message that a consumer had claimed, and not yet released the
// slot of, when it was killed. Its pop has not returned, so nobody has seen it.
enum class delivery : std::uint8_t {
  redeliver,  // another consumer gets it, late, with status::redelivered
  drop,       // it is gone, as are messages that a consumer popped just before its death
};

// What a broadcast does where a receiver is slower than the senders: see broadcast.h.
enum class fidelity : std::uint8_t {
  lossless,  // they wait for it
  lossy,     // it misses messages, and how many
};

// Shape of a ring, fixed at creation. An attached handle keeps a copy in private
// memory and never reads it from the segment again.
struct geometry {
  std::uint64_t capacity = 0;  // messages it holds when full; 0: rendezvous_ring.h
  std::uint32_t members = 1;   // handles that may be attached at once
  delivery on_death = delivery::redeliver;
  bool keep_open = false;                            // of a channel: see channel.h
  millrace::fidelity fidelity = fidelity::lossless;  // of a broadcast
  std::uint32_t max_message = 0;                     // bytes, of a byte_channel; else 0

  friend bool operator==(const geometry&, const geometry&) = default;
};

// Empty, or one line that says why there cannot be so many.
inline std::string refuse_unless_within(const char* what, std::uint64_t number, std::uint64_t most) {
  if (number >= 1 && number <= most) return {};
  return std::string(what) + " " + std::to_string(number) + " is not from 1 to " + std::to_string(most) + "; try " +
         std::to_string(number == 0 ? 1 : most);
}

// For an opener: that of no ring.
inline constexpr geometry any_shape{.members = 0};

// A ring is a *handle* in private memory onto state in shared memory. One handle
// belongs to one thread at a time; a child of fork attaches its own.
template <class R>
concept ring = requires(R r, const R constant, void* at, const geometry& g,
                        const membership<typename R::platform_type>& member, const typename R::value_type& in,
                        typename R::value_type& out, std::span<const typename R::value_type> ins,
                        std::span<typename R::value_type> outs) {
  { R::kind } -> std::convertible_to<std::string_view>;
  // Empty, or one line that says what is wrong with the geometry.
  { R::refuse(g) } -> std::same_as<std::string>;
  // Room for the shared state, at an address that is a multiple of line_bytes.
  { R::bytes(g) } -> std::same_as<std::size_t>;
  { R::construct(at, g) } -> std::same_as<void>;
  // Into zeroed memory that no other process has: a state in which calls fail, but for
  // those that are overtaken by it, and for what a handle has seen before. From a
  // signal handler.
  { R::construct_cut_off(at, g) } -> std::same_as<void>;
  R(at, g, member);
  { r.try_push(in) } -> std::same_as<status>;
  { r.try_pop(out) } -> std::same_as<status>;
  { r.try_push_n(ins) } -> std::same_as<batch_result>;
  { r.try_pop_n(outs) } -> std::same_as<batch_result>;
  { r.push_until(in, deadline::never()) } -> std::same_as<status>;
  { r.pop_until(out, deadline::never()) } -> std::same_as<status>;
  { r.push_n_until(ins, deadline::never()) } -> std::same_as<batch_result>;
  { r.pop_n_until(outs, deadline::never()) } -> std::same_as<batch_result>;
  { r.close() } -> std::same_as<void>;
  // Settles what a former member of this handle's place held when it died (roster
  // R3). Called before the place is this handle's.
  { r.settle() } -> std::same_as<void>;
  // Wakes all who sleep on the ring: one who would have woken them may have died.
  { r.alarm() } -> std::same_as<void>;
  { constant.capacity() } -> std::same_as<std::uint64_t>;
  { constant.size_approx() } -> std::same_as<std::uint64_t>;
};

// A ring in which each receiver gets every message, and so has to be known as one. It
// has no use for receivers to be there: a channel of it ends with its senders.
template <class R>
concept broadcasting_ring = ring<R> && requires(R r, const R constant) {
  r.begin_receiving();
  r.end_receiving();
  { constant.missed() } -> std::same_as<std::uint64_t>;
};

// Whether one sleeps for room, or for messages, on one event, whatever the try said.
template <class Ring>
concept tells_of_room = requires(Ring& r) {
  r.not_full();
};
template <class Ring>
concept tells_of_messages = requires(Ring& r) {
  r.not_empty();
};

// The blocking and timed forms. `Self` provides the four tries and, unless it hides
// the _until forms and the events with its own, `not_full()` and `not_empty()`.
//
// Blocking calls poll for some tens of microseconds, then sleep in the kernel. They
// return ok, closed or corrupt, the timed ones also timed_out; a deadline that has
// passed still gets one try. `full`, `empty` and `busy` are waited out. They never
// block on a lock that they don't need. A caller killed inside one has, for each
// message, either pushed (popped) it or not; see the ring for its slot.
template <class Self, class T, class Platform>
class ring_calls {
 public:
  using value_type = T;
  using platform_type = Platform;

  status push(const T& m) noexcept { return self().push_until(m, deadline::never()); }
  status pop(T& m) noexcept { return self().pop_until(m, deadline::never()); }

  template <class Rep, class Period>
  status push_for(const T& m, std::chrono::duration<Rep, Period> wait) noexcept {
    return self().push_until(m, deadline::after(wait));
  }
  template <class Rep, class Period>
  status pop_for(T& m, std::chrono::duration<Rep, Period> wait) noexcept {
    return self().pop_until(m, deadline::after(wait));
  }

  status push_until(const T& m, deadline until) noexcept {
    return await(self().not_full(), until, [&]() noexcept { return self().try_push(m); });
  }
  status pop_until(T& m, deadline until) noexcept {
    return await(self().not_empty(), until, [&]() noexcept { return self().try_pop(m); });
  }

  // Pushes all of them, in order; where it stops early, `count` of them are in.
  batch_result push_n(std::span<const T> m) noexcept { return self().push_n_until(m, deadline::never()); }
  // Waits for one message and takes what there is beside it, up to the span's size.
  batch_result pop_n(std::span<T> m) noexcept { return self().pop_n_until(m, deadline::never()); }

  template <class Rep, class Period>
  batch_result push_n_for(std::span<const T> m, std::chrono::duration<Rep, Period> wait) noexcept {
    return self().push_n_until(m, deadline::after(wait));
  }
  template <class Rep, class Period>
  batch_result pop_n_for(std::span<T> m, std::chrono::duration<Rep, Period> wait) noexcept {
    return self().pop_n_until(m, deadline::after(wait));
  }

  // What to sleep on after a try that failed with `why`, for one that waits for more than
  // this (select.h): whoever may cure it notifies that.
  template <class Ring = Self>
  event_count<Platform>& push_event(status /*why*/) noexcept requires tells_of_room<Ring> {
    return self().not_full();
  }
  template <class Ring = Self>
  event_count<Platform>& pop_event(status /*why*/) noexcept requires tells_of_messages<Ring> {
    return self().not_empty();
  }

  batch_result push_n_until(std::span<const T> m, deadline until) noexcept {
    std::size_t count = 0;
    const status why = await(self().not_full(), until, [&]() noexcept {
      const batch_result some = self().try_push_n(m.subspan(count));
      count += some.count;
      return some.why;
    });
    return {why, count};
  }
  batch_result pop_n_until(std::span<T> m, deadline until) noexcept {
    std::size_t count = 0;
    const status why = await(self().not_empty(), until, [&]() noexcept {
      const batch_result some = self().try_pop_n(m);
      count = some.count;
      return some.why;
    });
    return {why, count};
  }

 private:
  Self& self() noexcept { return static_cast<Self&>(*this); }
};

}  // namespace millrace

#endif  // MILLRACE_RING_H_
