// What every means of sending is to its users: the library's rings, and the kernel's own.
#ifndef MILLRACE_PORT_H_
#define MILLRACE_PORT_H_

#include <chrono>
#include <concepts>
#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/platform.h"
#include "millrace/result.h"
#include "millrace/status.h"

namespace millrace {

// One end of a stream of messages, of one thread at a time. A message goes whole or not
// at all, and none is split or joined with another. Both a channel's ends are ports.
template <class P>
concept sending_port = requires(P p, const typename P::value_type& m, deadline until, std::chrono::milliseconds wait) {
  { p.try_push(m) } -> std::same_as<status>;
  { p.push(m) } -> std::same_as<status>;
  { p.push_for(m, wait) } -> std::same_as<status>;
  { p.push_until(m, until) } -> std::same_as<status>;
};
template <class P>
concept receiving_port = requires(P p, typename P::value_type& m, deadline until, std::chrono::milliseconds wait) {
  { p.try_pop(m) } -> std::same_as<status>;
  { p.pop(m) } -> std::same_as<status>;
  { p.pop_for(m, wait) } -> std::same_as<status>;
  { p.pop_until(m, until) } -> std::same_as<status>;
};

// The calls of a port for messages of type T, from those of a `Raw` one for bytes:
//
//   status send(std::span<const std::byte>, deadline) noexcept
//   status receive(std::span<std::byte>, deadline) noexcept
//
// which say timed_out where the deadline, perhaps long past, has not sufficed, and
// `closed` where the kernel refuses for good, or the end was moved from.
template <message T, class Raw>
class sender_of : public Raw {
 public:
  using value_type = T;

  explicit sender_of(Raw raw) noexcept : Raw(std::move(raw)) {}

  status try_push(const T& m) noexcept {
    const status s = push_until(m, deadline::at({}));
    return s == status::timed_out ? status::full : s;
  }
  status push(const T& m) noexcept { return push_until(m, deadline::never()); }
  template <class Rep, class Period>
  status push_for(const T& m, std::chrono::duration<Rep, Period> wait) noexcept {
    return push_until(m, deadline::after(wait));
  }
  status push_until(const T& m, deadline until) noexcept {
    return this->send(std::as_bytes(std::span(std::addressof(m), 1)), until);
  }
};

template <message T, class Raw>
class receiver_of : public Raw {
 public:
  using value_type = T;

  explicit receiver_of(Raw raw) noexcept : Raw(std::move(raw)) {}

  status try_pop(T& m) noexcept {
    const status s = pop_until(m, deadline::at({}));
    return s == status::timed_out ? status::empty : s;
  }
  status pop(T& m) noexcept { return pop_until(m, deadline::never()); }
  template <class Rep, class Period>
  status pop_for(T& m, std::chrono::duration<Rep, Period> wait) noexcept {
    return pop_until(m, deadline::after(wait));
  }
  status pop_until(T& m, deadline until) noexcept {
    return this->receive(std::as_writable_bytes(std::span(std::addressof(m), 1)), until);
  }
};

// A `Port` from the raw one that was made for it, or the error.
template <class Port, class Raw>
result<Port> typed(result<Raw> raw) {
  if (!raw) return raw.error();
  return Port(*std::move(raw));
}

}  // namespace millrace

#endif  // MILLRACE_PORT_H_
