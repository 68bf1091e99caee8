// Which process, and whether it still lives.
#ifndef MILLRACE_PROCESS_H_
#define MILLRACE_PROCESS_H_

#include <sys/types.h>

#include <cstdint>

namespace millrace {

// How many forks made this process out of the first one, as far as they went through
// fork(): what was noted of it before tells a child from its parent.
std::uint32_t forks() noexcept;

// For something in memory that is not for a child of fork: `tell(whom)` is called there, once,
// before fork() returns. Any thread may make one, and take it away, but not `tell`; nor a fork
// handler of the application's own (pthread_atfork), as no thread does while a fork is under way.
//
// Let it be the last member, so that whom it tells is whole; one that is moved makes its own.
class fork_witness {
 public:
  using teller = void (*)(void* whom) noexcept;

  fork_witness(teller tell, void* whom) noexcept;
  ~fork_witness() { forget(); }
  fork_witness(const fork_witness&) = delete;
  fork_witness& operator=(const fork_witness&) = delete;

  // From here on it tells nobody.
  void forget() noexcept;

 private:
  friend struct fork_witnesses;

  teller tell_;
  void* whom_;
  fork_witness* next_ = nullptr;
  fork_witness** here_ = nullptr;  // what points to this one; or it is in no list
};

// A process for good: its pid may be given to another one after its death, but
// not with the same start time, and both mean something in one PID namespace only.
struct process_identity {
  pid_t pid = 0;
  std::uint64_t start_time = 0;     // clock ticks since boot; 0: could not be read
  std::uint32_t pid_namespace = 0;  // its inode; 0: could not be read

  // Reads /proc every time: a value kept over fork would be the parent's. Without
  // a /proc of the caller's own PID namespace all but the pid is 0.
  static process_identity self() noexcept;

  // The process that has this pid now, in the caller's PID namespace.
  static process_identity of(pid_t pid) noexcept;

  //  63             22 21      0
  // [ start_time      | pid     ]     Never has a pid of 0: such words are free
  //                                   for the caller's own use.
  std::uint64_t pack() const noexcept;
  static process_identity unpack(std::uint64_t packed, std::uint32_t pid_namespace) noexcept;

  friend bool operator==(const process_identity&, const process_identity&) = default;
};

enum class liveness : std::uint8_t {
  alive,
  dead,     // proved: none of its threads will ever run another instruction
  unknown,  // lives in another PID namespace, or /proc hides it
};

// A process that is stopped is alive; a zombie is dead once its last thread is.
// Assumes one time namespace: start times of two are not comparable.
liveness probe(const process_identity& whom) noexcept;

}  // namespace millrace

#endif  // MILLRACE_PROCESS_H_
