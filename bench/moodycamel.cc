// moodycamel::ConcurrentQueue: blocks of slots for each producer, on the heap.
#include <string_view>
#include <vector>

#include "bench/contender.h"

#ifdef BENCH_HAS_MOODYCAMEL
#include <concurrentqueue/concurrentqueue.h>

#include <cstddef>
#include <optional>
#include <span>
#endif

namespace millrace::bench {
namespace {

constexpr traits unordered{.name = "moodycamel",
                           .from = origin::peer,
                           .package = "libconcurrentqueue-dev",
                           .between_processes = false,
                           .fifo = false,
                           .note = "in order for each producer only; room for as much from each"};

#ifdef BENCH_HAS_MOODYCAMEL

template <class T, std::size_t Capacity>
class blocks {
  // Else one producer may take all of the room for good.
  struct limited : moodycamel::ConcurrentQueueDefaultTraits {
    static constexpr std::size_t MAX_SUBQUEUE_SIZE = Capacity;
  };
  using queue = moodycamel::ConcurrentQueue<T, limited>;

 public:
  using value_type = T;

  blocks(const work& w, board&) : queue_(Capacity, w.producers, 0) {}

  class port_type {
   public:
    port_type(queue& q, role r) : queue_(q) {
      if (r != role::consumer) in_.emplace(q);
      if (r != role::producer) out_.emplace(q);
    }

    bool try_push(const T& m) { return queue_.try_enqueue(*in_, m); }
    bool try_pop(T& m) { return queue_.try_dequeue(*out_, m); }
    std::size_t try_push_n(std::span<const T> m) {
      return queue_.try_enqueue_bulk(*in_, m.data(), m.size()) ? m.size() : 0;
    }
    std::size_t try_pop_n(std::span<T> m) { return queue_.try_dequeue_bulk(*out_, m.data(), m.size()); }

   private:
    queue& queue_;
    std::optional<moodycamel::ProducerToken> in_{};
    std::optional<moodycamel::ConsumerToken> out_{};
  };
  port_type port(const work&, role r) { return {queue_, r}; }

 private:
  queue queue_;
};

#endif

}  // namespace

void add_moodycamel(std::vector<contender>& all) {
#ifdef BENCH_HAS_MOODYCAMEL
  all.push_back(contend<blocks>(unordered));
#else
  all.push_back({unordered});
#endif
}

}  // namespace millrace::bench
