#include "bench/plan.h"

#include <fmt/format.h>

#include <array>

#include "bench/machine.h"

namespace millrace::bench {
namespace {

struct topology {
  std::uint32_t producers;
  std::uint32_t consumers;
};

constexpr std::array<topology, 6> topologies{{{1, 1}, {2, 1}, {1, 2}, {2, 2}, {4, 4}, {16, 16}}};

std::string name_of(const work& w) { return fmt::format("{}P{}C", w.producers, w.consumers); }

std::vector<column> along_topologies(work w) {
  std::vector<column> all;
  for (const topology& t : topologies) {
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

}  // namespace

std::vector<section> plan() {
  const work threads{.where = place::threads};
  const work processes{.where = place::processes};
  const work crowd{.where = place::processes, .producers = 2, .consumers = 2};
  return {
      {"threads", "Threads, 8 bytes, 1,024 slots", "mpmc_ring", along_topologies(threads)},
      {"processes", "Processes, 8 bytes, 1,024 slots", "mpmc_ring", along_topologies(processes)},
      {"batches", "Batches, 1P1C, processes, 8 bytes", "mpmc_ring", along(processes, &work::batch, batches)},
      {"batches-2P2C", "Batches, 2P2C, processes, 8 bytes", "mpmc_ring", along(crowd, &work::batch, batches)},
      {"waiting", "Waiting, 1P1C, processes, 8 bytes", "mpmc_ring", along(processes, &work::how, ways)},
      {"waiting-2P2C", "Waiting, 2P2C, processes, 8 bytes", "mpmc_ring", along(crowd, &work::how, ways)},
  };
}

std::chrono::milliseconds window_of(const work& job, const effort& e) {
  const std::size_t to_a_core = (job.workers() + cores().size() - 1) / cores().size();
  return e.window * (to_a_core > 4 ? 6 : to_a_core > 1 ? 2 : 1);
}

std::string to_string(const work& job) {
  return fmt::format("{} {} {} B", name_of(job), job.where == place::threads ? "threads" : "processes", job.bytes);
}

}  // namespace millrace::bench
