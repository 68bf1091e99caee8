#include "millrace/descriptor.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "refusal.h"

namespace millrace {

descriptor::descriptor(descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}

descriptor& descriptor::operator=(descriptor&& other) noexcept {
  descriptor taken(std::move(other));
  std::swap(number_, taken.number_);  // what it had is closed now, and not when `other` goes
  return *this;
}

descriptor::~descriptor() {
  if (number_ >= 0) ::close(number_);
}

result<descriptor> descriptor::duplicate(const std::string& object) const {
  const int another = ::fcntl(number_, F_DUPFD_CLOEXEC, 0);
  if (another >= 0) return descriptor(another);
  return refused(errno, object, "an open file", "fcntl");
}

bool descriptor::await(short events, deadline until) const noexcept {
  timespec rest{};
  if (!until.is_never()) {
    const deadline::clock::duration left = until.when() - deadline::clock::now();
    if (left <= deadline::clock::duration::zero()) return false;
    rest = deadline::at(deadline::clock::time_point(left)).to_timespec();
  }
  pollfd what{number_, events, 0};
  return ::ppoll(&what, 1, until.is_never() ? nullptr : &rest, nullptr) != 0;  // -1: a signal handler ran
}

bool descriptor::hung_up() const noexcept {
  pollfd what{number_, POLLIN, 0};
  return ::poll(&what, 1, 0) > 0 && (what.revents & (POLLHUP | POLLIN)) == POLLHUP;
}

}  // namespace millrace
