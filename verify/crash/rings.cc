#include "verify/crash/rings.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "millrace/boost_ring.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/platform.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/roster.h"
#include "millrace/select.h"
#include "millrace/semaphore_ring.h"
#include "millrace/spsc_ring.h"
#include "verify/crash/spin_ring.h"

namespace millrace::crash {
namespace {

// The machine, with a chunk for each message: so each push commits, and each pop gives back.
struct chunk_by_chunk : native {
  static constexpr std::size_t chunk_bytes = 1;
};

// A ring in memory of our own, in which nothing ever comes.
template <class Platform>
class idle_ring {
 public:
  idle_ring() { ring::construct(memory_, shape); }

  alternative<Platform> pop() noexcept { return on_pop(ring_, nothing_); }

 private:
  using ring = spsc_ring<std::uint64_t, Platform>;
  static constexpr geometry shape{.capacity = 1, .members = 1};

  alignas(line_bytes) std::byte memory_[1024];
  ring ring_{memory_, shape, {roster<Platform>(memory_, 0), 0}};
  std::uint64_t nothing_ = 0;
};

template <class Ring>
class seat_at final : public seat {
 public:
  explicit seat_at(typename shared_ring<Ring>::handle ring) : ring_(std::move(ring)) {}

  status try_push(const parcel& m) override { return ring_.try_push(m); }
  popped try_pop(parcel& m) override { return said(ring_.try_pop(m)); }
  batch_result try_push_n(std::span<const parcel> m) override { return ring_.try_push_n(m); }
  popped try_pop_n(std::span<parcel> m) override { return said(ring_.try_pop_n(m)); }
  status push(const parcel& m, deadline until) override { return ring_.push_until(m, until); }
  popped pop(parcel& m, deadline until) override { return said(ring_.pop_until(m, until)); }
  batch_result push_n(std::span<const parcel> m) override { return ring_.push_n(m); }
  popped pop_n(std::span<parcel> m) override { return said(ring_.pop_n(m)); }
  status reserve(const parcel& m, deadline until) override {
    if constexpr (writes_in_place<Ring>) {
      auto slot = ring_.reserve_until(until);
      if (!slot) return slot.why();
      *slot = m;
      slot.commit();
      return status::ok;
    } else {
      return push(m, until);
    }
  }
  void withdraw() override {
    if constexpr (writes_in_place<Ring>) (void)ring_.try_reserve();
  }
  popped peek(parcel& m, deadline until) override {
    if constexpr (reads_in_place<Ring>) {
      const auto found = ring_.peek_until(until);
      if (found) m = *found;
      return said(found.why());
    } else {
      return pop(m, until);
    }
  }
  status select_push(const parcel& m) override {
    if constexpr (selects) {
      return selecting(idle_.pop(), on_push(ring_, m)).select().why;
    } else {
      return push(m, deadline::never());
    }
  }
  popped select_pop(parcel& m) override {
    if constexpr (selects) {
      return said(selecting(idle_.pop(), on_pop(ring_, m)).select().why);
    } else {
      return pop(m, deadline::never());
    }
  }
  void close() override { ring_.close(); }

 private:
  static constexpr bool selects = requires(Ring r, parcel m) { on_pop(r, m); };
  using selecting = basic_selector<typename Ring::platform_type>;

  static popped said(const batch_result& r) {
    const bool redelivered = r.why == status::redelivered;
    return {redelivered ? status::ok : r.why, r.count, redelivered};
  }
  static popped said(status s) { return said(batch_result{s, delivered(s) ? std::size_t{1} : 0}); }

  typename shared_ring<Ring>::handle ring_;
  idle_ring<typename Ring::platform_type> idle_;
};

template <class Ring>
class segment_of final : public segment {
 public:
  using maker = result<shared_ring<Ring>>(const location&, const ring_options&);

  template <maker Make>
  static result<std::unique_ptr<segment>> make(const location& where, const ring_options& options) {
    auto ring = Make(where, options);
    if (!ring) return ring.error();
    return std::unique_ptr<segment>(new segment_of(*std::move(ring)));
  }

  std::unique_ptr<seat> attach() override {
    auto attached = ring_.attach();
    if (!attached) return nullptr;
    return std::make_unique<seat_at<Ring>>(*std::move(attached));
  }

 private:
  explicit segment_of(shared_ring<Ring> ring) : ring_(std::move(ring)) {}

  shared_ring<Ring> ring_;
};

template <class Ring>
constexpr ring_type type(bool one_to_one = false, bool mortal = false) {
  return {Ring::kind,
          one_to_one,
          mortal,
          writes_in_place<Ring>,
          Ring::kind == "rendezvous_ring",
          segment_of<Ring>::template make<shared_ring<Ring>::create>,
          segment_of<Ring>::template make<shared_ring<Ring>::open_or_create>};
}

constexpr std::array table{
    type<spsc_ring<parcel>>(true),
    type<mutex_ring<parcel>>(),
    type<growing_ring<parcel, chunk_by_chunk>>(),
    type<semaphore_ring<parcel>>(),
    type<mpmc_ring<parcel>>(),
    type<rendezvous_ring<parcel>>(),
    type<spin_ring<parcel>>(false, true),
    type<boost_ring<parcel>>(false, true),
};

}  // namespace

std::span<const ring_type> ring_types() { return table; }

}  // namespace millrace::crash
