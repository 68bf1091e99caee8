#include "verify/crash/rings.h"

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "millrace/boost_ring.h"
#include "millrace/broadcast_ring.h"
#include "millrace/byte_channel.h"
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

// The machine, with two messages a line, which in spsc_ring batches then go over the end of.
struct in_pairs : native {
  static constexpr std::size_t moved_together = 2 * sizeof(parcel) + sizeof(std::uint64_t);
};

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
constexpr bool selects = requires(Ring r, parcel m) {
  on_push(r, m);
  on_pop(r, m);
};

template <class Ring>
class seat_at final : public seat {
 public:
  seat_at(typename shared_ring<Ring>::handle ring, bool receives) : ring_(std::move(ring)) {
    if constexpr (broadcasting_ring<Ring>) {
      if (receives) ring_.begin_receiving();
    }
  }
  ~seat_at() override {
    if constexpr (broadcasting_ring<Ring>) ring_.end_receiving();
  }

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
    if constexpr (selects<Ring>) {
      return selecting(idle_.pop(), on_push(ring_, m)).select().why;
    } else {
      return push(m, deadline::never());
    }
  }
  popped select_pop(parcel& m) override {
    if constexpr (selects<Ring>) {
      return said(selecting(idle_.pop(), on_pop(ring_, m)).select().why);
    } else {
      return pop(m, deadline::never());
    }
  }
  void close() override { ring_.close(); }
  std::uint64_t missed() const override {
    if constexpr (broadcasting_ring<Ring>) return ring_.missed();
    return 0;
  }

 private:
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

  std::unique_ptr<seat> attach(bool receives) override {
    auto attached = ring_.attach();
    if (!attached) return nullptr;
    return std::make_unique<seat_at<Ring>>(*std::move(attached), receives);
  }

 private:
  explicit segment_of(shared_ring<Ring> ring) : ring_(std::move(ring)) {}

  shared_ring<Ring> ring_;
};

// Both ends of a byte_channel. A message is a parcel and some bytes more, or fewer.
class both_ends final : public seat {
 public:
  static constexpr std::uint32_t longest = sizeof(parcel) + 40;

  both_ends(byte_channel::sender out, byte_channel::receiver in) : out_(std::move(out)), in_(std::move(in)) {}

  status try_push(const parcel& m) override { return out_.try_push(letter(m).bytes()); }
  popped try_pop(parcel& m) override { return read(in_.try_peek(), m); }
  batch_result try_push_n(std::span<const parcel> m) override {
    for (std::size_t i = 0; i != m.size(); ++i) {
      if (const status s = try_push(m[i]); s != status::ok) return {s, i};
    }
    return {status::ok, m.size()};
  }
  popped try_pop_n(std::span<parcel> m) override { return try_pop(m[0]); }
  status push(const parcel& m, deadline until) override { return out_.push_until(letter(m).bytes(), until); }
  popped pop(parcel& m, deadline until) override { return read(in_.peek_until(until), m); }
  batch_result push_n(std::span<const parcel> m) override {
    for (const parcel& one : m) (void)push(one, deadline::never());
    return {status::ok, m.size()};
  }
  popped pop_n(std::span<parcel> m) override { return pop(m[0], deadline::never()); }
  status reserve(const parcel& m, deadline until) override {
    const letter written(m);
    auto room = out_.reserve_until(longest, until);
    if (!room) return room.why();
    std::memcpy(room.bytes().data(), written.bytes().data(), written.bytes().size());
    room.commit(written.bytes().size());
    return status::ok;
  }
  void withdraw() override { (void)out_.try_reserve(longest); }
  popped peek(parcel& m, deadline until) override { return pop(m, until); }
  status select_push(const parcel& m) override { return push(m, deadline::never()); }
  popped select_pop(parcel& m) override { return pop(m, deadline::never()); }
  void close() override { out_.close(); }

 private:
  // Its length, and what stands behind the parcel, follow from the parcel.
  class letter {
   public:
    explicit letter(const parcel& m) : size_(sizeof m + m.checksum % (longest - sizeof m + 1)) {
      std::memcpy(text_.data(), &m, sizeof m);
      std::fill(text_.begin() + sizeof m, text_.begin() + static_cast<std::ptrdiff_t>(size_),
                static_cast<std::byte>(m.checksum >> 8));
    }
    std::span<const std::byte> bytes() const { return std::span(text_).first(size_); }

   private:
    std::array<std::byte, longest> text_{};
    std::size_t size_;
  };

  // `m` is whole while the message is still in hand.
  static popped read(const byte_channel::receiver::peeked& found, parcel& m) {
    if (found) {
      parcel copy;
      std::memcpy(&copy, (*found).data(), std::min(sizeof copy, (*found).size()));
      if (!std::ranges::equal(letter(copy).bytes(), *found)) copy.checksum ^= 1;  // torn
      m = copy;
    }
    const bool redelivered = found.why() == status::redelivered;
    return {redelivered ? status::ok : found.why(), found ? std::size_t{1} : 0, redelivered};
  }

  byte_channel::sender out_;
  byte_channel::receiver in_;
};

class channel_of_bytes final : public segment {
 public:
  using maker = result<byte_channel>(const location&, const ring_options&);

  template <maker Make>
  static result<std::unique_ptr<segment>> make(const location& where, const ring_options& options) {
    auto channel = Make(where, options);
    if (!channel) return channel.error();
    return std::unique_ptr<segment>(new channel_of_bytes(*std::move(channel)));
  }

  std::unique_ptr<seat> attach(bool /*each of its seats does both*/) override {
    auto out = channel_.attach_sender();
    auto in = channel_.attach_receiver();
    if (!out || !in) return nullptr;
    return std::make_unique<both_ends>(*std::move(out), *std::move(in));
  }

 private:
  explicit channel_of_bytes(byte_channel channel) : channel_(std::move(channel)) {}

  byte_channel channel_;
};

struct traits {
  std::string_view name{};  // if not the kind of ring
  bool one_to_one = false;
  bool mortal = false;
  ring_options options{};
};

template <class Ring>
constexpr ring_type type(const traits& t = {}) {
  return {.name = t.name.empty() ? Ring::kind : t.name,
          .one_to_one = t.one_to_one,
          .mortal = t.mortal,
          .in_place = writes_in_place<Ring>,
          .rendezvous = Ring::kind == "rendezvous_ring",
          .batches = true,
          .selects = selects<Ring>,
          .broadcasts = broadcasting_ring<Ring>,
          .runs = std::same_as<Ring, mpmc_ring<parcel>>,
          .options = t.options,
          .places = 1,
          .create = segment_of<Ring>::template make<shared_ring<Ring>::create>,
          .open_or_create = segment_of<Ring>::template make<shared_ring<Ring>::open_or_create>};
}

constexpr std::array table{
    type<spsc_ring<parcel, in_pairs>>({.one_to_one = true}),
    type<mutex_ring<parcel>>(),
    type<growing_ring<parcel, chunk_by_chunk>>(),
    type<semaphore_ring<parcel>>(),
    type<mpmc_ring<parcel>>(),
    type<mpmc_ring<parcel>>({.name = "mpmc_drop", .options = {.on_death = delivery::drop}}),
    type<rendezvous_ring<parcel>>(),
    type<rendezvous_ring<parcel>>({.name = "rendezvous_drop", .options = {.on_death = delivery::drop}}),
    // A push is reserve and commit, a pop is peek and release: in place is no other row.
    ring_type{.name = "byte_channel",
              .one_to_one = false,
              .mortal = false,
              .in_place = false,
              .rendezvous = false,
              .batches = false,
              .selects = false,
              .broadcasts = false,
              .runs = true,
              .options = {.max_message = both_ends::longest},
              .places = 2,
              .create = channel_of_bytes::make<byte_channel::create>,
              .open_or_create = channel_of_bytes::make<byte_channel::open_or_create>},
    type<broadcast_ring<parcel>>(),
    type<broadcast_ring<parcel>>({.name = "broadcast_lossy", .options = {.fidelity = fidelity::lossy}}),
    type<spin_ring<parcel>>({.mortal = true}),
    type<boost_ring<parcel>>({.mortal = true}),
};

}  // namespace

std::span<const ring_type> ring_types() { return table; }

}  // namespace millrace::crash
