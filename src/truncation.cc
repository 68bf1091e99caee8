#include "millrace/truncation.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <utility>

namespace millrace {

// One guard's, in a list that only grows: the handler may walk it at any moment. A
// free one is used again.
struct truncation_guard::post {
  enum class stage : std::uint8_t { free, being_written, on_guard, cut_off };

  std::atomic<stage> now{stage::being_written};
  std::uintptr_t from = 0;
  std::size_t bytes = 0;
  int file = -1;
  substitute write;
  post* next = nullptr;  // written before the post is in the list, and never again

  bool guards(std::uintptr_t address) const noexcept {
    const stage s = now.load(std::memory_order_acquire);  // pairs with the guard's constructor
    return (s == stage::on_guard || s == stage::cut_off) && address - from < bytes;
  }

  // By the handler. Where two threads do it at once, the later one's memory stays.
  bool replace() noexcept {
    if (now.load(std::memory_order_relaxed) == stage::cut_off) return true;  // another thread's: try the access again
    void* const fresh =
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (fresh == MAP_FAILED) return false;
    if (write) write(fresh);
    if (::mremap(fresh, bytes, bytes, MREMAP_MAYMOVE | MREMAP_FIXED, reinterpret_cast<void*>(from)) == MAP_FAILED) {
      ::munmap(fresh, bytes);
      return false;
    }
    now.store(stage::cut_off, std::memory_order_relaxed);
    (void)!::ftruncate(file, 0);
    return true;
  }

  static std::atomic<post*> all;
  static struct sigaction before;  // written once, before there is a handler

  static void on_sigbus(int signal, siginfo_t* info, void* context) noexcept;
  static void install();
};

std::atomic<truncation_guard::post*> truncation_guard::post::all{nullptr};
struct sigaction truncation_guard::post::before {};

void truncation_guard::post::on_sigbus(int signal, siginfo_t* info, void* context) noexcept {
  const int kept = errno;
  if (info->si_code == BUS_ADRERR) {
    const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
    for (post* p = all.load(std::memory_order_acquire); p != nullptr; p = p->next) {  // pairs with the constructor
      if (!p->guards(address) || !p->replace()) continue;
      errno = kept;
      return;
    }
  }
  if ((before.sa_flags & SA_SIGINFO) != 0) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else if (info->si_code > 0 || before.sa_handler == SIG_DFL) {
    // The kernel ignores no fault: its access comes again, and ends the process.
    ::signal(signal, SIG_DFL);
    if (info->si_code <= 0) ::raise(signal);  // somebody sent it; delivered on return
  }
  errno = kept;
}

void truncation_guard::post::install() {
  static std::once_flag once;
  std::call_once(once, [] {
    ::sigaction(SIGBUS, nullptr, &before);
    struct sigaction ours {};
    ours.sa_sigaction = on_sigbus;
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&ours.sa_mask);
    ::sigaction(SIGBUS, &ours, nullptr);
  });
}

truncation_guard::truncation_guard(void* mapping, std::size_t bytes, int file, substitute write) {
  post::install();
  for (post* p = post::all.load(std::memory_order_acquire); p != nullptr && post_ == nullptr; p = p->next) {
    auto unused = post::stage::free;
    // acquire: pairs with the destructor.
    if (p->now.compare_exchange_strong(unused, post::stage::being_written, std::memory_order_acquire)) post_ = p;
  }
  if (post_ == nullptr) {
    post_ = new post;
    post_->next = post::all.load(std::memory_order_relaxed);
    while (!post::all.compare_exchange_weak(post_->next, post_, std::memory_order_release)) {
    }
  }
  post_->from = reinterpret_cast<std::uintptr_t>(mapping);
  post_->bytes = bytes;
  post_->file = file;
  post_->write = std::move(write);
  post_->now.store(post::stage::on_guard, std::memory_order_release);  // pairs with guards
}

truncation_guard::truncation_guard(truncation_guard&& other) noexcept : post_(std::exchange(other.post_, nullptr)) {}

truncation_guard& truncation_guard::operator=(truncation_guard&& other) noexcept {
  std::swap(post_, other.post_);
  return *this;
}

truncation_guard::~truncation_guard() {
  if (post_ == nullptr) return;
  post_->now.store(post::stage::being_written, std::memory_order_relaxed);
  post_->write = nullptr;
  post_->now.store(post::stage::free, std::memory_order_release);  // pairs with the constructor
}

bool truncation_guard::cut_off() const noexcept {
  // relaxed: whoever asks has been in the replaced memory itself, or will find out there.
  return post_ != nullptr && post_->now.load(std::memory_order_relaxed) == post::stage::cut_off;
}

}  // namespace millrace
