#include "millrace/truncation.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <utility>

namespace millrace {

// One guard's, in a list that only grows: the handler may walk it at any moment. A
// free one is used again.
//
//   now   [ uses : 61 | stage : 3 ]
//
// `from` and `bytes` are of one guard if `now`, read before and after them, is the
// same and says on_guard: uses rises with each new guard. The rest is looked at only
// by who has found its own address guarded: that guard is not destroyed meanwhile.
struct truncation_guard::post {
  enum stage : std::uint64_t { free, being_written, on_guard, replacing, replaced };

  static constexpr std::uint64_t use = 8;
  static constexpr std::uint64_t stage_mask = use - 1;

  std::atomic<std::uint64_t> now{being_written};
  std::atomic<std::uintptr_t> from{0};
  std::atomic<std::size_t> bytes{0};
  int file = -1;
  dev_t device = 0;
  ino_t inode = 0;
  substitute write;
  post* next = nullptr;  // written before the post is in the list, and never again

  bool guards(std::uintptr_t address) const noexcept {
    const std::uint64_t before_it = now.load(std::memory_order_acquire);  // pairs with the guard's constructor
    // acquire: whoever sees another guard's sees that `now` is another, too.
    const std::uintptr_t begin = from.load(std::memory_order_acquire);
    const std::size_t size = bytes.load(std::memory_order_acquire);
    return (before_it & stage_mask) >= on_guard && address - begin < size &&
           (now.load(std::memory_order_relaxed) & ~stage_mask) == (before_it & ~stage_mask);
  }

  // By the handler, of many threads perhaps. False if the system has refused it.
  bool replace() noexcept {
    for (;;) {
      std::uint64_t expected = now.load(std::memory_order_acquire);  // pairs with the stores below
      const std::uint64_t of_this = expected & ~stage_mask;
      if (expected == (of_this | replaced)) return true;  // by another: the access is tried again
      if (expected == (of_this | replacing)) {
        ::sched_yield();
      } else if (now.compare_exchange_strong(expected, of_this | replacing, std::memory_order_acquire)) {
        const bool done = replace_alone();
        now.store(of_this | (done ? replaced : on_guard), std::memory_order_release);  // pairs with the load above
        return done;
      }
    }
  }

 private:
  bool replace_alone() noexcept {
    constexpr int readable = PROT_READ | PROT_WRITE;
    constexpr int own = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void* const at = reinterpret_cast<void*>(from.load(std::memory_order_relaxed));
    const std::size_t size = bytes.load(std::memory_order_relaxed);
    void* const fresh = ::mmap(nullptr, size, readable, own, -1, 0);
    if (fresh != MAP_FAILED && write) write(fresh);
    if (fresh == MAP_FAILED || ::mremap(fresh, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, at) == MAP_FAILED) {
      // No room for both at once: for a moment the others find zeros.
      if (fresh != MAP_FAILED) ::munmap(fresh, size);
      if (::mmap(at, size, readable, own | MAP_FIXED, -1, 0) == MAP_FAILED) return false;
      if (write) write(at);
    }
    struct stat info {};
    // The number may be another file's by now: descriptors are closed by whoever likes.
    if (::fstat(file, &info) == 0 && info.st_dev == device && info.st_ino == inode) (void)!::ftruncate(file, 0);
    return true;
  }
};

namespace {

struct sigaction handler_before {};  // written once, before there is a handler of ours

}  // namespace

void truncation_guard::on_sigbus(int signal, siginfo_t* info, void* context) noexcept {
  const int kept = errno;
  if (info->si_code == BUS_ADRERR) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    for (post* p = posts.load(std::memory_order_acquire); p != nullptr; p = p->next) {  // pairs with the constructor
      if (!p->guards(address) || !p->replace()) continue;
      errno = kept;
      return;
    }
  }
  if ((handler_before.sa_flags & SA_SIGINFO) != 0) {
    handler_before.sa_sigaction(signal, info, context);
  } else if (handler_before.sa_handler != SIG_DFL && handler_before.sa_handler != SIG_IGN) {
    handler_before.sa_handler(signal);
  } else if (info->si_code > 0 || handler_before.sa_handler == SIG_DFL) {
    // The kernel ignores no fault: its access comes again, and ends the process.
    ::signal(signal, SIG_DFL);
    if (info->si_code <= 0) ::raise(signal);  // somebody sent it; delivered on return
  }
  errno = kept;
}

std::atomic<truncation_guard::post*> truncation_guard::posts{nullptr};

truncation_guard::truncation_guard(void* mapping, std::size_t bytes, int file, substitute write) {
  static std::once_flag installed;
  std::call_once(installed, [] {
    ::sigaction(SIGBUS, nullptr, &handler_before);
    struct sigaction ours {};
    ours.sa_sigaction = on_sigbus;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&ours.sa_mask);
    ::sigaction(SIGBUS, &ours, nullptr);
  });
  for (post* p = posts.load(std::memory_order_acquire); p != nullptr && post_ == nullptr; p = p->next) {
    std::uint64_t unused = p->now.load(std::memory_order_relaxed);
    // acquire: pairs with the destructor.
    if ((unused & post::stage_mask) == post::free &&
        p->now.compare_exchange_strong(unused, unused + post::use + post::being_written, std::memory_order_acquire)) {
      post_ = p;
    }
  }
  if (post_ == nullptr) {
    post_ = new post;
    post_->next = posts.load(std::memory_order_relaxed);
    while (!posts.compare_exchange_weak(post_->next, post_, std::memory_order_release)) {
    }
  }
  // release: pairs with guards, where `now` is then seen to be of a new use.
  post_->from.store(reinterpret_cast<std::uintptr_t>(mapping), std::memory_order_release);
  post_->bytes.store(bytes, std::memory_order_release);
  post_->file = file;
  struct stat info {};
  if (::fstat(file, &info) != 0) post_->file = -1;
  post_->device = info.st_dev;
  post_->inode = info.st_ino;
  post_->write = std::move(write);
  const std::uint64_t use = post_->now.load(std::memory_order_relaxed) & ~post::stage_mask;
  post_->now.store(use | post::on_guard, std::memory_order_release);  // pairs with guards
}

truncation_guard::truncation_guard(truncation_guard&& other) noexcept : post_(std::exchange(other.post_, nullptr)) {}

truncation_guard& truncation_guard::operator=(truncation_guard&& other) noexcept {
  std::swap(post_, other.post_);
  return *this;
}

truncation_guard::~truncation_guard() {
  if (post_ == nullptr) return;
  const std::uint64_t use = post_->now.load(std::memory_order_relaxed) & ~post::stage_mask;
  post_->now.store(use | post::being_written, std::memory_order_relaxed);
  post_->write = nullptr;
  post_->now.store(use | post::free, std::memory_order_release);  // pairs with the constructor
}

bool truncation_guard::cut_off() const noexcept {
  // From `replacing` on, which is stored before the mapping changes: who has found there what another thread has just
  // put in its place asks why. relaxed: it has come by a system call, behind which every thread sees what was before
  // it.
  return post_ != nullptr && (post_->now.load(std::memory_order_relaxed) & post::stage_mask) >= post::replacing;
}

}  // namespace millrace
