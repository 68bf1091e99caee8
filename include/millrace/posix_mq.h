// POSIX message queues as ports: the kernel's own mailbox, with priorities.
#ifndef MILLRACE_POSIX_MQ_H_
#define MILLRACE_POSIX_MQ_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>

#include "millrace/descriptor.h"
#include "millrace/port.h"
#include "millrace/result.h"
#include "millrace/status.h"

namespace millrace {

// An end of a queue (mq_overview(7)). Any number of each. The queue has no end of the
// stream, and what is in it stays for the next to come: `closed` is said only of an end
// that was moved from, or that the kernel refuses for good.
class posix_mq_end {
 public:
  enum class role : std::uint8_t { sender, receiver };

  static result<posix_mq_end> open(const std::string& name, role as, std::size_t message_bytes);

  status send(std::span<const std::byte> message, deadline until) noexcept;
  status receive(std::span<std::byte> message, deadline until) noexcept;

  // Of the messages sent from here on: 0, the last to be received, to 32,767, as which a higher one
  // counts. Those of the same priority are received in the order in which they were sent.
  void set_priority(unsigned priority) noexcept { priority_ = priority; }
  // Of the message received last.
  unsigned priority() const noexcept { return priority_; }

  // For poll(2) and its like, on Linux: try when it is ready. It stays this end's.
  int file_descriptor() const noexcept { return queue_.number(); }

 private:
  explicit posix_mq_end(descriptor queue) noexcept : queue_(std::move(queue)) {}

  descriptor queue_;
  unsigned priority_ = 0;
};

inline constexpr unsigned highest_priority = 32767;

// errc::limit names the limit of the system, its value, and how to raise it; errc::exists.
result<done> create_posix_mq(const std::string& name, std::uint64_t capacity, std::size_t message_bytes, mode_t mode);
// Those who have it open keep it.
result<done> unlink_posix_mq(const std::string& name);

// A queue of messages of type T by its name, with or without a leading slash.
template <message T>
struct posix_mq {
  using sender = sender_of<T, posix_mq_end>;
  using receiver = receiver_of<T, posix_mq_end>;

  static result<done> create(const std::string& name, std::uint64_t capacity = 10, mode_t mode = 0600) {
    return create_posix_mq(name, capacity, sizeof(T), mode);
  }

  // errc::incompatible if its messages are of another size.
  static result<sender> attach_sender(const std::string& name) {
    return typed<sender>(posix_mq_end::open(name, posix_mq_end::role::sender, sizeof(T)));
  }
  static result<receiver> attach_receiver(const std::string& name) {
    return typed<receiver>(posix_mq_end::open(name, posix_mq_end::role::receiver, sizeof(T)));
  }
};

}  // namespace millrace

#endif  // MILLRACE_POSIX_MQ_H_
