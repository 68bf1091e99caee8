// What others can see of a process's next instruction.
#ifndef MILLRACE_VERIFY_CRASH_ONLOOKER_H_
#define MILLRACE_VERIFY_CRASH_ONLOOKER_H_

#include <sys/types.h>
#include <sys/user.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace millrace::crash {

// The most that an instruction may do to memory that its process shares with others.
enum class sight : std::uint8_t { nothing, load, store };

// Looks at a process that this thread traces, and that has stopped.
class onlooker {
 public:
  explicit onlooker(pid_t pid);
  ~onlooker();
  onlooker(const onlooker&) = delete;
  onlooker& operator=(const onlooker&) = delete;

  // The instruction is the one at `now.rip`, with these registers.
  sight look(const user_regs_struct& now);

  // To be called when the process may have mapped memory, or let go of some.
  void find_shared_memory();

  struct range {
    std::uintptr_t begin, end;
  };
  std::span<const range> shared_memory() const { return shared_; }

 private:
  class decoder;

  bool is_shared(std::uintptr_t at, std::size_t bytes) const;

  pid_t pid_;
  std::unique_ptr<decoder> decode_;
  std::vector<range> shared_;
};

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_ONLOOKER_H_
