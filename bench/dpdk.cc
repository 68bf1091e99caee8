// DPDK's rte_ring, without the rest of DPDK.
#include <string_view>
#include <vector>

#include "bench/contender.h"

#ifdef BENCH_HAS_DPDK
#include <rte_ring_elem.h>

#include <cstddef>
#include <cstdint>
#include <span>

#include "bench/placed.h"
#endif

namespace millrace::bench {
namespace {

constexpr std::string_view fewer = "holds one message less than its slots";
constexpr traits many{.name = "rte_ring", .from = origin::peer, .package = "libdpdk-dev", .note = fewer};
// Meant for cores with several workers each.
constexpr traits serialized{.name = "rte_ring HTS", .from = origin::peer, .package = "libdpdk-dev", .note = fewer};
constexpr traits one_each{
    .name = "rte_ring SPSC", .from = origin::peer, .package = "libdpdk-dev", .one_to_one = true, .note = fewer};

#ifdef BENCH_HAS_DPDK

template <class T, std::size_t Capacity, rte_ring_sync_type Kind>
class plane {
  static constexpr bool one_each = Kind == RTE_RING_SYNC_ST;

  struct ring {
    // As rte_ring_init() does, which is in a library that wants all of DPDK.
    explicit ring(const work& w) noexcept {
      head.size = Capacity;
      head.mask = Capacity - 1;
      head.capacity = Capacity - 1;
      head.prod.sync_type = of_side(w.producers, w.consumers);
      head.cons.sync_type = of_side(w.consumers, w.producers);
    }
    // One beside many on the other side has the calls for one; how one and one fare with them is a row of its own.
    static rte_ring_sync_type of_side(std::uint32_t own, std::uint32_t other) noexcept {
      return Kind == RTE_RING_SYNC_MT && own == 1 && other > 1 ? RTE_RING_SYNC_ST : Kind;
    }
    rte_ring head{};
    T slots[Capacity];  // its functions look for them just behind it
  };
  static_assert(sizeof(ring) == sizeof(rte_ring) + sizeof(T) * Capacity);

 public:
  using value_type = T;

  plane(const work& w, board&) : ring_(sizeof(ring), w) {}

  struct port_type {
    typename placed<ring>::view at;
    bool try_push(const T& m) noexcept { return try_push_n({&m, 1}) == 1; }
    bool try_pop(T& m) noexcept { return try_pop_n({&m, 1}) == 1; }
    std::size_t try_push_n(std::span<const T> m) noexcept {
      const auto n = static_cast<unsigned>(m.size());
      if constexpr (one_each) return rte_ring_sp_enqueue_burst_elem(&at->head, m.data(), sizeof(T), n, nullptr);
      return rte_ring_enqueue_burst_elem(&at->head, m.data(), sizeof(T), n, nullptr);
    }
    std::size_t try_pop_n(std::span<T> m) noexcept {
      const auto n = static_cast<unsigned>(m.size());
      if constexpr (one_each) return rte_ring_sc_dequeue_burst_elem(&at->head, m.data(), sizeof(T), n, nullptr);
      return rte_ring_dequeue_burst_elem(&at->head, m.data(), sizeof(T), n, nullptr);
    }
  };
  port_type port(const work& w, role) { return {ring_.seen_by(w)}; }
  std::size_t bytes() const noexcept { return ring_.bytes(); }

 private:
  placed<ring> ring_;
};

template <class T, std::size_t Capacity>
using plane_many = plane<T, Capacity, RTE_RING_SYNC_MT>;
template <class T, std::size_t Capacity>
using plane_serialized = plane<T, Capacity, RTE_RING_SYNC_MT_HTS>;
template <class T, std::size_t Capacity>
using plane_one_each = plane<T, Capacity, RTE_RING_SYNC_ST>;

#endif

}  // namespace

void add_dpdk(std::vector<contender>& all) {
#ifdef BENCH_HAS_DPDK
  all.push_back(contend<plane_many>(many));
  all.push_back(contend<plane_serialized>(serialized));
  all.push_back(contend<plane_one_each>(one_each));
#else
  for (const traits& t : {many, serialized, one_each}) all.push_back({t});
#endif
}

}  // namespace millrace::bench
