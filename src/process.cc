#include "millrace/process.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

namespace millrace {
namespace {

constexpr unsigned pid_bits = 22;  // the kernel's PID_MAX_LIMIT is 1 << 22
constexpr std::uint64_t pid_mask = (std::uint64_t{1} << pid_bits) - 1;
constexpr std::uint64_t start_mask = ~std::uint64_t{0} >> pid_bits;

struct process_stat {
  pid_t pid = 0;
  char state = '?';
  std::uint64_t threads = 0;
  std::uint64_t start_time = 0;
};

std::uint64_t to_number(std::string_view text) noexcept {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// proc(5): "pid (comm) state ppid ...". comm is any 15 bytes that the process
// likes, spaces and parentheses included; the last ')' of the line ends it.
std::optional<process_stat> parse_stat(std::string_view line) noexcept {
  const std::size_t end_of_comm = line.rfind(')');
  if (end_of_comm == std::string_view::npos) return std::nullopt;
  process_stat found;
  found.pid = static_cast<pid_t>(to_number(line));
  std::string_view rest = line.substr(end_of_comm + 1);
  for (int field = 3; field <= 22; ++field) {
    const std::size_t begin = rest.find_first_not_of(' ');
    if (begin == std::string_view::npos) return std::nullopt;
    rest.remove_prefix(begin);
    const std::string_view word = rest.substr(0, rest.find(' '));
    if (field == 3) found.state = word.front();
    if (field == 20) found.threads = to_number(word);
    if (field == 22) found.start_time = to_number(word) & start_mask;
    rest.remove_prefix(word.size());
  }
  return found;
}

std::optional<process_stat> read_stat(const char* path) noexcept {
  const int file = ::open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  char text[2048];
  std::size_t length = 0;
  while (length < sizeof text) {
    const ssize_t n = ::read(file, text + length, sizeof text - length);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) break;
    length += static_cast<std::size_t>(n);
  }
  ::close(file);
  return parse_stat(std::string_view(text, length));
}

std::optional<process_stat> read_stat(pid_t pid) noexcept {
  char path[32];
  std::snprintf(path, sizeof path, "/proc/%d/stat", static_cast<int>(pid));
  return read_stat(path);
}

// 0 unless /proc shows the namespace in which getpid() counts: after
// unshare(CLONE_NEWPID) it may still be the outer one's.
std::uint32_t own_namespace() noexcept {
  const auto seen = read_stat("/proc/self/stat");
  if (!seen || seen->pid != ::getpid()) return 0;
  struct stat info {};
  if (::stat("/proc/self/ns/pid", &info) != 0) return 0;
  return static_cast<std::uint32_t>(info.st_ino);
}

std::atomic<std::uint32_t> forks_so_far{0};

}  // namespace

// All of this process. No thread changes the list while a fork copies it.
struct fork_witnesses {
  constinit static inline std::mutex changing;
  constinit static inline fork_witness* first = nullptr;

  // Told of one fork they need not hear of another; and those of our parent's threads lie
  // in stacks that new threads of ours will take.
  static void in_child() noexcept {
    forks_so_far.fetch_add(1, std::memory_order_relaxed);  // relaxed: a child begins with one thread
    for (fork_witness* w = std::exchange(first, nullptr); w != nullptr;) {
      w->here_ = nullptr;
      w->tell_(w->whom_);
      w = std::exchange(w->next_, nullptr);
    }
    changing.unlock();
  }

  // Where it cannot be registered, none is counted, and nobody told.
  static inline const int registered =
      ::pthread_atfork([] { changing.lock(); }, [] { changing.unlock(); }, [] { in_child(); });
};

std::uint32_t forks() noexcept { return forks_so_far.load(std::memory_order_relaxed); }

fork_witness::fork_witness(teller tell, void* whom) noexcept : tell_(tell), whom_(whom) {
  const std::lock_guard alone(fork_witnesses::changing);
  next_ = std::exchange(fork_witnesses::first, this);
  here_ = &fork_witnesses::first;
  if (next_ != nullptr) next_->here_ = &next_;
}

void fork_witness::forget() noexcept {
  const std::lock_guard alone(fork_witnesses::changing);
  if (here_ == nullptr) return;
  if (next_ != nullptr) next_->here_ = here_;
  *here_ = next_;
  here_ = nullptr;
}

process_identity process_identity::self() noexcept { return of(::getpid()); }

process_identity process_identity::of(pid_t pid) noexcept {
  process_identity found{pid, 0, own_namespace()};
  if (pid > 0 && found.pid_namespace != 0) {
    if (const auto stat = read_stat(pid)) found.start_time = stat->start_time;
  }
  return found;
}

std::uint64_t process_identity::pack() const noexcept {
  return start_time << pid_bits | (static_cast<std::uint64_t>(pid) & pid_mask);
}

process_identity process_identity::unpack(std::uint64_t packed, std::uint32_t pid_namespace) noexcept {
  return {static_cast<pid_t>(packed & pid_mask), packed >> pid_bits, pid_namespace};
}

liveness probe(const process_identity& whom) noexcept {
  if (whom.pid <= 0 || whom.pid_namespace == 0 || whom.pid_namespace != own_namespace()) return liveness::unknown;
  const auto stat = read_stat(whom.pid);
  if (!stat) {
    // A /proc mounted with hidepid shows nothing of other users' processes; kill
    // tells them from those that are not there.
    return ::kill(whom.pid, 0) != 0 && errno == ESRCH ? liveness::dead : liveness::unknown;
  }
  if (whom.start_time == 0) return liveness::unknown;
  if (stat->start_time != whom.start_time) return liveness::dead;
  // A leader that ended before its other threads is a zombie too, of a live process.
  const bool ended = stat->state == 'Z' || stat->state == 'X' || stat->state == 'x';
  return ended && stat->threads <= 1 ? liveness::dead : liveness::alive;
}

}  // namespace millrace
