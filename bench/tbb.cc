// oneTBB's concurrent_bounded_queue: pages on the heap.
#include <vector>

#include "bench/contender.h"

#ifdef BENCH_HAS_TBB
#include <tbb/concurrent_queue.h>

#include <cstddef>
#endif

namespace millrace::bench {
namespace {

constexpr traits pages{
    .name = "TBB bounded", .from = origin::peer, .package = "libtbb-dev", .between_processes = false};

#ifdef BENCH_HAS_TBB

template <class T, std::size_t Capacity>
class bounded {
 public:
  using value_type = T;

  bounded(const work&, board&) { queue_.set_capacity(Capacity); }

  struct port_type {
    tbb::concurrent_bounded_queue<T>& queue;
    bool try_push(const T& m) { return queue.try_push(m); }
    bool try_pop(T& m) { return queue.try_pop(m); }
    void push(const T& m) { queue.push(m); }
    void pop(T& m) { queue.pop(m); }
  };
  port_type port(const work&, role) { return {queue_}; }

 private:
  tbb::concurrent_bounded_queue<T> queue_{};
};

#endif

}  // namespace

void add_tbb(std::vector<contender>& all) {
#ifdef BENCH_HAS_TBB
  all.push_back(contend<bounded>(pages));
#else
  all.push_back({pages});
#endif
}

}  // namespace millrace::bench
