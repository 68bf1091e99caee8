// libcds' Vyukov queue, its slots inside it: it has no pointers then.
#include <vector>

#include "bench/contender.h"

#ifdef BENCH_HAS_LIBCDS
#include <cds/container/vyukov_mpmc_cycle_queue.h>

#include <cstddef>

#include "bench/placed.h"
#endif

namespace millrace::bench {
namespace {

constexpr traits cycle{.name = "libcds Vyukov", .from = origin::peer, .package = "libcds-dev"};

#ifdef BENCH_HAS_LIBCDS

template <class T, std::size_t Capacity>
class static_cycle {
  struct inside : cds::container::vyukov_queue::traits {
    using buffer = cds::opt::v::uninitialized_static_buffer<void*, Capacity>;
  };
  using queue = cds::container::VyukovMPMCCycleQueue<T, inside>;

 public:
  using value_type = T;

  static_cycle(const work&, board&) : queue_(sizeof(queue), Capacity) {}

  struct port_type {
    typename placed<queue>::view at;
    bool try_push(const T& m) { return at->enqueue(m); }
    bool try_pop(T& m) { return at->dequeue(m); }
  };
  port_type port(const work& w, role) { return {queue_.seen_by(w)}; }
  std::size_t bytes() const noexcept { return queue_.bytes(); }

 private:
  placed<queue> queue_;
};

#endif

}  // namespace

void add_libcds(std::vector<contender>& all) {
#ifdef BENCH_HAS_LIBCDS
  all.push_back(contend<static_cycle>(cycle));
#else
  all.push_back({cycle});
#endif
}

}  // namespace millrace::bench
