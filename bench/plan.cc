#include "bench/plan.h"

#include <fmt/format.h>

#include <array>
#include <span>

#include "bench/machine.h"

namespace millrace::bench {
namespace {

struct topology {
  std::uint32_t producers;
  std::uint32_t consumers;
};

constexpr std::array<topology, 6> topologies{{{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 4}, {16, 16}}};

std::string name_of(const work& w) { return fmt::format("{}P{}C", w.producers, w.consumers); }

std::vector<column> along_topologies(work w, std::span<const topology> which = topologies) {
  std::vector<column> all;
  for (const topology& t : which) {
    w.producers = t.producers;
    w.consumers = t.consumers;
    all.push_back({name_of(w), w});
  }
  return all;
}

// One column for each value of a field of `w`.
template <class T, std::size_t N>
std::vector<column> along(work w, T work::*field, const std::array<std::pair<const char*, T>, N>& values) {
  std::vector<column> all;
  for (const auto& [label, value] : values) {
    w.*field = value;
    all.push_back({label, w});
  }
  return all;
}

constexpr std::array<std::pair<const char*, std::size_t>, 3> batches{{{"1", 1}, {"8", 8}, {"64", 64}}};
constexpr std::array<std::pair<const char*, waiting>, 3> ways{
    {{"yield", waiting::yield}, {"spin", waiting::spin}, {"block", waiting::block}}};

constexpr std::array<std::pair<const char*, std::size_t>, 5> sizes{
    {{"8 B", 8}, {"64 B", 64}, {"256 B", 256}, {"1 KiB", 1024}, {"4 KiB", 4096}}};
constexpr std::array<std::pair<const char*, std::size_t>, 3> capacities{
    {{"64", 64}, {"1,024", 1024}, {"65,536", 65536}}};

}  // namespace

std::vector<section> plan() {
  const work threads{.where = place::threads};
  const work processes{.where = place::processes};
  const work threads_mixed{.where = place::threads, .cores = placement::mixed};
  const work processes_mixed{.where = place::processes, .cores = placement::mixed};
  const auto crowds = std::span(topologies).last(3);  // as many on one side as on the other, and more than one
  const work crowd{.where = place::processes, .producers = 2, .consumers = 2};
  work spinning{.what = task::round_trip, .where = place::processes, .how = waiting::spin};
  work calling = spinning;
  calling.how = waiting::block;
  work waking = calling;
  waking.what = task::wake_up;
  const work alone{.what = task::alone, .consumers = 0};
  work doing_nothing = calling;
  doing_nothing.what = task::idle;
  work blocking = processes;
  blocking.how = waiting::block;
  const std::vector<std::string_view> mechanisms{"channel",
                                                 "channel of spsc_ring",
                                                 "channel of growing_ring",
                                                 "mutex_ring",
                                                 "semaphore_ring",
                                                 "byte_channel",
                                                 "mailbox",
                                                 "direct",
                                                 "broadcast",
                                                 "rendezvous",
                                                 "pipe",
                                                 "FIFO",
                                                 "POSIX mq",
                                                 "SysV mq",
                                                 "Unix socket"};
  return {
      {"threads", "Threads, 8 bytes, 1,024 slots", "mpmc_ring", along_topologies(threads)},
      {"processes", "Processes, 8 bytes, 1,024 slots", "mpmc_ring", along_topologies(processes)},
      {"threads-mixed", "Threads, each core with producers and consumers, 8 bytes, 1,024 slots", "mpmc_ring",
       along_topologies(threads_mixed, crowds)},
      {"processes-mixed", "Processes, each core with producers and consumers, 8 bytes, 1,024 slots", "mpmc_ring",
       along_topologies(processes_mixed, crowds)},
      {"sizes", "Sizes, 1P1C, processes, 1,024 slots", "spsc_ring", along(processes, &work::bytes, sizes)},
      {"capacities", "Slots, 1P1C, processes, 8 bytes", "mpmc_ring", along(processes, &work::capacity, capacities),
       false},
      {"batches", "Batches, 1P1C, processes, 8 bytes", "mpmc_ring", along(processes, &work::batch, batches)},
      {"batches-2P2C", "Batches, 2P2C, processes, 8 bytes", "mpmc_ring", along(crowd, &work::batch, batches), false},
      {"waiting", "Waiting, 1P1C, processes, 8 bytes", "mpmc_ring", along(processes, &work::how, ways), false},
      {"waiting-2P2C", "Waiting, 2P2C, processes, 8 bytes", "mpmc_ring", along(crowd, &work::how, ways), false},
      {"mechanisms",
       "Every mechanism, 1P1C, processes, 8 bytes",
       "channel",
       {{"blocking calls", blocking}},
       false,
       mechanisms},
      {"mechanisms-trips",
       "Every mechanism there and back, processes, 8 bytes",
       "channel",
       {{"blocking calls", calling}, {"blocking calls, the other asleep", waking}},
       false,
       mechanisms},
      {"members",
       "With members and without, processes, 8 bytes, 1,024 slots",
       "mpmc_ring",
       along_topologies(processes),
       false,
       {"mpmc_ring", "mpmc_ring memberless"}},
      {"round-trip",
       "Round trips, processes, 8 bytes",
       "mpmc_ring",
       {{"tries, spinning", spinning}, {"blocking calls", calling}, {"blocking calls, the other asleep", waking}}},
      {"alone", "One worker that pops what it has pushed, 1,024 slots", "mpmc_ring", along(alone, &work::bytes, sizes),
       false},
      {"idle", "Receivers whom nobody sends anything, processes", "mpmc_ring", {{"blocked", doing_nothing}}},
  };
}

std::chrono::milliseconds window_of(const work& job, const effort& e) {
  if (job.what == task::idle) return e.idleness;
  if (job.what == task::wake_up) return e.window * 4;
  const std::size_t to_a_core = (job.workers() + cores().size() - 1) / cores().size();
  return e.window * (to_a_core > 4 ? 6 : to_a_core > 1 ? 2 : 1);
}

}  // namespace millrace::bench
