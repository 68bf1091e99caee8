// Memory that all who take part in one run share, and that is read whatever became of them.
#ifndef MILLRACE_BENCH_BOARD_H_
#define MILLRACE_BENCH_BOARD_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

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
  alignas(line_bytes) std::atomic<std::uint32_t> producers_left{0};
  std::atomic<std::uint32_t> ended{0};  // workers whose figures are complete
  bool realtime = false;
  std::int64_t started_ns = 0;
  std::int64_t enough_ns = 0;
  double line_before = 0;  // see outcome
  double line_after = 0;
  std::atomic<std::int32_t> message_queue{-1};  // a System V queue to be removed, as nobody else does
  std::array<char, 64> segment{};               // likewise a POSIX segment
  std::array<char, 256> refused{};              // why there was no queue
  histogram trips{};
  std::array<desk, most_workers> desks{};
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_BOARD_H_
