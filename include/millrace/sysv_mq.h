// System V message queues as ports, for comparison.
#ifndef MILLRACE_SYSV_MQ_H_
#define MILLRACE_SYSV_MQ_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "millrace/port.h"
#include "millrace/result.h"
#include "millrace/status.h"

namespace millrace {

// An end of a queue (sysvipc(7)): each does both. `closed` when somebody has removed the
// queue, or shut this user out; it has no other end of the stream, and what is in it stays. The kernel offers
// no deadline and no descriptor to poll: who waits until a deadline looks every millisecond.
class sysv_mq_end {
 public:
  // errc::limit if no queue takes a message of that size, errc::incompatible if this one
  // never has room for it.
  static result<sysv_mq_end> open(std::int32_t key, std::size_t message_bytes);

  status send(std::span<const std::byte> message, deadline until) noexcept;
  status receive(std::span<std::byte> message, deadline until) noexcept;

 private:
  sysv_mq_end(int queue, std::size_t message_bytes) : queue_(queue), copy_(sizeof(long) + message_bytes) {}

  bool let_go() const noexcept { return copy_.empty(); }  // moved from

  int queue_;
  std::vector<std::byte> copy_;  // [ type | message ], as the kernel wants it
};

// Room for `capacity` messages. errc::limit names the limit and how to raise it; errc::exists.
result<done> create_sysv_mq(std::int32_t key, std::uint64_t capacity, std::size_t message_bytes, mode_t mode);
result<done> unlink_sysv_mq(std::int32_t key);

// A queue of messages of type T by its key, which is not 0 (IPC_PRIVATE).
template <message T>
struct sysv_mq {
  using sender = sender_of<T, sysv_mq_end>;
  using receiver = receiver_of<T, sysv_mq_end>;

  static result<done> create(std::int32_t key, std::uint64_t capacity = 10, mode_t mode = 0600) {
    return create_sysv_mq(key, capacity, sizeof(T), mode);
  }
  static result<sender> attach_sender(std::int32_t key) { return typed<sender>(sysv_mq_end::open(key, sizeof(T))); }
  static result<receiver> attach_receiver(std::int32_t key) {
    return typed<receiver>(sysv_mq_end::open(key, sizeof(T)));
  }
};

}  // namespace millrace

#endif  // MILLRACE_SYSV_MQ_H_
