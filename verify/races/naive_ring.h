// The textbook's ring, wrong on purpose, and two repairs that do not repair it.
//
// Not for use: it is here so that the race demonstration and the models can
// convict it. Nothing in include/ depends on it.
#ifndef MILLRACE_VERIFY_RACES_NAIVE_RING_H_
#define MILLRACE_VERIFY_RACES_NAIVE_RING_H_

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/status.h"
#include "verify/races/broken_ring.h"

namespace millrace::races {

inline constexpr std::string_view naive_ring_file = "verify/races/naive_ring.h";

// On the machine the indices are the ints that people declare. A model checker
// sees an access only through the seam: there, they are ints that go through it.
template <class Platform>
inline constexpr bool on_the_machine = std::derived_from<Platform, native>;

template <class Platform>
class watched_int {
 public:
  operator int() const noexcept {
    std::uint32_t value = 0;
    value_.read(value);
    return static_cast<int>(value);
  }
  watched_int& operator=(int value) noexcept {
    value_.write(static_cast<std::uint32_t>(value));
    return *this;
  }

 private:
  typename Platform::template plain<std::uint32_t> value_;
};

template <class Platform>
class watched_atomic_int {
 public:
  operator int() const noexcept { return static_cast<int>(value_.load(std::memory_order_seq_cst)); }
  watched_atomic_int& operator=(int value) noexcept {
    value_.store(static_cast<std::uint32_t>(value), std::memory_order_seq_cst);
    return *this;
  }

 private:
  typename Platform::template atomic<std::uint32_t> value_{0};
};

// The three ways in which people declare `in` and `out`.

// int in, out;
template <class Platform>
struct plain_int {
  static constexpr std::string_view kind = "naive";
  static constexpr std::string_view about = "the textbook's busy wait over int in, out; 5 slots in a SysV segment";
  static constexpr std::string_view why =
      "to read the index, to use its slot and to advance it are three steps; another process gets in between";
  static constexpr std::string_view alone =
      "That is luck. Nothing but this processor's habit orders the message before the index that announces it; an "
      "optimiser may move the one past the other, and drops the empty wait loop over int in, out altogether (g++ 12 "
      "and clang 14 at -O2: here a barrier for the compiler keeps it).";
  using type = std::conditional_t<on_the_machine<Platform>, int, watched_int<Platform>>;
};

// volatile int in, out; no model checker sees these: model the other two.
template <class Platform>
struct volatile_int {
  static constexpr std::string_view kind = "volatile";
  static constexpr std::string_view about = "the same over volatile int in, out: a repair that people try";
  static constexpr std::string_view why =
      "volatile makes the compiler read the index each time; it makes three steps no less than three";
  static constexpr std::string_view alone =
      "That is luck. volatile keeps the compiler from moving one index past the other, but not the message past the "
      "index; that the processor moves neither is this one's habit.";
  using type = volatile int;
};

// _Atomic int in, out;
template <class Platform>
struct seq_cst_int {
  static constexpr std::string_view kind = "seq_cst";
  static constexpr std::string_view about = "the same over seq_cst atomic in, out: no data race on them, and no better";
  static constexpr std::string_view why =
      "each access of the index is atomic and ordered; the three together are not one step";
  static constexpr std::string_view alone =
      "That is no luck: so ordered it is Lamport's ring of 1977, which is right for one and one, and for no more.";
  using type = std::conditional_t<on_the_machine<Platform>, std::atomic<int>, watched_atomic_int<Platform>>;
};

// The busy-wait ring of the operating-systems textbook, line for line: `in` is
// where the next message goes, `out` where the next one comes from, in == out
// means empty, and one slot stays free so that full looks different.
//
// With one producer and one consumer each index has a single writer, and on
// x86 the processor happens to keep the stores in order. With two producers,
// two of them read the same `in`: both write one slot, both advance. Making
// each access of `in` atomic does not make the three accesses one step.
template <message T, class Platform, template <class> class Index>
class textbook_ring {
  using slot = typename Platform::template plain<T>;

  struct shared_data {
    typename Index<Platform>::type in;
    typename Index<Platform>::type out;
  };

 public:
  using value_type = T;
  using platform_type = Platform;
  static constexpr std::string_view kind = Index<Platform>::kind;
  static constexpr std::string_view about = Index<Platform>::about;

  // The textbook's producer.
  status push(const T& next_produced) noexcept {
    while ((shared_->in + 1) % buffer_size_ == shared_->out) do_nothing();
    put(next_produced);
    return status::ok;
  }

  // The textbook's consumer.
  status pop(T& next_consumed) noexcept {
    while (shared_->in == shared_->out) do_nothing();
    take(next_consumed);
    return status::ok;
  }

  status try_push(const T& m) noexcept {
    if ((shared_->in + 1) % buffer_size_ == shared_->out) return status::full;
    put(m);
    return status::ok;
  }

  status try_pop(T& m) noexcept {
    if (shared_->in == shared_->out) return status::empty;
    take(m);
    return status::ok;
  }

  // What goes wrong between two processes goes wrong in these lines.
  static constexpr source_line blamed_for_in{naive_ring_file, __LINE__ + 1,
                                             "void advance_in() { shared_->in = (shared_->in + 1) % buffer_size_; }"};
  void advance_in() { shared_->in = (shared_->in + 1) % buffer_size_; }
  static constexpr source_line blamed_for_out{
      naive_ring_file, __LINE__ + 1, "void advance_out() { shared_->out = (shared_->out + 1) % buffer_size_; }"};
  void advance_out() { shared_->out = (shared_->out + 1) % buffer_size_; }
  static constexpr flaw wrong{blamed_for_in, blamed_for_out, Index<Platform>::why, Index<Platform>::alone};

  static std::string refuse(const geometry& g) {
    constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<int>::max()) - 1;
    if (g.capacity >= 1 && g.capacity <= most) return {};
    return "capacity " + std::to_string(g.capacity) + " is not from 1 to " + std::to_string(most);
  }

  // One slot more than it holds: the textbook's BUFFER_SIZE.
  static std::size_t bytes(const geometry& g) noexcept { return buffer_at + (g.capacity + 1) * sizeof(slot); }

  static void construct(void* at, const geometry& g) noexcept {
    auto* const shared = std::construct_at(static_cast<shared_data*>(at));
    shared->in = 0;
    shared->out = 0;
    for (std::uint64_t i = 0; i <= g.capacity; ++i) std::construct_at(buffer(at) + i);
  }

  // Who attaches is nothing to it.
  template <class Member>
  textbook_ring(void* at, const geometry& g, const Member& /*who*/) noexcept
      : shared_(static_cast<shared_data*>(at)), buffer_(buffer(at)), buffer_size_(static_cast<int>(g.capacity) + 1) {}

  std::uint64_t capacity() const noexcept { return static_cast<std::uint64_t>(buffer_size_) - 1; }
  std::uint32_t last_slot() const noexcept { return static_cast<std::uint32_t>(last_slot_); }

 private:
  static constexpr std::size_t buffer_at = (sizeof(shared_data) + alignof(slot) - 1) / alignof(slot) * alignof(slot);

  static slot* buffer(void* at) noexcept { return reinterpret_cast<slot*>(static_cast<std::byte*>(at) + buffer_at); }

  // What the textbook's wait loops do. It is built without optimisation, so that
  // each turn looks at the indices anew. An optimiser may assume that the loop
  // ends, and drop it: g++ 12 and clang 14 do so at -O2. This keeps the loop as it
  // is written. Where the platform has something happen to a process that does
  // nothing, it happens here: a model lets the others run, as the scheduler will.
  static void do_nothing() noexcept {
    asm volatile("" ::: "memory");
    if constexpr (!on_the_machine<Platform>) {
      Platform::relax(0);
    } else if constexpr (requires { Platform::jostle(); }) {
      Platform::jostle();
    }
  }

  void put(const T& m) noexcept {
    last_slot_ = shared_->in;
    buffer_[last_slot_].write(m);
    advance_in();
  }

  void take(T& m) noexcept {
    buffer_[shared_->out].read(m);
    advance_out();
  }

  shared_data* shared_;
  slot* buffer_;
  int buffer_size_;
  int last_slot_ = 0;
};

template <message T, class Platform = native>
using naive_ring = textbook_ring<T, Platform, plain_int>;
template <message T, class Platform = native>
using volatile_ring = textbook_ring<T, Platform, volatile_int>;
template <message T, class Platform = native>
using seq_cst_ring = textbook_ring<T, Platform, seq_cst_int>;

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_NAIVE_RING_H_
