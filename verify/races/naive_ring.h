// The textbook's ring, wrong on purpose, and two repairs that do not repair it.
//
// Not for use: it is here so that the race demonstration and the models can
// convict it. Nothing in include/ depends on it.
#ifndef MILLRACE_VERIFY_RACES_NAIVE_RING_H_
#define MILLRACE_VERIFY_RACES_NAIVE_RING_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>

#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/status.h"

namespace millrace::races {

// The three ways in which people declare `in` and `out`. Each offers load and
// store and nothing else, as the algorithm wants nothing else.

// int in, out;
template <class Platform>
class plain_index {
 public:
  static constexpr std::string_view kind = "naive_ring";
  std::uint32_t load() const noexcept {
    std::uint32_t value = 0;
    value_.read(value);
    return value;
  }
  void store(std::uint32_t value) noexcept { value_.write(value); }

 private:
  typename Platform::template plain<std::uint32_t> value_;
};

// volatile int in, out; keeps the compiler from caching them, and does no more.
// A model checker cannot see it: model the other two.
template <class Platform>
class volatile_index {
 public:
  static constexpr std::string_view kind = "volatile_ring";
  std::uint32_t load() const noexcept { return value_; }
  void store(std::uint32_t value) noexcept { value_ = value; }

 private:
  volatile std::uint32_t value_ = 0;
};

// _Atomic int in, out; no data race on them is left, and the ring is as wrong.
template <class Platform>
class seq_cst_index {
 public:
  static constexpr std::string_view kind = "seq_cst_ring";
  std::uint32_t load() const noexcept { return value_.load(std::memory_order_seq_cst); }
  void store(std::uint32_t value) noexcept { value_.store(value, std::memory_order_seq_cst); }

 private:
  typename Platform::template atomic<std::uint32_t> value_{0};
};

// A line of this file, for a report to show.
struct source_line {
  unsigned number;
  std::string_view text;
};

// The busy-wait ring of the operating-systems textbook: `in` is where the next
// message goes, `out` where the next one comes from, in == out means empty, and
// one slot stays free so that full looks different.
//
// With one producer and one consumer each index has a single writer, and on
// x86 the processor happens to keep the stores in order. With two producers,
// two of them read the same `in`: both write one slot, both advance. Making
// each access of `in` atomic does not make the three accesses one step.
template <message T, class Platform, template <class> class Index>
class textbook_ring {
  using index = Index<Platform>;
  using slot = typename Platform::template plain<T>;

  struct state {
    index in;
    index out;
  };

 public:
  using value_type = T;
  static constexpr std::string_view kind = index::kind;

  // What goes wrong between two processes goes wrong in these lines.
  static constexpr source_line blamed_for_in{__LINE__ + 1,
                                             "void advance_in() noexcept { in().store((in().load() + 1) % size_); }"};
  void advance_in() noexcept { in().store((in().load() + 1) % size_); }
  static constexpr source_line blamed_for_out{
      __LINE__ + 1, "void advance_out() noexcept { out().store((out().load() + 1) % size_); }"};
  void advance_out() noexcept { out().store((out().load() + 1) % size_); }

  static std::string refuse(const geometry& g) {
    if (g.capacity >= 1 && g.capacity < std::numeric_limits<std::uint32_t>::max()) return {};
    return "capacity " + std::to_string(g.capacity) + " is not from 1 to 4294967294";
  }

  // One slot more than it holds: the textbook's BUFFER_SIZE.
  static std::size_t bytes(const geometry& g) noexcept { return slots_at + (g.capacity + 1) * sizeof(slot); }

  static void construct(void* at, const geometry& g) noexcept {
    auto* const shared = std::construct_at(static_cast<state*>(at));
    shared->in.store(0);
    shared->out.store(0);
    for (std::uint64_t i = 0; i <= g.capacity; ++i) std::construct_at(slots(at) + i);
  }

  textbook_ring(void* at, const geometry& g, std::uint32_t /*member*/) noexcept
      : shared_(static_cast<state*>(at)), slots_(slots(at)), size_(static_cast<std::uint32_t>(g.capacity + 1)) {}

  // The textbook's producer.
  void push(const T& m) noexcept {
    for (unsigned turn = 0; (in().load() + 1) % size_ == out().load(); ++turn) Platform::relax(turn);
    put(m);
  }

  // The textbook's consumer.
  void pop(T& m) noexcept {
    for (unsigned turn = 0; in().load() == out().load(); ++turn) Platform::relax(turn);
    take(m);
  }

  status try_push(const T& m) noexcept {
    if ((in().load() + 1) % size_ == out().load()) return status::full;
    put(m);
    return status::ok;
  }

  status try_pop(T& m) noexcept {
    if (in().load() == out().load()) return status::empty;
    take(m);
    return status::ok;
  }

  std::uint64_t capacity() const noexcept { return size_ - 1; }

  // Where this handle's last push went.
  std::uint32_t last_slot() const noexcept { return last_slot_; }

 private:
  static constexpr std::size_t slots_at = (sizeof(state) + alignof(slot) - 1) / alignof(slot) * alignof(slot);

  static slot* slots(void* at) noexcept { return reinterpret_cast<slot*>(static_cast<std::byte*>(at) + slots_at); }

  index& in() noexcept { return shared_->in; }
  index& out() noexcept { return shared_->out; }

  void put(const T& m) noexcept {
    last_slot_ = in().load();
    slots_[last_slot_].write(m);
    advance_in();
  }

  void take(T& m) noexcept {
    slots_[out().load()].read(m);
    advance_out();
  }

  state* shared_;
  slot* slots_;
  std::uint32_t size_;
  std::uint32_t last_slot_ = 0;
};

template <message T, class Platform = native>
using naive_ring = textbook_ring<T, Platform, plain_index>;
template <message T, class Platform = native>
using volatile_ring = textbook_ring<T, Platform, volatile_index>;
template <message T, class Platform = native>
using seq_cst_ring = textbook_ring<T, Platform, seq_cst_index>;

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_NAIVE_RING_H_
