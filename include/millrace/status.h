// What a call on the data path returns.
#ifndef MILLRACE_STATUS_H_
#define MILLRACE_STATUS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace {

// The one answer of every push and pop; nothing on the data path throws. Each
// ring's header says, per operation, what a failed try means there.
//
// `corrupt`: the shared words contradict one another, as a broken or hostile
// process has scribbled over them. Nothing was moved; trying again is no cure,
// but to create the ring anew. Whatever the segment holds, no call leaves it,
// crashes, or goes on after its deadline, unless somebody keeps changing it, who
// can delay. Not every scribble is a contradiction: it may also change messages,
// take them away, or have a call without a deadline wait for what never comes.
// boost_ring promises none of this.
enum class [[nodiscard]] status : std::uint8_t{
    ok,           // done
    redelivered,  // pop: done; the message had been in the hands of a consumer that was killed
    full,         // push: every slot held a message
    empty,        // pop: there was no message
    busy,         // the slot (or lock) that comes next, or the last before `closed`, is in another member's hands
    timed_out,    // the deadline passed first
    closed,       // push: the ring is closed; pop: it is closed and drained
    corrupt,      // somebody wrote into the segment what no member can have
    refused,      // of direct communication: no link can be made; direct::link says why
    too_long,     // a byte_channel's push: longer than its messages may be; pop: than the room for one
};

// A failure that time or another member may cure: what a blocking call waits out.
constexpr bool would_block(status s) noexcept { return s == status::full || s == status::empty || s == status::busy; }

// A pop that got a message.
constexpr bool delivered(status s) noexcept { return s == status::ok || s == status::redelivered; }

constexpr std::string_view to_string(status s) noexcept {
  switch (s) {
    case status::ok:
      return "ok";
    case status::redelivered:
      return "redelivered";
    case status::full:
      return "full";
    case status::empty:
      return "empty";
    case status::busy:
      return "busy";
    case status::timed_out:
      return "timed_out";
    case status::closed:
      return "closed";
    case status::corrupt:
      return "corrupt";
    case status::refused:
      return "refused";
    case status::too_long:
      return "too_long";
  }
  return "not a status";
}

// The answer of a batch: how many messages moved, and why it stopped there.
// A push is `ok` when every message went in, a pop when at least one came out;
// what is redelivered comes out alone.
// Of an empty span: `ok` and 0, at once.
struct [[nodiscard]] batch_result {
  status why = status::ok;
  std::size_t count = 0;

  friend bool operator==(const batch_result&, const batch_result&) = default;
};

}  // namespace millrace

#endif  // MILLRACE_STATUS_H_
