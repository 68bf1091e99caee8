// Concurrency Kit's ck_ring.
#include <vector>

#include "bench/contender.h"

#ifdef BENCH_HAS_CK
#include <cstddef>
#include <memory>

#include "bench/placed.h"

// C, and not C++: where it returns a pointer it says `false`.
#define false 0
extern "C" {
#include <ck_ring.h>
}
#undef false
#endif

namespace millrace::bench {
namespace {

constexpr traits many{
    .name = "ck_ring", .from = origin::peer, .package = "libck-dev", .note = "holds one message less than its slots"};
constexpr traits one_each{.name = "ck_ring SPSC",
                          .from = origin::peer,
                          .package = "libck-dev",
                          .one_to_one = true,
                          .note = "holds one message less than its slots"};

#ifdef BENCH_HAS_CK

// Its calls as its macro CK_RING_PROTOTYPE makes them for a type.
template <class T, std::size_t Capacity, bool Many>
class kit {
  struct ring {
    ring() noexcept { ck_ring_init(&head, Capacity); }
    ck_ring_t head;
    T slots[Capacity];
  };

 public:
  using value_type = T;

  kit(const work&, board&) {}

  struct port_type {
    typename placed<ring>::view at;
    bool try_push(const T& m) noexcept {
      if constexpr (Many) return _ck_ring_enqueue_mp(&at->head, at->slots, &m, sizeof(T), nullptr);
      return _ck_ring_enqueue_sp(&at->head, at->slots, &m, sizeof(T), nullptr);
    }
    bool try_pop(T& m) noexcept {
      if constexpr (Many) return _ck_ring_dequeue_mc(&at->head, at->slots, &m, sizeof(T));
      return _ck_ring_dequeue_sc(&at->head, at->slots, &m, sizeof(T));
    }
  };
  port_type port(const work& w, role) { return {ring_.seen_by(w)}; }
  std::size_t bytes() const noexcept { return ring_.bytes(); }

 private:
  placed<ring> ring_;
};

template <class T, std::size_t Capacity>
using kit_many = kit<T, Capacity, true>;
template <class T, std::size_t Capacity>
using kit_one_each = kit<T, Capacity, false>;

#endif

}  // namespace

void add_ck(std::vector<contender>& all) {
#ifdef BENCH_HAS_CK
  all.push_back(contend<kit_many>(many));
  all.push_back(contend<kit_one_each>(one_each));
#else
  for (const traits& t : {many, one_each}) all.push_back({t});
#endif
}

}  // namespace millrace::bench
