// The kernel's pipes, anonymous and named, as ports: messages, not bytes.
#ifndef MILLRACE_PIPE_H_
#define MILLRACE_PIPE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "millrace/descriptor.h"
#include "millrace/port.h"
#include "millrace/result.h"
#include "millrace/status.h"

namespace millrace {

// A pipe in packet mode (O_DIRECT, Linux 3.4), in which a write is a packet and a read
// takes one, of up to PIPE_BUF bytes and never mixed with another's. A message goes as
// one packet, or as several, each of which names its sender, message and place:
//
//   [ bytes of the message | offset of these | sender | number of the message | up to 4,072 bytes ]
//
// so that many may send messages of any size at once, also children of fork through the
// end that they inherit, and one that is killed in the midst of a message leaves only
// packets that make none, which the receiver forgets.
//
// `closed`: there is nobody at the other end any more (and, to the receiver, nothing left);
// a sender is not killed by SIGPIPE. `corrupt`: what came is no packet of a message of
// this size, and is thrown away. If another program wrote bytes, as echo does, so are
// the packets that have come behind them since. `full` and `timed_out`, of a message in
// several packets: it does not arrive. One that needs more packets than the pipe holds
// never gets in by try_push.
class pipe_sender {
 public:
  // The end of a named pipe. Blocks until there is a receiver. errc::not_found; errc::foreign
  // if the file is no pipe.
  static result<pipe_sender> open(const std::string& path);

  status send(std::span<const std::byte> message, deadline until) noexcept;

  // Another sender into the same pipe.
  result<pipe_sender> duplicate() const;

  // For poll(2) and its like: try when it is ready. It stays this end's.
  int file_descriptor() const noexcept { return file_.number(); }

 private:
  friend class pipe_receiver;
  explicit pipe_sender(descriptor file) noexcept;

  descriptor file_;
  std::uint64_t self_;
  std::uint32_t drawn_in_;    // forks() when self_ was drawn: a child is another sender
  std::uint64_t number_ = 0;  // of the next message
};

// Several receivers share the messages of one packet; of those in several, each would
// get a part: let there be one.
class pipe_receiver {
 public:
  // Both ends of an anonymous pipe with room for at least `packets`. errc::limit if the
  // system allows none so large, or no more descriptors.
  static result<std::pair<pipe_receiver, pipe_sender>> make(std::uint64_t packets);

  // The end of a named pipe.
  static result<pipe_receiver> open(const std::string& path);

  status receive(std::span<std::byte> message, deadline until) noexcept;

  result<pipe_receiver> duplicate() const;

  // As a sender's. Pop until it is empty, and then wait: behind one packet there may be more.
  int file_descriptor() const noexcept { return file_.number(); }

 private:
  struct part {
    std::uint64_t number = 0;
    std::vector<std::byte> bytes{};  // so far
  };

  explicit pipe_receiver(descriptor file) noexcept : file_(std::move(file)) {}

  descriptor file_;
  std::map<std::uint64_t, part> parts_;  // by sender: of what came in several packets
};

// Both ends of an anonymous pipe, which go on in children of fork: each process lets go of
// the end that it does not use, or nobody finds the stream ended.
template <message T>
struct pipe {
  using sender = sender_of<T, pipe_sender>;
  using receiver = receiver_of<T, pipe_receiver>;

  sender out;
  receiver in;

  static result<pipe> create(std::uint64_t packets = 16) {
    auto made = pipe_receiver::make(packets);
    if (!made) return made.error();
    return pipe{sender(std::move(made->second)), receiver(std::move(made->first))};
  }
};

// A named pipe, by its path.
template <message T>
struct fifo {
  using sender = sender_of<T, pipe_sender>;
  using receiver = receiver_of<T, pipe_receiver>;

  static result<sender> attach_sender(const std::string& path) { return typed<sender>(pipe_sender::open(path)); }
  static result<receiver> attach_receiver(const std::string& path) {
    return typed<receiver>(pipe_receiver::open(path));
  }
};

// errc::exists if there is something. `mode` is what it gets, whatever the umask.
result<done> create_fifo(const std::string& path, mode_t mode = 0600);
// errc::foreign, and it stays, if it is something else.
result<done> unlink_fifo(const std::string& path);

}  // namespace millrace

#endif  // MILLRACE_PIPE_H_
