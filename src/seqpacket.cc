#include "millrace/seqpacket.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>

#include "refusal.h"

namespace millrace {
namespace {

constexpr const char* object = "seqpacket";

}  // namespace

result<std::pair<seqpacket_end, seqpacket_end>> seqpacket_end::make(std::size_t message_bytes) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) {
    return refused(errno, object, "sockets", "socketpair");
  }
  descriptor one(ends[0]);
  descriptor other(ends[1]);
  int room = 0;
  socklen_t length = sizeof room;
  if (::getsockopt(one.number(), SOL_SOCKET, SO_SNDBUF, &room, &length) != 0) {
    return refused(errno, object, "a socket", "getsockopt");
  }
  if (message_bytes + 1024 > static_cast<std::size_t>(room)) {  // the kernel's part of it
    return refused(errc::limit, EMSGSIZE, object,
                   "expected messages that fit net.core.wmem_default = " + std::to_string(room) + " bytes, found " +
                       std::to_string(message_bytes) + "; raise it with sysctl");
  }
  return std::pair(seqpacket_end(std::move(one)), seqpacket_end(std::move(other)));
}

result<seqpacket_end> seqpacket_end::duplicate() const {
  auto another = socket_.duplicate(object);
  if (!another) return another.error();
  return seqpacket_end(*std::move(another));
}

status seqpacket_end::send(std::span<const std::byte> message, deadline until) noexcept {
  for (;;) {
    if (::send(socket_.number(), message.data(), message.size(), MSG_DONTWAIT | MSG_NOSIGNAL) >= 0) return status::ok;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return status::closed;
    if (!socket_.await(POLLOUT, until)) return status::timed_out;
  }
}

status seqpacket_end::receive(std::span<std::byte> message, deadline until) noexcept {
  for (;;) {
    const ssize_t got = ::recv(socket_.number(), message.data(), message.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (got == static_cast<ssize_t>(message.size())) return status::ok;
    if (got == 0) return status::closed;
    if (got > 0) return status::corrupt;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return status::closed;
    if (!socket_.await(POLLIN, until)) return status::timed_out;
  }
}

}  // namespace millrace
