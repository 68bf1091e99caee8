// A pair of connected Unix sockets as ports, both ways, for comparison.
#ifndef MILLRACE_SEQPACKET_H_
#define MILLRACE_SEQPACKET_H_

#include <cstddef>
#include <span>
#include <string>
#include <utility>

#include "millrace/descriptor.h"
#include "millrace/port.h"
#include "millrace/result.h"
#include "millrace/status.h"

namespace millrace {

// One end (unix(7), SOCK_SEQPACKET): each sends and receives. Inherited by fork. `closed`
// when everybody at the other end has gone (and, to a receiver, nothing is left);
// `corrupt` for what is of another size, which is thrown away.
class seqpacket_end {
 public:
  // errc::limit if the system's sockets do not hold one message of that size.
  static result<std::pair<seqpacket_end, seqpacket_end>> make(std::size_t message_bytes);

  status send(std::span<const std::byte> message, deadline until) noexcept;
  status receive(std::span<std::byte> message, deadline until) noexcept;

  // Another end at the same side.
  result<seqpacket_end> duplicate() const;

  // For poll(2) and its like: try when it is ready. It stays this end's.
  int file_descriptor() const noexcept { return socket_.number(); }

 private:
  explicit seqpacket_end(descriptor socket) noexcept : socket_(std::move(socket)) {}

  descriptor socket_;
};

// Both calls of one end, for messages of type T. Each process lets go of the end that it
// does not use, or nobody finds the stream ended.
template <message T>
struct seqpacket {
  using sender = sender_of<T, seqpacket_end>;
  using receiver = receiver_of<T, seqpacket_end>;

  sender out;
  receiver in;

  static result<seqpacket> create() {
    auto made = seqpacket_end::make(sizeof(T));
    if (!made) return made.error();
    return seqpacket{sender(std::move(made->first)), receiver(std::move(made->second))};
  }
};

}  // namespace millrace

#endif  // MILLRACE_SEQPACKET_H_
