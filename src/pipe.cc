#include "millrace/pipe.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <optional>

#include "millrace/process.h"
#include "refusal.h"

namespace millrace {
namespace {

struct heading {
  std::uint32_t bytes;  // of the whole message
  std::uint32_t offset;
  std::uint64_t sender;
  std::uint64_t number;
};

struct packet {
  static constexpr std::size_t most = PIPE_BUF - sizeof(heading);

  heading about;
  std::byte content[most];
};
static_assert(sizeof(packet) == PIPE_BUF);

std::string called(const std::string& path) { return in_one_line("fifo:" + path); }

// The system would take what comes before a NUL for all of it.
std::optional<error> wrong_path(const std::string& path) {
  if (!path.empty() && path.find('\0') == std::string::npos) return std::nullopt;
  return refused(errc::bad_argument, 0, called(path),
                 std::string("expected a path with no NUL in it, found ") +
                     (path.empty() ? "an empty one" : "one with a NUL") + "; use a path such as /tmp/ticks");
}

error refused(int e, const std::string& object, const char* call) {
  return millrace::refused(e, object, "a named pipe", call);
}

// write(2), but whom nobody listens to is told so, and not killed.
ssize_t write_quietly(int file, const void* from, std::size_t bytes) noexcept {
  sigset_t broken;
  sigset_t before;
  sigset_t pending;
  sigemptyset(&broken);
  sigaddset(&broken, SIGPIPE);
  ::sigpending(&pending);
  ::pthread_sigmask(SIG_BLOCK, &broken, &before);
  const ssize_t written = ::write(file, from, bytes);
  const int e = errno;
  if (written < 0 && e == EPIPE && sigismember(&pending, SIGPIPE) == 0) {
    constexpr timespec at_once{};
    while (::sigtimedwait(&broken, nullptr, &at_once) < 0 && errno == EINTR) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  errno = e;
  return written;
}

std::uint64_t number_of_its_own() noexcept {
  std::uint64_t number = 0;
  if (::getrandom(&number, sizeof number, 0) != sizeof number) {
    number = static_cast<std::uint64_t>(deadline::clock::now().time_since_epoch().count()) ^
             static_cast<std::uint64_t>(::getpid()) << 48;
  }
  return number;
}

// An end of the named pipe at `path`, in packet mode and not blocking.
result<descriptor> open_fifo(const std::string& path, int how) {
  if (const auto wrong = wrong_path(path)) return *wrong;
  const std::string object = called(path);
  int number = -1;
  do {
    number = ::open(path.c_str(), how | O_CLOEXEC | O_NOCTTY);
  } while (number < 0 && errno == EINTR);
  if (number < 0) return refused(errno, object, "open");
  descriptor file(number);
  struct stat info {};
  if (::fstat(number, &info) != 0) return refused(errno, object, "fstat");
  if (!S_ISFIFO(info.st_mode)) {
    return refused(errc::foreign, 0, object, "expected a named pipe, found another kind of file; use another path");
  }
  if (::fcntl(number, F_SETFL, O_NONBLOCK | O_DIRECT) != 0) return refused(errno, object, "fcntl");
  return file;
}

}  // namespace

pipe_sender::pipe_sender(descriptor file) noexcept
    : file_(std::move(file)), self_(number_of_its_own()), drawn_in_(forks()) {}

result<pipe_sender> pipe_sender::open(const std::string& path) {
  auto file = open_fifo(path, O_WRONLY);
  if (!file) return file.error();
  return pipe_sender(*std::move(file));
}

result<pipe_sender> pipe_sender::duplicate() const {
  auto file = file_.duplicate("pipe");
  if (!file) return file.error();
  return pipe_sender(*std::move(file));
}

status pipe_sender::send(std::span<const std::byte> message, deadline until) noexcept {
  if (drawn_in_ != forks()) {
    self_ = number_of_its_own();
    drawn_in_ = forks();
  }
  packet p;
  p.about = {static_cast<std::uint32_t>(message.size()), 0, self_, number_++};
  for (std::size_t sent = 0;;) {
    const std::size_t n = std::min(message.size() - sent, packet::most);
    p.about.offset = static_cast<std::uint32_t>(sent);
    std::memcpy(p.content, message.data() + sent, n);
    if (write_quietly(file_.number(), &p, sizeof(heading) + n) >= 0) {
      sent += n;
      if (sent == message.size()) return status::ok;
    } else if (errno == EAGAIN) {
      if (!file_.await(POLLOUT, until)) return status::timed_out;
    } else if (errno != EINTR) {
      return status::closed;
    }
  }
}

result<std::pair<pipe_receiver, pipe_sender>> pipe_receiver::make(std::uint64_t packets) {
  const std::string object = "pipe";
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK | O_DIRECT) != 0) return refused(errno, object, "pipe2");
  descriptor in(ends[0]);
  descriptor out(ends[1]);
  // The kernel counts room in bytes, a page a packet.
  constexpr std::uint64_t page = 4096;
  const bool sayable = packets >= 1 && packets <= INT_MAX / page;
  if (!sayable || ::fcntl(out.number(), F_SETPIPE_SZ, static_cast<int>(packets * page)) < 0) {
    const int e = sayable ? errno : EINVAL;
    return refused(
        sayable ? errc::limit : errc::bad_argument, e, object,
        "expected room for 1 packet or more of 4096 bytes in at most fs.pipe-max-size = " + sysctl("fs/pipe-max-size") +
            " bytes, found " + std::to_string(packets) + " asked for; ask for less, or raise that");
  }
  return std::pair(pipe_receiver(std::move(in)), pipe_sender(std::move(out)));
}

result<pipe_receiver> pipe_receiver::open(const std::string& path) {
  auto file = open_fifo(path, O_RDONLY | O_NONBLOCK);  // else it would wait for a sender
  if (!file) return file.error();
  return pipe_receiver(*std::move(file));
}

result<pipe_receiver> pipe_receiver::duplicate() const {
  auto file = file_.duplicate("pipe");
  if (!file) return file.error();
  return pipe_receiver(*std::move(file));
}

status pipe_receiver::receive(std::span<std::byte> message, deadline until) noexcept {
  packet p;
  for (;;) {
    const ssize_t got = ::read(file_.number(), &p, sizeof p);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno != EAGAIN) return status::closed;
    if (got == 0 && file_.hung_up()) return status::closed;
    if (got <= 0) {  // there is nothing, or nobody has come yet
      if (!file_.await(POLLIN, until)) return status::timed_out;
      continue;
    }
    const std::size_t n = static_cast<std::size_t>(got) - std::min(static_cast<std::size_t>(got), sizeof(heading));
    const heading& about = p.about;
    if (static_cast<std::size_t>(got) < sizeof(heading) || about.bytes != message.size() ||
        about.offset > message.size() || n != std::min(message.size() - about.offset, packet::most)) {
      return status::corrupt;
    }
    if (n == message.size()) {
      std::memcpy(message.data(), p.content, n);
      return status::ok;
    }
    part& so_far = parts_[about.sender];
    if (about.offset == 0) so_far = {about.number, {}};  // what it has left undone is forgotten
    if (so_far.number != about.number || so_far.bytes.size() != about.offset) continue;
    so_far.bytes.insert(so_far.bytes.end(), p.content, p.content + n);
    if (so_far.bytes.size() != message.size()) continue;
    std::memcpy(message.data(), so_far.bytes.data(), message.size());
    parts_.erase(about.sender);
    return status::ok;
  }
}

result<done> create_fifo(const std::string& path, mode_t mode) {
  const std::string object = called(path);
  if (const auto wrong = wrong_path(path)) return *wrong;
  if (const auto wrong = wrong_mode(mode, object)) return *wrong;
  if (::mkfifo(path.c_str(), 0600) != 0) {
    if (errno != ENOENT) return refused(errno, object, "mkfifo");
    return refused(errc::not_found, ENOENT, object,
                   "expected a directory to make it in, found none; make that first, or use another path");
  }
  if (::chmod(path.c_str(), mode) != 0) {
    const int e = errno;
    ::unlink(path.c_str());
    return refused(e, object, "chmod");
  }
  return done{};
}

result<done> unlink_fifo(const std::string& path) {
  if (const auto wrong = wrong_path(path)) return *wrong;
  const std::string object = called(path);
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return refused(errno, object, "lstat");
  if (!S_ISFIFO(info.st_mode)) {
    return refused(errc::foreign, 0, object, "expected a named pipe, found another kind of file; it stays");
  }
  if (::unlink(path.c_str()) != 0) return refused(errno, object, "unlink");
  return done{};
}

}  // namespace millrace
