// What the kernel has to offer, by its calls and nothing around them.
#include <fcntl.h>
#include <linux/sockios.h>
#include <mqueue.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "bench/contender.h"
#include "bench/unused_name.h"
#include "millrace/descriptor.h"

namespace millrace::bench {
namespace {

[[noreturn]] void fail(const char* call) { throw std::runtime_error(std::string(call) + ": " + std::strerror(errno)); }

// Of a call on a full or an empty queue false, of one that succeeded true.
bool done(std::int64_t returned, const char* call) {
  if (returned >= 0) return true;
  if (errno == EAGAIN || errno == ENOMSG) return false;
  fail(call);
}

struct shape {
  std::size_t bytes;
  std::size_t capacity;
  bool blocks;
};

// Each has `send` and `receive`, which block, or do not, as the shape says.

class posix_queue {
 public:
  posix_queue(const shape& s, board&) : bytes_(s.bytes) {
    const rlimit all{RLIM_INFINITY, RLIM_INFINITY};
    (void)::setrlimit(RLIMIT_MSGQUEUE, &all);  // for root
    const std::string name = std::string("/").append(unused_name());
    const int flags = O_RDWR | O_CREAT | O_EXCL | (s.blocks ? 0 : O_NONBLOCK);
    mq_attr shape{};
    shape.mq_msgsize = static_cast<long>(s.bytes);
    shape.mq_maxmsg = static_cast<long>(s.capacity);
    while ((queue_ = ::mq_open(name.c_str(), flags, 0600, &shape)) < 0) {
      if (shape.mq_maxmsg == 1) fail("mq_open");
      shape.mq_maxmsg /= 2;
    }
    ::mq_unlink(name.c_str());
  }
  posix_queue(const posix_queue&) = delete;
  posix_queue& operator=(const posix_queue&) = delete;
  ~posix_queue() { ::mq_close(queue_); }

  bool send(const void* m) { return done(::mq_send(queue_, static_cast<const char*>(m), bytes_, 0), "mq_send"); }
  bool receive(void* m) { return done(::mq_receive(queue_, static_cast<char*>(m), bytes_, nullptr), "mq_receive"); }

 private:
  std::size_t bytes_;
  mqd_t queue_;
};

class sysv_queue {
 public:
  sysv_queue(const shape& s, board& b)
      : bytes_(s.bytes), flags_(s.blocks ? 0 : IPC_NOWAIT), queue_(::msgget(IPC_PRIVATE, IPC_CREAT | 0600)) {
    if (queue_ < 0) fail("msgget");
    b.leave_message_queue(queue_);
    msqid_ds state{};
    if (::msgctl(queue_, IPC_STAT, &state) != 0) fail("msgctl");
    state.msg_qbytes = s.bytes * s.capacity;
    (void)::msgctl(queue_, IPC_SET, &state);  // more than usual is for root
  }

  bool send(const void* m) {
    envelope e;
    e.type = 1;
    std::memcpy(e.text, m, bytes_);
    return done(::msgsnd(queue_, &e, bytes_, flags_), "msgsnd");
  }
  bool receive(void* m) {
    envelope e;
    if (!done(::msgrcv(queue_, &e, bytes_, 0, flags_), "msgrcv")) return false;
    std::memcpy(m, e.text, bytes_);
    return true;
  }

 private:
  struct envelope {
    long type;
    std::byte text[4096];
  };

  std::size_t bytes_;
  int flags_;
  int queue_;
};

// Bytes, of which the kernel reads and writes so many at once that no message is torn.
class byte_pipe {
 public:
  bool send(const void* m) { return done(::write(in_.number(), m, bytes_), "write"); }
  bool receive(void* m) { return done(::read(out_.number(), m, bytes_), "read"); }

 protected:
  byte_pipe(const shape& s, std::pair<descriptor, descriptor> ends)
      : bytes_(s.bytes), out_(std::move(ends.first)), in_(std::move(ends.second)) {
    (void)::fcntl(in_.number(), F_SETPIPE_SZ, s.bytes * s.capacity);  // more than usual is for root
    if (s.blocks) {
      for (const int end : {out_.number(), in_.number()}) ::fcntl(end, F_SETFL, 0);
    }
  }

 private:
  std::size_t bytes_;
  descriptor out_;
  descriptor in_;
};

class anonymous_pipe : public byte_pipe {
 public:
  anonymous_pipe(const shape& s, board&) : byte_pipe(s, made()) {}

 private:
  static std::pair<descriptor, descriptor> made() {
    int ends[2];
    if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) fail("pipe2");
    return {descriptor(ends[0]), descriptor(ends[1])};
  }
};

class named_pipe : public byte_pipe {
 public:
  named_pipe(const shape& s, board&) : byte_pipe(s, made()) {}

 private:
  static std::pair<descriptor, descriptor> made() {
    const std::string path = std::filesystem::temp_directory_path() / unused_name();
    if (::mkfifo(path.c_str(), 0600) != 0) fail("mkfifo");
    descriptor out(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    descriptor in(::open(path.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
    ::unlink(path.c_str());
    if (out.number() < 0 || in.number() < 0) fail("open");
    return {std::move(out), std::move(in)};
  }
};

class local_socket {
 public:
  local_socket(const shape& s, board&) : bytes_(s.bytes) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | (s.blocks ? 0 : SOCK_NONBLOCK), 0, ends) != 0) {
      fail("socketpair");
    }
    out_ = descriptor(ends[0]);
    in_ = descriptor(ends[1]);
    // The kernel doubles what is asked for.
    const int room = charged() * static_cast<int>(s.capacity) / 2;
    (void)::setsockopt(in_.number(), SOL_SOCKET, SO_SNDBUFFORCE, &room, sizeof room);  // for root
  }

  bool send(const void* m) { return done(::send(in_.number(), m, bytes_, MSG_NOSIGNAL), "send"); }
  bool receive(void* m) { return done(::recv(out_.number(), m, bytes_, 0), "recv"); }

 private:
  // Of the room to send for each message: at 8 bytes a hundred times as much.
  int charged() {
    std::vector<std::byte> message(bytes_);
    int all = 0;
    if (!send(message.data()) || ::ioctl(in_.number(), SIOCOUTQ, &all) != 0 || !receive(message.data()))
      fail("SIOCOUTQ");
    return all;
  }

  std::size_t bytes_;
  descriptor out_{-1};
  descriptor in_{-1};
};

template <class Means, class T, std::size_t Capacity>
class through {
 public:
  using value_type = T;

  through(const work& w, board& b) : means_({sizeof(T), Capacity, w.how == waiting::block}, b) {}

  struct port_type {
    Means& means;
    bool try_push(const T& m) { return means.send(&m); }
    bool try_pop(T& m) { return means.receive(&m); }
    void push(const T& m) { (void)means.send(&m); }
    void pop(T& m) { (void)means.receive(&m); }
  };
  port_type port(const work&, role) { return {means_}; }

 private:
  Means means_;
};

template <class T, std::size_t Capacity>
using through_posix = through<posix_queue, T, Capacity>;
template <class T, std::size_t Capacity>
using through_sysv = through<sysv_queue, T, Capacity>;
template <class T, std::size_t Capacity>
using through_pipe = through<anonymous_pipe, T, Capacity>;
template <class T, std::size_t Capacity>
using through_fifo = through<named_pipe, T, Capacity>;
template <class T, std::size_t Capacity>
using through_socket = through<local_socket, T, Capacity>;

constexpr std::string_view fewer = "holds fewer messages where the system allows no more";
constexpr std::string_view pages = "holds fewer messages where the system allows no more, and a page of them at least";

}  // namespace

void add_kernel(std::vector<contender>& all) {
  all.push_back(contend<through_posix>({.name = "POSIX mq", .from = origin::kernel, .note = fewer}));
  all.push_back(contend<through_sysv>({.name = "SysV mq", .from = origin::kernel, .note = fewer}));
  all.push_back(contend<through_pipe>({.name = "pipe", .from = origin::kernel, .note = pages}));
  all.push_back(contend<through_fifo>({.name = "FIFO", .from = origin::kernel, .note = pages}));
  all.push_back(contend<through_socket>({.name = "Unix socket", .from = origin::kernel, .note = fewer}));
}

}  // namespace millrace::bench
