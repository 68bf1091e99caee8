// libcds' Vyukov queue and its ring for one and one, their slots inside them: they have no pointers then.
#include <vector>

#include "bench/contender.h"

#ifdef BENCH_HAS_LIBCDS
#include <cds/container/vyukov_mpmc_cycle_queue.h>
#include <cds/container/weak_ringbuffer.h>

#include <cstddef>

#include "bench/placed.h"
#endif

namespace millrace::bench {
namespace {

constexpr traits cycle{.name = "libcds Vyukov", .from = origin::peer, .package = "libcds-dev"};
constexpr traits weak{
    .name = "libcds WeakRingBuffer", .from = origin::peer, .package = "libcds-dev", .one_to_one = true};

#ifdef BENCH_HAS_LIBCDS

// Traits of theirs, but for where the slots are.
template <class Traits, std::size_t Capacity>
struct inside : Traits {
  using buffer = cds::opt::v::uninitialized_static_buffer<void*, Capacity>;
};

template <class Queue, class T, std::size_t Capacity>
class enqueued {
 public:
  using value_type = T;

  enqueued(const work&, board&) : queue_(sizeof(Queue), Capacity) {}

  struct port_type {
    typename placed<Queue>::view at;
    bool try_push(const T& m) { return at->enqueue(m); }
    bool try_pop(T& m) { return at->dequeue(m); }
  };
  port_type port(const work& w, role) { return {queue_.seen_by(w)}; }
  std::size_t bytes() const noexcept { return queue_.bytes(); }

 private:
  placed<Queue> queue_;
};

template <class T, std::size_t Capacity>
using static_cycle =
    enqueued<cds::container::VyukovMPMCCycleQueue<T, inside<cds::container::vyukov_queue::traits, Capacity>>, T,
             Capacity>;
template <class T, std::size_t Capacity>
using static_weak =
    enqueued<cds::container::WeakRingBuffer<T, inside<cds::container::weak_ringbuffer::traits, Capacity>>, T, Capacity>;

#endif

}  // namespace

void add_libcds(std::vector<contender>& all) {
#ifdef BENCH_HAS_LIBCDS
  all.push_back(contend<static_cycle>(cycle));
  all.push_back(contend<static_weak>(weak));
#else
  for (const traits& t : {cycle, weak}) all.push_back({t});
#endif
}

}  // namespace millrace::bench
