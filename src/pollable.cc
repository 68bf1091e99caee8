#include "millrace/pollable.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <utility>

#include "millrace/descriptor.h"
#include "millrace/process.h"
#include "refusal.h"

namespace millrace {
namespace {

class bell {
 public:
  explicit bell(descriptor event) noexcept : event_(std::move(event)) {}

  void ring() const noexcept {
    const std::uint64_t one = 1;
    (void)!::write(event_.number(), &one, sizeof one);
  }
  void silence() const noexcept {
    std::uint64_t rings = 0;
    (void)!::read(event_.number(), &rings, sizeof rings);  // EAGAIN: it was silent
  }

  int number() const noexcept { return event_.number(); }

 private:
  descriptor event_;
};

}  // namespace

struct pollable::state {
  state(selector& of, millrace::descriptor event) : look(of, bell(std::move(event))) {}

  lookout<native, bell> look;
  pthread_t watcher{};
  std::uint32_t born_in = forks();  // a child's copy has no watcher
};

result<pollable> pollable::create(selector& of) {
  millrace::descriptor event(::eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC));
  if (event.number() < 0) return refused(errno, "pollable", "an event's descriptor", "eventfd");
  auto made = std::make_unique<state>(of, std::move(event));
  // It does nothing but sleep: signals are for the application's own threads.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  const int e = ::pthread_create(
      &made->watcher, nullptr,
      [](void* s) -> void* {
        ::prctl(PR_SET_NAME, "millrace watch");
        static_cast<state*>(s)->look.run();
        return nullptr;
      },
      made.get());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (e != 0) {
    if (const std::string why = too_many_mappings(); !why.empty()) return refused(errc::limit, e, "pollable", why);
    return refused(errc::limit, e, "pollable",
                   "its thread cannot be started; raise the limit of processes (ulimit -u), or of address space "
                   "(ulimit -v)");
  }
  return pollable(std::move(made));
}

pollable::pollable(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}
pollable::pollable(pollable&& other) noexcept = default;

bool pollable::usable() const noexcept { return state_ != nullptr && state_->born_in == forks(); }

pollable::~pollable() {
  if (!usable()) return;
  state_->look.end();
  ::pthread_join(state_->watcher, nullptr);
}

int pollable::descriptor() const noexcept { return state_ != nullptr ? state_->look.bell().number() : -1; }

selection pollable::try_select() noexcept {
  return usable() ? state_->look.try_select() : selection{selection::none, status::closed};
}

}  // namespace millrace
