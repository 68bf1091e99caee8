// What becomes of a mapping whose file somebody truncates.
#ifndef MILLRACE_TRUNCATION_H_
#define MILLRACE_TRUNCATION_H_

#include <signal.h>

#include <atomic>
#include <cstddef>
#include <functional>

namespace millrace {

// Stands behind one mapping of a file that others may truncate. Touching a page
// that is gone raises SIGBUS, which would kill whoever trusted the file's owner.
// Instead the whole mapping is replaced, in this process alone and all at once, by
// memory of its own that holds what `substitute` has written: the access then goes
// through, that call may end as if nothing had been, and from the next one on its
// caller finds there that it is cut off from the others. (As
// libwayland does for its clients' buffers, 2012.) What is left of the file goes, too:
// the others would wait for whoever is cut off, and never touch what is gone.
//
// The first guard in a process installs a handler for SIGBUS, for good. It passes on
// to the one before it, or to the default, what concerns no guarded mapping. It can
// do nothing where an application installs its own later and does not pass on in
// turn, for a thread that blocks SIGBUS, or where the system has no memory for it:
// there the kernel ends the process.
//
// Movable. Any number of threads may have guards; none may touch a mapping while
// its guard is destroyed.
class truncation_guard {
 public:
  // What to write into the zeroed memory that replaces the mapping; given the address
  // of it while it is not yet in its place. Runs in the signal handler.
  using substitute = std::function<void(void* mapping)>;

  truncation_guard() noexcept = default;
  // `file` is the descriptor, open for writing, of what is mapped.
  truncation_guard(void* mapping, std::size_t bytes, int file, substitute write);

  truncation_guard(truncation_guard&& other) noexcept;
  truncation_guard& operator=(truncation_guard&& other) noexcept;
  ~truncation_guard();

  // Whether the mapping has been replaced, or is being so.
  bool cut_off() const noexcept;

 private:
  struct post;

  static void on_sigbus(int signal, siginfo_t* info, void* context) noexcept;

  static std::atomic<post*> posts;
  post* post_ = nullptr;
};

}  // namespace millrace

#endif  // MILLRACE_TRUNCATION_H_
