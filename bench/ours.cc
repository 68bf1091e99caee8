// The library's rings, as users have them: in a segment, with members, deaths heard of and recovered from.
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "bench/contender.h"
#include "bench/value_of.h"
#include "millrace/boost_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"

namespace millrace::bench {
namespace {

template <class Ring, std::size_t Capacity>
class shared {
  using segment = shared_ring<Ring>;

 public:
  using value_type = typename Ring::value_type;

  shared(const work& w, board&)
      : segment_(value_of(segment::create(location::memfd("bench"), {.capacity = Capacity, .members = w.workers()}))) {}

  class port_type {
    using T = value_type;

   public:
    port_type(std::optional<segment> own, segment& other)
        : own_(std::move(own)), handle_(value_of((own_ ? *own_ : other).attach())) {}

    bool try_push(const T& m) noexcept { return handle_.try_push(m) == status::ok; }
    bool try_pop(T& m) noexcept { return delivered(handle_.try_pop(m)); }
    void push(const T& m) noexcept { (void)handle_.push(m); }
    void pop(T& m) noexcept { (void)handle_.pop(m); }
    std::size_t try_push_n(std::span<const T> m) noexcept { return handle_.try_push_n(m).count; }
    std::size_t try_pop_n(std::span<T> m) noexcept { return handle_.try_pop_n(m).count; }

   private:
    std::optional<segment> own_;
    typename segment::handle handle_;
  };

  port_type port(const work& w, role) {
    if (w.where == place::threads) return {std::nullopt, segment_};
    return {value_of(segment::adopt(segment_.memory().descriptor())), segment_};
  }
  std::size_t bytes() const noexcept { return segment_.memory().size(); }

 private:
  segment segment_;
};

template <class T, std::size_t Capacity>
using mpmc = shared<mpmc_ring<T>, Capacity>;
template <class T, std::size_t Capacity>
using spsc = shared<spsc_ring<T>, Capacity>;
template <class T, std::size_t Capacity>
using mutex = shared<mutex_ring<T>, Capacity>;
template <class T, std::size_t Capacity>
using semaphore = shared<semaphore_ring<T>, Capacity>;

// Boost's queue, one for each of its capacities, takes long to compile: one shape will do.
template <class T, std::size_t Capacity>
using lockfree = std::conditional_t<sizeof(T) == 8 && Capacity == 1024, shared<boost_ring<T>, Capacity>, void>;

}  // namespace

void add_ours(std::vector<contender>& all) {
  all.push_back(contend<mpmc>({.name = "mpmc_ring", .from = origin::ours}));
  all.push_back(contend<spsc>({.name = "spsc_ring", .from = origin::ours, .one_to_one = true}));
  all.push_back(contend<mutex>({.name = "mutex_ring", .from = origin::ours}));
  all.push_back(contend<semaphore>({.name = "semaphore_ring", .from = origin::ours}));
  all.push_back(contend<lockfree>(
      {.name = "boost_ring", .from = origin::ours, .note = "Boost.Lockfree's queue; does not survive its members"}));
}

}  // namespace millrace::bench
