// Messages that say who sent them.
#ifndef MILLRACE_ATTRIBUTED_H_
#define MILLRACE_ATTRIBUTED_H_

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/platform.h"
#include "millrace/status.h"

namespace millrace {

// Who sent a message, as it was when its sender was attached.
struct author {
  std::uint32_t member = 0;  // its place, as in members(); the next in that place has the same
  pid_t pid = 0;             // in the sender's PID namespace
  uid_t uid = 0;             // effective, in the sender's user namespace

  friend bool operator==(const author&, const author&) = default;
};

// A message and its author: `channel<attributed<tick>>` is a channel whose senders push ticks,
// which they sign, and whose receivers pop attributed ones. To open it as a channel<tick>,
// or the other way about, is refused (errc::incompatible): the types differ.
//
// How far to trust it: no sender forgets to sign, or signs by mistake with another's name. But
// whoever may write to the segment may write anything into it, and another's name,
// too: it proves nothing about a hostile member. Where senders are not trusted, give each a
// segment of its own, or let the kernel say who it is (SO_PEERCRED of a socket).
template <message T>
struct attributed {
  T message;
  author from;
};

template <class T>
inline constexpr bool is_attributed = false;
template <class T>
inline constexpr bool is_attributed<attributed<T>> = true;

// A `Sender` of attributed messages that takes them bare and signs them. Its calls are that
// one's. No batches, and none in place: the signature would be handed out with the slot.
template <class Sender>
class signing_sender : private Sender {
  using signed_message = typename Sender::value_type;

 public:
  using value_type = decltype(signed_message::message);
  using platform_type = typename Sender::platform_type;

  // For the member in that place.
  signing_sender(Sender&& by, std::uint32_t place) noexcept
      : Sender(std::move(by)), self_{place, ::getpid(), ::geteuid()} {}

  using Sender::capacity;
  using Sender::close;
  using Sender::push_event;
  using Sender::size_approx;

  // What it signs with.
  const author& self() const noexcept { return self_; }

  status try_push(const value_type& m) noexcept { return Sender::try_push({m, self_}); }
  status push(const value_type& m) noexcept { return Sender::push({m, self_}); }
  template <class Rep, class Period>
  status push_for(const value_type& m, std::chrono::duration<Rep, Period> wait) noexcept {
    return Sender::push_for({m, self_}, wait);
  }
  status push_until(const value_type& m, deadline until) noexcept { return Sender::push_until({m, self_}, until); }

 private:
  author self_;
};

}  // namespace millrace

#endif  // MILLRACE_ATTRIBUTED_H_
