// What a set-up call returns: the thing asked for, or an error fit to be shown.
#ifndef MILLRACE_RESULT_H_
#define MILLRACE_RESULT_H_

#include <cstdint>
#include <string>
#include <utility>
#include <variant>

namespace millrace {

enum class errc : std::uint8_t {
  bad_argument,   // a name, size, mode or capacity that can never work
  exists,         // asked to create what is there already
  not_found,      // asked to open what is not there
  no_permission,  // it belongs to somebody else
  no_space,       // no memory to back it (ENOSPC, ENOMEM)
  limit,          // a limit of the system or of the ring is reached
  foreign,        // it is there, and millrace did not make it
  incompatible,   // it holds another ring, type, capacity or version
  system,         // anything else the kernel refused
};

// `message` is one complete line: the object, what was expected, what was
// found, and what to do about it.
struct error {
  errc code = errc::system;
  int sys_errno = 0;   // errno of the call that failed; 0 if none did
  std::string object;  // "posix:/ticks", "sysv:0x3039", ...
  std::string message;
};

// A value or an error. Reading the wrong one of the two is a programming error.
template <class T>
class [[nodiscard]] result {
 public:
  result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  result(millrace::error e) : state_(std::in_place_index<1>, std::move(e)) {}

  explicit operator bool() const noexcept { return state_.index() == 0; }

  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  T&& operator*() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }

  const millrace::error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, millrace::error> state_;
};

using done = std::monostate;  // result<done>: nothing to return but success

}  // namespace millrace

#endif  // MILLRACE_RESULT_H_
