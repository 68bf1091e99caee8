// Throughput of the rings beside Boost.Lockfree and a plain Vyukov queue, interleaved in one run.
//
// Threads over one mapping, 8-byte messages, capacity 1,024, try calls with a
// yield where they fail. Every pass checks that each message arrived once.
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <boost/lockfree/queue.hpp>
#include <boost/lockfree/spsc_queue.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/vyukov_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/roster.h"
#include "millrace/shared_memory.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"

namespace {

using millrace::status;
using item = std::uint64_t;
constexpr std::uint64_t capacity = 1024;

enum class role : std::uint8_t { producer, consumer };

// Producers on one half of the cores that this process may use, consumers on the other. Left to
// itself the scheduler puts them together or apart as chance has it, which makes a factor of eight.
void stay_on_core(role r, unsigned number) {
  static const std::vector<unsigned> allowed = [] {
    cpu_set_t set;
    ::sched_getaffinity(0, sizeof set, &set);
    std::vector<unsigned> found;
    for (unsigned core = 0; core != CPU_SETSIZE; ++core) {
      if (CPU_ISSET(core, &set)) found.push_back(core);
    }
    return found;
  }();
  const std::size_t half = std::max<std::size_t>(1, allowed.size() / 2);
  const std::size_t which = number % half + (r == role::consumer ? half : 0);
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(allowed[which % allowed.size()], &one);
  ::sched_setaffinity(0, sizeof one, &one);
}

// Million messages a second, or a negative number if any was lost or doubled.
// `queue` gives each thread a port with bool push(item) and bool pop(item&).
template <class Queue>
double measure(Queue& queue, unsigned producers, unsigned consumers, std::uint64_t items) {
  std::atomic<std::uint64_t> left{items};
  std::atomic<std::uint64_t> sum{0};
  std::vector<std::thread> threads;
  std::latch started(producers + consumers + 1);
  // Ports go, and members leave, when the time has been taken.
  std::latch finished(producers + consumers);
  std::latch timed(1);
  for (unsigned p = 0; p != producers; ++p) {
    threads.emplace_back([&, p] {
      stay_on_core(role::producer, p);
      auto port = queue.port();
      started.arrive_and_wait();
      for (item i = p + 1; i <= items; i += producers) {
        while (!port.push(i)) sched_yield();
      }
      finished.count_down();
      timed.wait();
    });
  }
  for (unsigned c = 0; c != consumers; ++c) {
    threads.emplace_back([&, c] {
      stay_on_core(role::consumer, c);
      auto port = queue.port();
      std::uint64_t mine = 0;
      std::uint64_t count = 0;
      started.arrive_and_wait();
      while (left.load(std::memory_order_relaxed) != 0) {
        item i = 0;
        count = 0;
        while (count != 256 && port.pop(i)) {
          mine += i;
          ++count;
        }
        if (count != 0) left.fetch_sub(count, std::memory_order_relaxed);
        if (count != 256) sched_yield();
      }
      sum += mine;
      finished.count_down();
      timed.wait();
    });
  }
  started.arrive_and_wait();
  const auto start = std::chrono::steady_clock::now();
  finished.wait();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  timed.count_down();
  for (std::thread& t : threads) t.join();
  const bool right = sum == items * (items + 1) / 2;
  return (right ? 1e-6 : -1e-6) * static_cast<double>(items) / seconds.count();
}

template <class Ring>
struct ours {
  millrace::shared_ring<Ring> segment =
      *millrace::shared_ring<Ring>::create(millrace::location::anonymous(), {capacity, 16, 0600});
  struct port_type {
    typename millrace::shared_ring<Ring>::handle handle;
    bool push(item i) { return handle.try_push(i) == status::ok; }
    bool pop(item& i) { return handle.try_pop(i) == status::ok; }
  };
  port_type port() { return {*segment.attach()}; }
};

// mpmc_ring with nothing around it: no keeper, nobody's life watched.
struct alone {
  using ring = millrace::mpmc_ring<item>;
  using roster = millrace::roster<millrace::native>;

  static constexpr millrace::geometry shape{capacity, 16};
  static constexpr std::size_t ring_at = 4096;
  static_assert(roster::bytes(shape.members) <= ring_at);

  millrace::shared_memory memory = *millrace::shared_memory::create(
      millrace::location::anonymous(), ring_at + ring::bytes(shape), 0600, [](void* base) {
        roster::construct(base, shape.members);
        ring::construct(static_cast<std::byte*>(base) + ring_at, shape);
      });
  std::atomic<std::uint32_t> ports{0};

  struct port_type {
    ring handle;
    bool push(item i) { return handle.try_push(i) == status::ok; }
    bool pop(item& i) { return handle.try_pop(i) == status::ok; }
  };
  port_type port() {
    return {ring(static_cast<std::byte*>(memory.base()) + ring_at, shape,
                 {roster(memory.base(), shape.members), ports.fetch_add(1)})};
  }
};

struct vyukov {
  millrace::bench::vyukov_ring<item> queue{capacity};
  struct port_type {
    millrace::bench::vyukov_ring<item>* queue;
    bool push(item i) { return queue->try_push(i); }
    bool pop(item& i) { return queue->try_pop(i); }
  };
  port_type port() { return {&queue}; }
};

template <class Boost>
struct boosts {
  Boost queue;
  struct port_type {
    Boost* queue;
    bool push(item i) { return queue->push(i); }
    bool pop(item& i) { return queue->pop(i); }
  };
  port_type port() { return {&queue}; }
};

using boost_queue =
    boosts<boost::lockfree::queue<item, boost::lockfree::fixed_sized<true>, boost::lockfree::capacity<capacity>>>;
using boost_spsc = boosts<boost::lockfree::spsc_queue<item, boost::lockfree::capacity<capacity>>>;

struct contender {
  const char* name;
  std::uint64_t items;
  std::function<double(std::uint64_t)> run;
  std::vector<double> rates{};
};

template <class Queue>
contender make(const char* name, unsigned producers, unsigned consumers, std::uint64_t items) {
  return {name, items, [=](std::uint64_t n) {
            auto queue = std::make_unique<Queue>();
            return measure(*queue, producers, consumers, n);
          }};
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

struct group {
  const char* title;
  std::vector<contender> contenders;  // ours first
};

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app{"Throughput beside Boost.Lockfree and a plain Vyukov queue, ratios with their spread"};
  unsigned passes = 9;
  app.add_option("--passes", passes, "interleaved passes; the median counts")->check(CLI::Range(1u, 1000u));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  }

  std::vector<group> groups;
  groups.push_back({"1P1C, one to one",
                    {make<ours<millrace::spsc_ring<item>>>("spsc_ring", 1, 1, 20'000'000),
                     make<boost_spsc>("boost spsc_queue", 1, 1, 20'000'000)}});
  for (const auto& [title, p, c] : {std::tuple{"1P1C", 1u, 1u}, {"2P2C", 2u, 2u}, {"4P4C", 4u, 4u}}) {
    groups.push_back({title,
                      {make<ours<millrace::mpmc_ring<item>>>("mpmc_ring", p, c, 5'000'000),
                       make<alone>("mpmc_ring alone", p, c, 5'000'000), make<vyukov>("plain Vyukov", p, c, 5'000'000),
                       make<boost_queue>("boost queue", p, c, 500'000)}});
  }
  const bool watched = ::isatty(2) != 0;
  for (unsigned pass = 0; pass != passes; ++pass) {
    for (group& g : groups) {
      // Each in turn is the first.
      for (std::size_t i = 0; i != g.contenders.size(); ++i) {
        contender& c = g.contenders[(pass + i) % g.contenders.size()];
        if (watched) fmt::print(stderr, "\r\033[Kpass {}/{}: {} {}", pass + 1, passes, g.title, c.name);
        c.rates.push_back(c.run(c.items));
      }
    }
  }
  if (watched) fmt::print(stderr, "\r\033[K");

  bool right = true;
  fmt::print("threads, 8-byte messages, capacity {}, {} interleaved passes\n\n", capacity, passes);
  fmt::print("{:<18}{:<18}{:>12}  {}\n", "work", "queue", "million/s", "first / this, median (min to max)");
  for (const group& g : groups) {
    for (const contender& c : g.contenders) {
      std::vector<double> ratios;
      for (std::size_t i = 0; i != c.rates.size(); ++i) {
        right = right && c.rates[i] > 0;
        ratios.push_back(g.contenders.front().rates[i] / c.rates[i]);
      }
      const auto [low, high] = std::minmax_element(ratios.begin(), ratios.end());
      fmt::print("{:<18}{:<18}{:>12.1f}  {:.2f} ({:.2f} to {:.2f})\n", g.title, c.name, median(c.rates), median(ratios),
                 *low, *high);
    }
  }
  if (!right) fmt::print("\nMESSAGES WERE LOST OR DOUBLED (rates shown as negative)\n");
  return right ? 0 : 1;
} catch (const std::exception& e) {
  std::fprintf(stderr, "compare: %s\n", e.what());
  return 2;
}
