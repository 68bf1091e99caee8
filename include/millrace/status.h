// What a call on the data path returns.
#ifndef MILLRACE_STATUS_H_
#define MILLRACE_STATUS_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace millrace {

// The one answer of every push and pop; nothing on the data path throws. Each
// ring's header says, per operation, what a failed try means there.
enum class [[nodiscard]] status : std::uint8_t{
    ok,         // done
    full,       // push: every slot held a message
    empty,      // pop: there was no message
    busy,       // the slot (or lock) that comes next is in another member's hands
    timed_out,  // the deadline passed first
    closed,     // push: the ring is closed; pop: it is closed and drained
};

// A failure that time or another member may cure: what a blocking call waits out.
constexpr bool would_block(status s) noexcept { return s == status::full || s == status::empty || s == status::busy; }

constexpr std::string_view to_string(status s) noexcept {
  switch (s) {
    case status::ok:
      return "ok";
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
  }
  return "not a status";
}

// The answer of a batch: how many messages moved, and why it stopped there.
// A push is `ok` when every message went in, a pop when at least one came out.
// Of an empty span: `ok` and 0, at once.
struct [[nodiscard]] batch_result {
  status why = status::ok;
  std::size_t count = 0;

  friend bool operator==(const batch_result&, const batch_result&) = default;
};

}  // namespace millrace

#endif  // MILLRACE_STATUS_H_
