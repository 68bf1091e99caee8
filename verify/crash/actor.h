// A process that does at a ring what it is told, until it is killed.
#ifndef MILLRACE_VERIFY_CRASH_ACTOR_H_
#define MILLRACE_VERIFY_CRASH_ACTOR_H_

#include <sys/types.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/status.h"
#include "verify/crash/rings.h"

namespace millrace::crash {

inline constexpr std::uint64_t seed = 7;  // of all messages

enum class verb : std::uint8_t {
  join,         // attach
  leave,        // let the handle go
  join_again,   // attach once more
  leave_again,  // let that one go
  try_push,
  try_push_n,
  push,  // with an end to its patience, if it has one
  push_n,
  try_pop,
  try_pop_n,
  pop,  // likewise
  pop_n,
  reserve,      // and commit; as push
  withdraw,     // reserve, and do not commit
  peek,         // and release; as pop
  select_push,  // beside another ring
  select_pop,
  close,
  drain,   // pop till the ring says empty or closed; waits out busy
  fill,    // push `count` with patience; then say what one more push says
  settle,  // take all places that are free, count them, let them go
  create,  // the ring, where there is none
  open,    // the ring, or create it
};

// The ring that an actor works at: one that it inherits, or a place to make or find one.
struct workplace {
  const ring_type* type;
  location where = location::anonymous();
  ring_options options{};
  segment* inherited = nullptr;
};

struct order {
  verb what;
  std::uint32_t count = 1;     // messages
  std::uint32_t producer = 0;  // who they are from
  std::uint32_t first = 0;     // sequence
  bool traced = false;         // behind an int3, at which a tracer awaits it
  bool receives = true;        // join: see segment::attach
  std::chrono::milliseconds patience{-1};
};

// What the actor and its director share. The actor writes here what it knows, as
// soon as it knows it: it may never get any further.
struct mailbox {
  static constexpr std::uint32_t room = 24;

  std::atomic<std::uint32_t> turn{0};  // futex: odd while an order is obeyed
  order told{};
  std::atomic<std::uint32_t> answered{0};  // the call has returned: `why` and `count` say what
  status why = status::ok;
  std::uint32_t count = 0;
  std::uint64_t missed = 0;             // so far
  std::array<parcel, room> messages{};  // pushed, or popped
  std::array<bool, room> redelivered{};
};

class actor {
 public:
  // Forks. With `traced` the caller's thread is its tracer.
  actor(std::string_view name, const workplace& at, mailbox& mail, bool traced = false);
  actor(const actor&) = delete;
  actor& operator=(const actor&) = delete;
  ~actor();  // kills

  const std::string& name() const { return name_; }
  pid_t pid() const { return pid_; }

  void tell(const order& o);
  bool done() const;                              // it obeyed the last order
  bool finish(std::chrono::milliseconds within);  // the same, waiting for it
  const mailbox& mail() const { return mail_; }

  // Stops its keeper, for the caller's thread to trace: see halt_keeper.
  pid_t halt_keeper();

  // Of one that is traced, or whose keeper is: see crash::leave_stopped.
  bool leave_stopped(std::chrono::milliseconds within);

  void die();  // by SIGKILL

 private:
  std::string name_;
  mailbox& mail_;
  pid_t pid_;
  pid_t keeper_ = -1;  // where it is traced
};

// Where a thread sleeps in the kernel until somebody wakes it: its stack, and behind which instruction.
struct bed {
  std::uintptr_t stack = 0;
  std::uintptr_t behind = 0;
  friend bool operator==(const bed&, const bed&) = default;
};
std::optional<bed> asleep_at(pid_t thread);

// Whether it does; or stands for a tracer in the system call in which it would.
inline bool asleep(pid_t thread) { return asleep_at(thread).has_value(); }

std::vector<pid_t> threads(pid_t pid);

// "running; in system call 202": of each of the process's threads.
std::string whereabouts(pid_t pid);

// A sum that changes when the thread, or one of the process's threads, has run; 0 if one
// runs now. Seen twice the same, with no one else running: it waits for ever, or is dead.
std::uint64_t thread_rest(pid_t thread);
std::uint64_t rest(pid_t pid);

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_ACTOR_H_
