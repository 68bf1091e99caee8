// What one process pays for each call when nobody else is there: no contention, all in its own cache.
#include <benchmark/benchmark.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "bench/cached_ring.h"
#include "bench/message.h"
#include "bench/placed.h"
#include "bench/value_of.h"
#include "bench/vyukov_ring.h"
#include "millrace/channel.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/select.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"

namespace millrace::bench {
namespace {

constexpr std::uint64_t slots = 1024;

// As users have it: in a segment, with members and a keeper.
template <class Ring>
class attached {
 public:
  using value_type = typename Ring::value_type;

  typename shared_ring<Ring>::handle& operator*() { return handle_; }

 private:
  shared_ring<Ring> segment_ = value_of(shared_ring<Ring>::create(location::memfd("alone"), {.capacity = slots}));
  typename shared_ring<Ring>::handle handle_ = value_of(segment_.attach());
};

// A textbook's, which survives nothing.
template <template <class> class Ring, class T>
class plain {
 public:
  using value_type = T;

  Ring<T>& operator*() { return *view_; }

 private:
  placed<Ring<T>> ring_{Ring<T>::bytes(slots), slots};
  typename placed<Ring<T>>::view view_ = ring_.seen_by({.where = place::threads});
};

bool succeeded(bool moved) { return moved; }
bool succeeded(status s) { return s == status::ok; }

template <class Holder>
void push_and_pop(benchmark::State& state) {
  Holder holder;
  auto& ring = *holder;
  typename Holder::value_type m{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(m);
    if (!succeeded(ring.try_push(m)) || !succeeded(ring.try_pop(m)))
      return state.SkipWithError("a message was refused");
  }
  state.SetItemsProcessed(state.iterations());
}

template <class Holder, std::size_t Size>
void batches(benchmark::State& state) {
  Holder holder;
  auto& ring = *holder;
  std::array<typename Holder::value_type, Size> m{};
  for (auto _ : state) {
    benchmark::DoNotOptimize(m);
    if (ring.try_push_n(m).count != Size || ring.try_pop_n(m).count != Size) {
      return state.SkipWithError("a message was refused");
    }
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(Size));
}

template <class Holder>
void in_place(benchmark::State& state) {
  Holder holder;
  auto& ring = *holder;
  for (auto _ : state) {
    auto to = ring.try_reserve();
    if (!to) return state.SkipWithError("no slot");
    to->stamp(1);
    to.commit();
    const auto from = ring.try_peek();
    if (!from) return state.SkipWithError("no message");
    benchmark::DoNotOptimize(from->stamped());
  }
  state.SetItemsProcessed(state.iterations());
}

template <class Holder>
void pop_from_empty(benchmark::State& state) {
  Holder holder;
  auto& ring = *holder;
  typename Holder::value_type m{};
  for (auto _ : state) {
    if (succeeded(ring.try_pop(m))) return state.SkipWithError("a message from nowhere");
  }
}

// Beside `others` alternatives that have nothing.
void select_a_pop(benchmark::State& state) {
  using holder = attached<mpmc_ring<parcel<8>>>;
  std::vector<holder> idle(static_cast<std::size_t>(state.range(0)));
  holder busy;
  parcel<8> m{};
  selector any(on_pop(*busy, m));
  for (holder& h : idle) (void)any.add(on_pop(*h, m));
  for (auto _ : state) {
    if (!succeeded((*busy).try_push(m)) || any.select() != selection{0, status::ok}) {
      return state.SkipWithError("a message was refused");
    }
  }
}

void create_and_let_go(benchmark::State& state) {
  for (auto _ : state) {
    benchmark::DoNotOptimize(channel<parcel<8>>::create(location::memfd("alone"), {.capacity = slots}));
  }
}

void join_and_leave(benchmark::State& state) {
  auto segment = value_of(shared_ring<mpmc_ring<parcel<8>>>::create(location::memfd("alone"), {.capacity = slots}));
  const auto first = value_of(segment.attach());  // starts the keeper
  for (auto _ : state) benchmark::DoNotOptimize(segment.attach());
}

template <std::size_t Bytes>
using mpmc = attached<mpmc_ring<parcel<Bytes>>>;
template <std::size_t Bytes>
using spsc = attached<spsc_ring<parcel<Bytes>>>;
template <std::size_t Bytes>
using mutex = attached<mutex_ring<parcel<Bytes>>>;
template <std::size_t Bytes>
using semaphore = attached<semaphore_ring<parcel<Bytes>>>;
template <std::size_t Bytes>
using growing = attached<growing_ring<parcel<Bytes>>>;
template <std::size_t Bytes>
using plain_vyukov = plain<vyukov_ring, parcel<Bytes>>;
template <std::size_t Bytes>
using plain_cached = plain<cached_ring, parcel<Bytes>>;

#define MILLRACE_BENCH_SIZES(holder)              \
  BENCHMARK_TEMPLATE(push_and_pop, holder<8>);    \
  BENCHMARK_TEMPLATE(push_and_pop, holder<64>);   \
  BENCHMARK_TEMPLATE(push_and_pop, holder<256>);  \
  BENCHMARK_TEMPLATE(push_and_pop, holder<1024>); \
  BENCHMARK_TEMPLATE(push_and_pop, holder<4096>)
MILLRACE_BENCH_SIZES(mpmc);
MILLRACE_BENCH_SIZES(plain_vyukov);
MILLRACE_BENCH_SIZES(spsc);
MILLRACE_BENCH_SIZES(plain_cached);
BENCHMARK_TEMPLATE(push_and_pop, mutex<8>);
BENCHMARK_TEMPLATE(push_and_pop, semaphore<8>);
BENCHMARK_TEMPLATE(push_and_pop, growing<8>);
BENCHMARK_TEMPLATE(batches, mpmc<8>, 8);
BENCHMARK_TEMPLATE(batches, mpmc<8>, 64);
BENCHMARK_TEMPLATE(batches, spsc<8>, 8);
BENCHMARK_TEMPLATE(batches, spsc<8>, 64);
BENCHMARK_TEMPLATE(batches, mutex<8>, 64);
BENCHMARK_TEMPLATE(in_place, mpmc<8>);
BENCHMARK_TEMPLATE(in_place, mpmc<4096>);
BENCHMARK_TEMPLATE(in_place, spsc<4096>);
BENCHMARK_TEMPLATE(pop_from_empty, mpmc<8>);
BENCHMARK_TEMPLATE(pop_from_empty, spsc<8>);
BENCHMARK(select_a_pop)->Arg(0)->Arg(7)->Arg(126);
BENCHMARK(create_and_let_go);
BENCHMARK(join_and_leave);

}  // namespace
}  // namespace millrace::bench

BENCHMARK_MAIN();
