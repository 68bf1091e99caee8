// mpmc_ring as it would be if nobody had to know who uses it: what its members cost.
#include <cstddef>
#include <utility>
#include <vector>

#include "bench/contender.h"
#include "bench/memberless_ring.h"
#include "bench/placed.h"
#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/roster.h"

namespace millrace::bench {
namespace {

// A ring, and a roster in which nobody stands and nobody dies.
template <class T, std::size_t Capacity>
class alignas(line_bytes) unattended {
  using ring = memberless_ring<T>;

  static constexpr std::size_t roster_bytes = roster<native>::bytes(0);
  static constexpr geometry shape{.capacity = Capacity, .members = 1};

 public:
  unattended() {
    roster<native>::construct(nobody_, 0);
    ring::construct(slots(), shape);
  }

  static std::size_t bytes() noexcept { return sizeof(unattended) + ring::bytes(shape); }

  // All have the one record, as nobody writes it.
  ring handle() noexcept { return {slots(), shape, {roster<native>(nobody_, 0), 0}}; }

 private:
  void* slots() noexcept { return this + 1; }

  alignas(line_bytes) std::byte nobody_[roster_bytes];
};

template <class T, std::size_t Capacity>
class memberless {
  using segment = unattended<T, Capacity>;

 public:
  using value_type = T;

  memberless(const work&, board&) : segment_(segment::bytes()) {}

  class port_type {
   public:
    explicit port_type(typename placed<segment>::view at) : at_(std::move(at)), ring_(at_->handle()) {}

    bool try_push(const T& m) noexcept { return ring_.try_push(m) == status::ok; }
    bool try_pop(T& m) noexcept { return ring_.try_pop(m) == status::ok; }

   private:
    typename placed<segment>::view at_;
    memberless_ring<T> ring_;
  };

  port_type port(const work& w, role) { return port_type(segment_.seen_by(w)); }
  std::size_t bytes() const noexcept { return segment_.bytes(); }

 private:
  placed<segment> segment_;
};

}  // namespace

void add_memberless(std::vector<contender>& all) {
  all.push_back(contend<memberless>({.name = "mpmc_ring memberless", .from = origin::reference, .apart = true}));
}

}  // namespace millrace::bench
