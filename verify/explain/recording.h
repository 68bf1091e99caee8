// The steps of one execution, as the model checker did them.
#ifndef MILLRACE_VERIFY_EXPLAIN_RECORDING_H_
#define MILLRACE_VERIFY_EXPLAIN_RECORDING_H_

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "verify/recorder.h"

namespace verify::explain {

// What makes an execution long to tell; first the steps, then the stale reads.
struct cost {
  std::size_t steps = 0;
  std::size_t stale = 0;
  friend auto operator<=>(const cost&, const cost&) = default;
};

// Installed for as long as it lives. Holds the execution that ran last.
class recording : public recorder {
 public:
  static constexpr std::size_t most_steps = 4000;  // a livelock ends before

  recording();
  ~recording() override { installed = nullptr; }
  recording(const recording&) = delete;
  recording& operator=(const recording&) = delete;

  // From now on an execution is given up as soon as it costs this much, and
  // each after so many.
  void give_up_at(const cost& limit) noexcept { limit_ = limit; }
  void stop_after(std::uint64_t executions) noexcept { most_executions_ = executions; }

  bool gave_up() const noexcept { return gave_up_; }
  std::uint64_t executions() const noexcept { return executions_; }
  bool exhausted() const noexcept { return executions_ > most_executions_; }

  const cost& price() const noexcept { return price_; }
  // What before(), the threads and after() did. If before() fails, its steps are
  // all there is, and stand for the threads'.
  bool begun() const noexcept { return begun_; }
  std::span<const step> before() const noexcept { return std::span(steps_).first(begin_); }
  std::span<const step> threads() const noexcept {
    return std::span(steps_).first(std::min(end_, steps_.size())).subspan(begin_);
  }
  std::span<const step> after() const noexcept { return std::span(steps_).subspan(std::min(end_, steps_.size())); }
  const step& last() const noexcept { return steps_.back(); }
  // Every object of the platform that before() left, by address.
  std::span<const void* const> objects() {
    if (!begun_) list_objects();  // those that were made before the failure: they are not dropped
    return objects_;
  }

  void execution_begins() override;
  void threads_begin() override;
  void threads_end() override {
    end_ = steps_.size();
    running_ = false;
  }
  void record(const step& s) override;
  void returned(const bits& value) override { steps_.back().found = value; }

 private:
  static constexpr std::size_t most_objects = 256;
  static constexpr std::size_t never = SIZE_MAX;

  void give_up(const char* why);
  void list_objects();

  // Room for all of them is made beforehand: Relacy counts what is allocated
  // while an execution runs.
  std::vector<step> steps_;
  std::vector<const void*> objects_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
  cost price_;
  cost limit_{most_steps, 0};
  std::uint64_t most_executions_ = UINT64_MAX;
  std::uint64_t executions_ = 0;
  bool begun_ = false;
  bool running_ = false;
  bool gave_up_ = false;
};

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_RECORDING_H_
