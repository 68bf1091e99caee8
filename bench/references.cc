// The textbook's algorithms and nothing else: what a queue could do if it promised less.
#include <cstddef>

#include "bench/cached_ring.h"
#include "bench/contender.h"
#include "bench/placed.h"
#include "bench/vyukov_ring.h"

namespace millrace::bench {
namespace {

template <class Ring, class T, std::size_t Capacity>
class plain {
 public:
  using value_type = T;

  plain(const work&, board&) : ring_(Ring::bytes(Capacity), Capacity) {}

  struct port_type {
    typename placed<Ring>::view ring;
    bool try_push(const T& m) noexcept { return ring->try_push(m); }
    bool try_pop(T& m) noexcept { return ring->try_pop(m); }
  };
  port_type port(const work& w, role) { return {ring_.seen_by(w)}; }
  std::size_t bytes() const noexcept { return ring_.bytes(); }

 private:
  placed<Ring> ring_;
};

template <class T, std::size_t Capacity>
using plain_vyukov = plain<vyukov_ring<T>, T, Capacity>;
template <class T, std::size_t Capacity>
using plain_cached = plain<cached_ring<T>, T, Capacity>;

}  // namespace

void add_references(std::vector<contender>& all) {
  all.push_back(contend<plain_vyukov>({.name = "plain Vyukov", .from = origin::reference}));
  all.push_back(contend<plain_cached>({.name = "plain cached SPSC", .from = origin::reference, .one_to_one = true}));
}

}  // namespace millrace::bench
