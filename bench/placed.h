// A queue without pointers, in memory that workers map by themselves.
#ifndef MILLRACE_BENCH_PLACED_H_
#define MILLRACE_BENCH_PLACED_H_

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include "bench/work.h"

namespace millrace::bench {

// `bytes` of a file in memory, mapped: at another address by each process.
class mapping {
 public:
  mapping(int file, std::size_t bytes) : bytes_(bytes) {
    at_ = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, file, 0);
    if (at_ == MAP_FAILED) throw std::runtime_error("no memory for the queue");
  }
  mapping(mapping&& other) noexcept : at_(std::exchange(other.at_, nullptr)), bytes_(other.bytes_) {}
  mapping& operator=(mapping&&) = delete;
  ~mapping() {
    if (at_ != nullptr) ::munmap(at_, bytes_);
  }

  void* at() const noexcept { return at_; }

 private:
  void* at_;
  std::size_t bytes_;
};

class file_in_memory {
 public:
  explicit file_in_memory(std::size_t bytes) : file_(::memfd_create("queue", MFD_CLOEXEC)) {
    if (file_ < 0 || ::ftruncate(file_, static_cast<off_t>(bytes)) != 0) {
      throw std::runtime_error("no memory for the queue");
    }
  }
  file_in_memory(const file_in_memory&) = delete;
  file_in_memory& operator=(const file_in_memory&) = delete;
  ~file_in_memory() { ::close(file_); }

  int get() const noexcept { return file_; }

 private:
  int file_;
};

// A `Q`, of `bytes` in all where something lies behind it.
template <class Q>
class placed {
 public:
  // A worker's pointer to it, and its own mapping, where it has one.
  class view {
   public:
    explicit view(Q* at) noexcept : at_(at) {}
    explicit view(mapping own) noexcept : own_(std::move(own)), at_(static_cast<Q*>(own_->at())) {}

    Q* operator->() const noexcept { return at_; }
    Q& operator*() const noexcept { return *at_; }

   private:
    std::optional<mapping> own_{};
    Q* at_;
  };

  template <class... Args>
  explicit placed(std::size_t bytes, Args&&... args) : bytes_(bytes), file_(bytes), map_(file_.get(), bytes) {
    std::construct_at(static_cast<Q*>(map_.at()), std::forward<Args>(args)...);
  }
  placed() : placed(sizeof(Q)) {}

  view seen_by(const work& w) const {
    if (w.where == place::processes) return view(mapping(file_.get(), bytes_));
    return view(static_cast<Q*>(map_.at()));
  }

  std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::size_t bytes_;
  file_in_memory file_;
  mapping map_;
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_PLACED_H_
