#include "millrace/posix_mq.h"

#include <fcntl.h>
#include <mqueue.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>

#include "refusal.h"

namespace millrace {
namespace {

std::string slashed(const std::string& name) { return name.starts_with('/') ? name : '/' + name; }

std::string called(const std::string& name) { return in_one_line("mq:" + slashed(name)); }

error refused(int e, const std::string& object, const char* call) {
  if (e == EMFILE) {
    rlimit queues{};
    ::getrlimit(RLIMIT_MSGQUEUE, &queues);
    return refused(errc::limit, e, object,
                   "no descriptor is left (ulimit -n), or the queues of this user would hold more than " +
                       std::to_string(queues.rlim_cur) + " bytes (ulimit -q); raise the one or the other");
  }
  if (e == ENOSPC) {
    return refused(errc::limit, e, object,
                   "fs.mqueue.queues_max = " + sysctl("fs/mqueue/queues_max") +
                       " queues are there; unlink some, or raise it with sysctl");
  }
  return millrace::refused(e, object, "a message queue", call);
}

result<done> check(const std::string& name) {
  const std::string path = slashed(name);
  if (path.size() < 2 || path.size() > NAME_MAX || path.find('/', 1) != std::string::npos ||
      path.find('\0') != std::string::npos || path == "/." || path == "/..") {
    return refused(
        errc::bad_argument, 0, called(name.substr(0, 64)),
        "expected a name of 1 to 254 characters without a slash but in front, and without a NUL; use another");
  }
  return done{};
}

}  // namespace

result<done> create_posix_mq(const std::string& name, std::uint64_t capacity, std::size_t message_bytes, mode_t mode) {
  if (auto ok = check(name); !ok) return ok;
  const std::string object = called(name);
  if (const auto wrong = wrong_mode(mode, object)) return *wrong;
  if (const auto wrong = wrong_capacity(capacity, object)) return *wrong;
  mq_attr shape{};
  shape.mq_maxmsg = static_cast<long>(std::min<std::uint64_t>(capacity, LONG_MAX));
  shape.mq_msgsize = static_cast<long>(std::min<std::size_t>(message_bytes, LONG_MAX));
  const int number = ::mq_open(slashed(name).c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600, &shape);
  if (number < 0 && errno == EINVAL) {
    return refused(errc::limit, EINVAL, object,
                   "expected 1 to fs.mqueue.msg_max = " + sysctl("fs/mqueue/msg_max") +
                       " messages of at most fs.mqueue.msgsize_max = " + sysctl("fs/mqueue/msgsize_max") +
                       " bytes, found " + std::to_string(capacity) + " of " + std::to_string(message_bytes) +
                       "; ask for less, or raise those with sysctl");
  }
  if (number < 0) return refused(errno, object, "mq_open");
  const descriptor queue(number);
  if (::fchmod(number, mode) != 0) {
    const int e = errno;
    ::mq_unlink(slashed(name).c_str());
    return refused(e, object, "fchmod");
  }
  return done{};
}

result<done> unlink_posix_mq(const std::string& name) {
  if (auto ok = check(name); !ok) return ok;
  if (::mq_unlink(slashed(name).c_str()) != 0) return refused(errno, called(name), "mq_unlink");
  return done{};
}

result<posix_mq_end> posix_mq_end::open(const std::string& name, role as, std::size_t message_bytes) {
  if (auto ok = check(name); !ok) return ok.error();
  const std::string object = called(name);
  const int how = (as == role::sender ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC;
  const int number = ::mq_open(slashed(name).c_str(), how);
  if (number < 0) return refused(errno, object, "mq_open");
  descriptor queue(number);
  mq_attr shape{};
  if (::mq_getattr(number, &shape) != 0) return refused(errno, object, "mq_getattr");
  if (shape.mq_msgsize != static_cast<long>(message_bytes)) {
    return refused(errc::incompatible, 0, object,
                   "expected messages of " + std::to_string(message_bytes) + " bytes, found a queue of " +
                       std::to_string(shape.mq_msgsize) + "; ask for what is there, or use another name");
  }
  return posix_mq_end(std::move(queue));
}

// mq_timedsend(3) and its like take the time of day, which may be set: so it is a try, and a wait.
status posix_mq_end::send(std::span<const std::byte> message, deadline until) noexcept {
  for (;;) {
    const unsigned priority = std::min(priority_, highest_priority);
    if (::mq_send(queue_.number(), reinterpret_cast<const char*>(message.data()), message.size(), priority) == 0) {
      return status::ok;
    }
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return status::closed;
    if (!queue_.await(POLLOUT, until)) return status::timed_out;
  }
}

status posix_mq_end::receive(std::span<std::byte> message, deadline until) noexcept {
  for (;;) {
    const ssize_t got =
        ::mq_receive(queue_.number(), reinterpret_cast<char*>(message.data()), message.size(), &priority_);
    if (got == static_cast<ssize_t>(message.size())) return status::ok;
    if (got >= 0) return status::corrupt;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return status::closed;
    if (!queue_.await(POLLIN, until)) return status::timed_out;
  }
}

}  // namespace millrace
