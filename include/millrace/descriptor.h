// A descriptor of the kernel's, closed at the end of its life, and waiting on it.
#ifndef MILLRACE_DESCRIPTOR_H_
#define MILLRACE_DESCRIPTOR_H_

#include <string>

#include "millrace/deadline.h"
#include "millrace/result.h"

namespace millrace {

// Close-on-exec; inherited by fork, where the child's goes by itself. One that was moved
// from is none, and system calls refuse it with EBADF.
class descriptor {
 public:
  explicit descriptor(int number) noexcept : number_(number) {}
  descriptor(descriptor&& other) noexcept;
  descriptor& operator=(descriptor&& other) noexcept;
  ~descriptor();

  int number() const noexcept { return number_; }

  // Another of the same open file. errc::limit if there is none left.
  result<descriptor> duplicate(const std::string& object) const;

  // Sleeps until poll(2) finds one of `events`, or a hang-up or error, there; false if
  // the deadline has passed first. May return true for no reason.
  bool await(short events, deadline until) const noexcept;

  // Whether every writer of this pipe has gone, as against none having come.
  bool hung_up() const noexcept;

 private:
  int number_;
};

}  // namespace millrace

#endif  // MILLRACE_DESCRIPTOR_H_
