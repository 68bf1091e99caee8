// One run of one queue, in processes of its own: whatever it does, the caller lives, and is not kept waiting.
#ifndef MILLRACE_BENCH_STAGE_H_
#define MILLRACE_BENCH_STAGE_H_

#include <sys/types.h>

#include <chrono>

#include "bench/board.h"
#include "bench/contender.h"
#include "bench/work.h"

namespace millrace::bench {

// A child that dies with its parent.
pid_t fork_bound();

// A board that processes share. What queues have left on it to be removed goes with it.
class shared_board {
 public:
  shared_board();
  shared_board(const shared_board&) = delete;
  shared_board& operator=(const shared_board&) = delete;
  ~shared_board();

  board& operator*() const noexcept { return *static_cast<board*>(at_); }
  board* operator->() const noexcept { return static_cast<board*>(at_); }

 private:
  void* at_;
};

// What a run may take beyond its window.
inline constexpr std::chrono::milliseconds usual_patience{2500};

// A run that is under way. Producers send for `window`, consumers then take what is left. Ended from
// outside if that takes longer than `beyond` it. Leaves nothing behind. For one thread of a process that has no other.
// With `realtime` it runs ahead of everything else on the machine; the caller, too, then has such a rank.
class performance {
 public:
  performance(const contender& who, const work& job, std::chrono::milliseconds window, bool realtime,
              std::chrono::milliseconds beyond = usual_patience);
  performance(const performance&) = delete;
  performance& operator=(const performance&) = delete;

  outcome finish();  // once

 private:
  shared_board shared_;
  work job_;
  std::chrono::milliseconds limit_;
  pid_t stage_ = -1;
};

outcome perform(const contender& who, const work& job, std::chrono::milliseconds window, bool realtime,
                std::chrono::milliseconds beyond = usual_patience);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_STAGE_H_
