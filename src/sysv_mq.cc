#include "millrace/sysv_mq.h"

#include <sys/ipc.h>
#include <sys/msg.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <optional>
#include <sstream>
#include <thread>

#include "refusal.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

std::string called(std::int32_t key) {
  std::ostringstream text;
  text << "sysv mq:0x" << std::hex << static_cast<std::uint32_t>(key);
  return text.str();
}

error refused(int e, const std::string& object, const char* call) {
  if (e == ENOSPC) {
    return refused(errc::limit, e, object,
                   "kernel.msgmni = " + sysctl("kernel/msgmni") +
                       " queues are there; see ipcs -q, remove some, or raise it with sysctl");
  }
  return millrace::refused(e, object, "a message queue", call);
}

// The kernel makes a queue that nobody finds for key 0, also where none is to be made.
std::optional<error> wrong_key(std::int32_t key) {
  if (key != IPC_PRIVATE) return std::nullopt;
  return refused(errc::bad_argument, 0, called(key),
                 "expected a key other than 0, which is nobody's (IPC_PRIVATE); use another");
}

// In bytes: kernel.msgmax, also where there is no /proc.
std::uint64_t longest_message() {
  msginfo limits{};
  if (::msgctl(0, IPC_INFO, reinterpret_cast<msqid_ds*>(&limits)) < 0) return ~std::uint64_t{0};
  return static_cast<std::uint64_t>(limits.msgmax);
}

// Between two looks, where the kernel does not wake.
bool await_a_little(deadline until) noexcept {
  const deadline::clock::time_point now = deadline::clock::now();
  if (now >= until.when()) return false;
  std::this_thread::sleep_until(std::min(until.when(), now + 1ms));
  return true;
}

}  // namespace

result<done> create_sysv_mq(std::int32_t key, std::uint64_t capacity, std::size_t message_bytes, mode_t mode) {
  const std::string object = called(key);
  if (const auto wrong = wrong_key(key)) return *wrong;
  if (const auto wrong = wrong_mode(mode, object)) return *wrong;
  if (const auto wrong = wrong_capacity(capacity, object)) return *wrong;
  const int queue = ::msgget(key, IPC_CREAT | IPC_EXCL | static_cast<int>(mode));
  if (queue < 0) return refused(errno, object, "msgget");
  msqid_ds about{};
  const std::uint64_t most = 1u << 30;
  const bool sayable = capacity <= most && message_bytes <= most / capacity;
  bool taken = false;
  if (sayable && ::msgctl(queue, IPC_STAT, &about) == 0) {
    about.msg_qbytes = capacity * message_bytes;
    taken = message_bytes <= longest_message() && ::msgctl(queue, IPC_SET, &about) == 0;
  }
  if (taken) return done{};
  ::msgctl(queue, IPC_RMID, nullptr);
  return refused(errc::limit, 0, object,
                 "expected messages of at most kernel.msgmax = " + sysctl("kernel/msgmax") +
                     " bytes, in all at most kernel.msgmnb = " + sysctl("kernel/msgmnb") + ", found " +
                     std::to_string(capacity) + " of " + std::to_string(message_bytes) +
                     "; ask for less, or raise those with sysctl");
}

result<done> unlink_sysv_mq(std::int32_t key) {
  if (const auto wrong = wrong_key(key)) return *wrong;
  const int queue = ::msgget(key, 0);
  if (queue < 0 || ::msgctl(queue, IPC_RMID, nullptr) != 0) return refused(errno, called(key), "msgctl");
  return done{};
}

result<sysv_mq_end> sysv_mq_end::open(std::int32_t key, std::size_t message_bytes) {
  if (const auto wrong = wrong_key(key)) return *wrong;
  const int queue = ::msgget(key, 0);
  const std::string object = called(key);
  if (queue < 0) return refused(errno, object, "msgget");
  if (const std::uint64_t longest = longest_message(); message_bytes > longest) {
    return refused(errc::limit, 0, object,
                   "expected messages of at most kernel.msgmax = " + std::to_string(longest) + " bytes, found " +
                       std::to_string(message_bytes) + " asked for; send less at once, or raise it with sysctl");
  }
  msqid_ds about{};  // who may only send can't ask for it
  if (::msgctl(queue, IPC_STAT, &about) == 0 && message_bytes > about.msg_qbytes) {
    return refused(errc::incompatible, 0, object,
                   "expected messages of " + std::to_string(message_bytes) + " bytes, found a queue with room for " +
                       std::to_string(about.msg_qbytes) + " in all; ask for what is there, or use another key");
  }
  return sysv_mq_end(queue, message_bytes);
}

status sysv_mq_end::send(std::span<const std::byte> message, deadline until) noexcept {
  if (let_go()) return status::closed;
  constexpr long type = 1;
  std::memcpy(copy_.data(), &type, sizeof type);
  std::memcpy(copy_.data() + sizeof type, message.data(), message.size());
  for (;;) {
    if (::msgsnd(queue_, copy_.data(), message.size(), until.is_never() ? 0 : IPC_NOWAIT) == 0) return status::ok;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return status::closed;
    if (!await_a_little(until)) return status::timed_out;
  }
}

status sysv_mq_end::receive(std::span<std::byte> message, deadline until) noexcept {
  if (let_go()) return status::closed;
  for (;;) {
    const ssize_t got = ::msgrcv(queue_, copy_.data(), message.size(), 0, until.is_never() ? 0 : IPC_NOWAIT);
    if (got == static_cast<ssize_t>(message.size())) {
      std::memcpy(message.data(), copy_.data() + sizeof(long), message.size());
      return status::ok;
    }
    if (got >= 0) return status::corrupt;
    if (errno == EINTR) continue;
    if (errno == E2BIG) {  // another program's: thrown away
      (void)::msgrcv(queue_, copy_.data(), message.size(), 0, IPC_NOWAIT | MSG_NOERROR);
      return status::corrupt;
    }
    if (errno != ENOMSG) return status::closed;
    if (!await_a_little(until)) return status::timed_out;
  }
}

}  // namespace millrace
