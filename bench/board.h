// Memory that all who take part in one run share, and that is read whatever became of them.
#ifndef MILLRACE_BENCH_BOARD_H_
#define MILLRACE_BENCH_BOARD_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <string>

#include "bench/histogram.h"
#include "bench/message.h"
#include "millrace/ring.h"

namespace millrace::bench {

inline constexpr std::uint32_t most_workers = 2 * most_producers;

// Of one worker, written by it alone. Producers come first.
struct alignas(line_bytes) desk {
  std::atomic<std::uint64_t> moved{0};  // messages sent or received so far
  std::int64_t ended_ns = 0;            // on the monotonic clock
  std::int64_t cpu_ns = 0;              // from the start to the end
  ledger books{};                       // a consumer's
};

struct board {
  alignas(line_bytes) std::atomic<std::uint32_t> ready{0};    // workers that have attached
  alignas(line_bytes) std::atomic<std::uint32_t> started{0};  // futex
  alignas(line_bytes) std::atomic<std::uint32_t> enough{0};   // producers stop
  std::atomic<std::uint32_t> warm{0};                         // from now on it counts
  alignas(line_bytes) std::atomic<std::uint32_t> producers_left{0};
  bool realtime = false;
  std::int64_t started_ns = 0;
  std::int64_t warm_ns = 0;
  std::uint64_t received_cold = 0;
  double line_before = 0;  // see outcome
  double line_after = 0;
  std::size_t bytes = 0;  // that the queue takes, where that is known
  // To be removed after the run, as nobody else does: System V queues and POSIX segments.
  std::array<std::int32_t, 2> message_queues{-1, -1};
  std::array<std::array<char, 64>, 2> segments{};
  std::array<char, 256> refused{};  // why there was no queue
  histogram trips{};
  std::array<desk, most_workers> desks{};

  void leave_message_queue(std::int32_t id) noexcept { message_queues[message_queues[0] < 0 ? 0 : 1] = id; }
  void leave_segment(const std::string& name) noexcept {
    std::array<char, 64>& free = segments[segments[0].front() == '\0' ? 0 : 1];
    std::copy_n(name.c_str(), std::min(name.size() + 1, free.size()), free.data());
  }
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_BOARD_H_
