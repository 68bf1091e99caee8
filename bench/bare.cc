#include "bench/bare.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "bench/clock.h"
#include "bench/machine.h"
#include "millrace/platform.h"

namespace millrace::bench {
namespace {

constexpr std::chrono::microseconds a_while{2000};

// ns a call, the least of some stretches: what disturbs only adds.
template <class F>
double nanoseconds_of(F f) {
  constexpr int stretches = 16;
  constexpr int calls = 256;
  std::int64_t least = INT64_MAX;
  for (int s = 0; s != stretches; ++s) {
    const std::int64_t from = monotonic_ns();
    for (int i = 0; i != calls; ++i) f();
    least = std::min(least, monotonic_ns() - from);
  }
  return static_cast<double>(least) / calls;
}

double contended_fetch_add() {
  struct alignas(line_bytes) {
    std::atomic<std::uint64_t> word{0};
  } counter;
  std::atomic<int> ready{0};
  constexpr int adds = 100'000;
  struct span {
    std::int64_t from = 0;
    std::int64_t to = 0;
  } first{}, second{};
  const auto add = [&](span& s) {
    for (ready.fetch_add(1); ready.load() != 2;) std::this_thread::yield();
    s.from = monotonic_ns();
    for (int i = 0; i != adds; ++i) counter.word.fetch_add(1, std::memory_order_relaxed);
    s.to = monotonic_ns();
  };
  std::thread one([&] {
    stay_on_first_half(0);
    add(first);
  });
  std::thread other([&] {
    stay_on_second_half(0);
    add(second);
  });
  one.join();
  other.join();
  return static_cast<double>(std::max(first.to, second.to) - std::min(first.from, second.from)) / (2 * adds);
}

double copy_of_4096() {
  struct pages {
    alignas(line_bytes) std::byte from[4096]{};
    alignas(line_bytes) std::byte between[2048]{};  // else each store looks like one to a byte that is read soon
    alignas(line_bytes) std::byte to[4096]{};
  } all;
  return nanoseconds_of([&] {
    std::memcpy(all.to, all.from, sizeof all.to);
    asm volatile("" : : "r"(all.to) : "memory");
  });
}

struct probe {
  std::string_view name;
  std::string_view unit;
  double (*measure)();
};

constexpr probe probes[] = {
    {"a cache line there and back", "ns", [] { return line_round_trip(1, a_while); }},
    {"a line there and another back", "ns", [] { return line_round_trip(2, a_while); }},
    {"fetch_add on one line from two cores, each", "ns", contended_fetch_add},
    {"memcpy of 4 KiB in the nearest cache", "ns", copy_of_4096},
    {"a system call (getppid)", "ns", [] { return nanoseconds_of([] { ::syscall(SYS_getppid); }); }},
    {"a futex wake with nobody asleep", "ns",
     [] {
       static std::atomic<std::uint32_t> word{0};
       return nanoseconds_of([] { ::syscall(SYS_futex, &word, FUTEX_WAKE, 1, nullptr, nullptr, 0); });
     }},
};

}  // namespace

std::vector<bare_figure> bare_figures() {
  std::vector<bare_figure> all;
  for (const probe& p : probes) all.push_back({std::string(p.name), std::string(p.unit)});
  return all;
}

double measure_bare(std::string_view name) { return std::ranges::find(probes, name, &probe::name)->measure(); }

}  // namespace millrace::bench
