// Maxim Egorushkin's atomic_queue.
#include <string_view>
#include <vector>

#include "bench/contender.h"

#ifdef BENCH_HAS_ATOMIC_QUEUE
#include <atomic_queue/atomic_queue.h>

#include <cstddef>
#include <type_traits>

#include "bench/placed.h"
#endif

namespace millrace::bench {
namespace {

constexpr traits of_words{.name = "atomic_queue", .from = origin::peer, .package = "libatomic-queue-dev"};
constexpr traits of_any{.name = "atomic_queue2", .from = origin::peer, .package = "libatomic-queue-dev"};
constexpr traits one_each{
    .name = "atomic_queue2 SPSC", .from = origin::peer, .package = "libatomic-queue-dev", .one_to_one = true};
constexpr std::string_view spins = "its push and pop, which spin inside; measured where each worker has a core";
constexpr traits optimist{.name = "atomic_queue optimist",
                          .from = origin::peer,
                          .package = "libatomic-queue-dev",
                          .waits_inside = true,
                          .note = spins};
constexpr traits optimist_one_each{.name = "atomic_queue SPSC optimist",
                                   .from = origin::peer,
                                   .package = "libatomic-queue-dev",
                                   .one_to_one = true,
                                   .waits_inside = true,
                                   .note = spins};

#ifdef BENCH_HAS_ATOMIC_QUEUE

template <class Queue, class T>
class tried {
 public:
  using value_type = T;

  tried(const work&, board&) {}

  struct port_type {
    typename placed<Queue>::view queue;
    bool try_push(const T& m) noexcept {
      if constexpr (std::is_same_v<typename Queue::value_type, mark>)
        return queue->try_push(m.stamped());
      else
        return queue->try_push(m);
    }
    bool try_pop(T& m) noexcept {
      if constexpr (std::is_same_v<typename Queue::value_type, mark>)
        return queue->try_pop(m.words[0]);
      else
        return queue->try_pop(m);
    }
  };
  port_type port(const work& w, role) { return {queue_.seen_by(w)}; }
  std::size_t bytes() const noexcept { return queue_.bytes(); }

 private:
  placed<Queue> queue_;
};

template <class Queue>
class insisting {
 public:
  using value_type = parcel<8>;

  insisting(const work&, board&) {}

  struct port_type {
    typename placed<Queue>::view at;
    void push(const value_type& m) noexcept { at->push(m.stamped()); }
    void pop(value_type& m) noexcept { m.stamp(at->pop()); }
  };
  port_type port(const work& w, role) { return {queue_.seen_by(w)}; }

 private:
  placed<Queue> queue_;
};

// For one and one as upstream has it: neither contention nor throughput to be minded, and no total order.
template <class T, std::size_t Capacity>
using words = std::conditional_t<sizeof(T) == sizeof(mark), tried<atomic_queue::AtomicQueue<mark, Capacity>, T>, void>;
template <class T, std::size_t Capacity>
using any = tried<atomic_queue::AtomicQueue2<T, Capacity>, T>;
template <class T, std::size_t Capacity>
using any_one_each = tried<atomic_queue::AtomicQueue2<T, Capacity, false, false, false, true>, T>;
template <class T, std::size_t Capacity>
using words_optimist =
    std::conditional_t<sizeof(T) == sizeof(mark), insisting<atomic_queue::AtomicQueue<mark, Capacity>>, void>;
template <class T, std::size_t Capacity>
using words_optimist_one_each =
    std::conditional_t<sizeof(T) == sizeof(mark),
                       insisting<atomic_queue::AtomicQueue<mark, Capacity, mark{}, false, false, false, true>>, void>;

#endif

}  // namespace

void add_atomic_queue(std::vector<contender>& all) {
#ifdef BENCH_HAS_ATOMIC_QUEUE
  all.push_back(contend<words>(of_words));
  all.push_back(contend<any>(of_any));
  all.push_back(contend<any_one_each>(one_each));
  all.push_back(contend<words_optimist>(optimist));
  all.push_back(contend<words_optimist_one_each>(optimist_one_each));
#else
  for (const traits& t : {of_words, of_any, one_each, optimist, optimist_one_each}) all.push_back({t});
#endif
}

}  // namespace millrace::bench
