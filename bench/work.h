// What a queue is put to, and what came of it.
#ifndef MILLRACE_BENCH_WORK_H_
#define MILLRACE_BENCH_WORK_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "bench/histogram.h"

namespace millrace::bench {

enum class place : std::uint8_t { threads, processes };

// What a worker does whose try has failed; or it makes the queue's own blocking calls.
enum class waiting : std::uint8_t { yield, spin, block };

// Of workers on cores.
enum class placement : std::uint8_t {
  apart,  // producers on one half of the cores, consumers on the other
  mixed,  // the first of either side on the first core, and so on
};

enum class task : std::uint8_t {
  stream,      // producers send as much as they can
  round_trip,  // one message at a time to the other and back, at once
  wake_up,     // likewise, with a pause between in which the other falls asleep
  idle,        // consumers wait for what does not come
  alone,       // one worker pops what it has pushed; the only work without consumers
};

struct work {
  task what = task::stream;
  place where = place::threads;
  placement cores = placement::apart;
  waiting how = waiting::yield;
  std::uint32_t producers = 1;
  std::uint32_t consumers = 1;
  std::size_t bytes = 8;
  std::size_t capacity = 1024;
  std::size_t batch = 1;

  std::uint32_t workers() const noexcept { return producers + consumers; }
  friend bool operator==(const work&, const work&) = default;
};

// One run of one queue.
struct outcome {
  std::string failed{};  // why there is no figure: refused, killed by a signal
  bool stuck = false;    // it was ended from outside; the rate is that of what had got through by then
  std::uint64_t sent = 0;
  std::uint64_t received = 0;
  std::uint64_t cold = 0;  // of those, before what counts
  double seconds = 0;      // that count
  double least_share = 0;  // of the slowest worker, to the average one of its side
  double busy = 0;         // CPU time of the workers, to that of the cores that they could have
  double receivers = 0;    // CPU time of the consumers' processes, in seconds
  std::size_t bytes = 0;   // of memory for the queue, where that is known
  std::uint64_t lost = 0;
  std::uint64_t doubled = 0;
  std::uint64_t damaged = 0;
  std::uint64_t reordered = 0;  // within one producer's messages to one consumer
  double line_before = 0;       // ns, a cache line's round trip between two cores, just before and just after
  double line_after = 0;
  histogram trips{};  // ns, of round trips

  bool right() const noexcept { return lost == 0 && doubled == 0 && damaged == 0; }
  double rate() const noexcept { return seconds > 0 ? static_cast<double>(received - cold) / seconds : 0; }
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_WORK_H_
