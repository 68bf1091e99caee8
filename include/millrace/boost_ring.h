// Boost.Lockfree's queue as a ring: the baseline that people know.
#ifndef MILLRACE_BOOST_RING_H_
#define MILLRACE_BOOST_RING_H_

#include <algorithm>
#include <atomic>
#include <bit>
#include <boost/lockfree/queue.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "millrace/event_count.h"
#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/roster.h"
#include "millrace/status.h"

namespace millrace {

// boost::lockfree::queue, fixed-sized (Michael and Scott, 1996, over a tagged
// free list), with this library's calls and waiting around it. Only the
// compile-time-sized queue has no pointers inside and so may live in shared
// memory: construct instantiates the one for each capacity that is allowed.
//
// What a failed try means: `full`: the free list was seen empty; `empty`: the
// queue's front was seen to be its end. Never busy. `closed` is a flag beside the
// queue: a push under way during close may still go in after a pop has said
// closed; a later pop returns it.
//
// A caller killed in mid-operation leaks a node, or leaves its message to be seen
// later: this ring does not survive SIGKILL and never will.
//
// Capacity: a power of two, 1 to 32768. T is default-constructible.
template <message T>
class boost_ring : public ring_calls<boost_ring<T>, T, native> {
 public:
  static constexpr std::string_view kind = "boost_ring";

  static std::string refuse(const geometry& g) {
    if (std::has_single_bit(g.capacity) && g.capacity <= max_capacity) return {};
    return "capacity " + std::to_string(g.capacity) + " is not a power of two from 1 to 32768; try " +
           std::to_string(std::bit_ceil(std::clamp<std::uint64_t>(g.capacity, 1, max_capacity)));
  }

  static std::size_t bytes(const geometry& g) noexcept {
    return sizeof(control) + with_queue(nullptr, g.capacity, [](auto* q) noexcept { return sizeof(*q); });
  }

  static void construct(void* at, const geometry& g) noexcept {
    control* const c = std::construct_at(static_cast<control*>(at));
    with_queue(c + 1, g.capacity, [](auto* q) noexcept { return std::construct_at(q) != nullptr; });
  }

  static void construct_cut_off(void* at, const geometry& g) noexcept {
    construct(at, g);
    static_cast<control*>(at)->closed.store(1, std::memory_order_relaxed);  // there is no corrupt here
  }

  boost_ring(void* at, const geometry& g, const membership<native>& /*who: nobody is recorded*/) noexcept
      : shared_(static_cast<control*>(at)), capacity_(g.capacity) {}

  status try_push(const T& m) noexcept {
    // relaxed: the caller reacts to a close when it sees it.
    if (shared_->closed.load(std::memory_order_relaxed) != 0) return status::closed;
    if (!with_queue(shared_ + 1, capacity_, [&](auto* q) noexcept { return q->bounded_push(m); })) return status::full;
    shared_->not_empty.notify();
    return status::ok;
  }

  status try_pop(T& m) noexcept {
    const bool closed = shared_->closed.load(std::memory_order_acquire) != 0;  // pairs with close
    if (!with_queue(shared_ + 1, capacity_, [&](auto* q) noexcept { return q->pop(m); })) {
      return closed ? status::closed : status::empty;
    }
    shared_->not_full.notify();
    return status::ok;
  }

  batch_result try_push_n(std::span<const T> m) noexcept {
    batch_result moved;
    while (moved.why == status::ok && moved.count != m.size()) {
      moved.why = try_push(m[moved.count]);
      if (moved.why == status::ok) ++moved.count;
    }
    return moved;
  }

  batch_result try_pop_n(std::span<T> m) noexcept {
    batch_result moved;
    while (moved.why == status::ok && moved.count != m.size()) {
      moved.why = try_pop(m[moved.count]);
      if (moved.why == status::ok) ++moved.count;
    }
    return {moved.count != 0 ? status::ok : moved.why, moved.count};
  }

  void close() noexcept {
    shared_->closed.store(1, std::memory_order_release);  // pairs with try_pop
    shared_->not_empty.notify();
    shared_->not_full.notify();
  }

  void settle() noexcept {}  // nobody knows what the dead one held

  void alarm() noexcept {
    shared_->not_empty.alarm();
    shared_->not_full.alarm();
  }

  std::uint64_t capacity() const noexcept { return capacity_; }

  // Boost's queue does not count: 0 if it was empty, else 1.
  std::uint64_t size_approx() const noexcept {
    return with_queue(shared_ + 1, capacity_, [](auto* q) noexcept { return q->empty(); }) ? 0 : 1;
  }

  event_count<native>& not_empty() noexcept { return shared_->not_empty; }
  event_count<native>& not_full() noexcept { return shared_->not_full; }

 private:
  static constexpr std::uint64_t max_capacity = 32768;

  template <std::size_t Capacity>
  using queue = boost::lockfree::queue<T, boost::lockfree::fixed_sized<true>, boost::lockfree::capacity<Capacity>>;

  struct control {
    alignas(line_bytes) std::atomic<std::uint32_t> closed{0};  // written once, by anyone
    event_count<native> not_empty;
    event_count<native> not_full;
    alignas(line_bytes) std::byte end[line_bytes];  // the queue starts on a line of its own
  };

  // Calls `f` with `at` as a pointer to the queue of this capacity.
  template <std::size_t Capacity = 1, class F>
  static auto with_queue(void* at, std::uint64_t capacity, F f) noexcept {
    if constexpr (Capacity < max_capacity) {
      if (capacity != Capacity) return with_queue<Capacity * 2>(at, capacity, f);
    }
    return f(static_cast<queue<Capacity>*>(at));
  }

  control* shared_;
  std::uint64_t capacity_;
};

}  // namespace millrace

#endif  // MILLRACE_BOOST_RING_H_
