#include "verify/races/rings.h"

#include <array>
#include <deque>
#include <utility>
#include <vector>

#include "millrace/boost_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "verify/races/jostled.h"
#include "verify/races/naive_ring.h"
#include "verify/races/segments.h"

namespace millrace::races {
namespace {

using countdown = std::atomic<std::uint32_t>;

// True for the last producer to finish. release/acquire: whoever then sees zero
// sees all that the producers pushed.
bool finish_one(countdown& left) { return left.fetch_sub(1, std::memory_order_acq_rel) == 1; }

// In a System V segment, as in the textbook.
template <broken_ring Ring>
class broken_channel final : public channel {
 public:
  static result<std::unique_ptr<channel>> create(const shape& s, const std::optional<std::string>& /*name*/) {
    // The textbook's BUFFER_SIZE is 5, of which one slot stays free.
    const geometry g{s.capacity == 0 ? 4 : s.capacity, s.producers + s.consumers};
    if (std::string why = Ring::refuse(g); !why.empty()) {
      return error{errc::bad_argument, 0, std::string(Ring::kind), std::string(Ring::kind) + ": " + why};
    }
    auto segment = sysv_segment::create(Ring::bytes(g));
    if (!segment) return segment.error();
    Ring::construct(segment->base(), g);
    return std::unique_ptr<channel>(new broken_channel(*std::move(segment), g));
  }

  std::unique_ptr<port> produce(std::uint32_t producer, countdown& left) override {
    return std::make_unique<end>(Ring(segment_.base(), shape_, producer), left);
  }
  std::unique_ptr<port> consume(std::uint32_t consumer, countdown& left) override {
    return std::make_unique<end>(Ring(segment_.base(), shape_, consumer), left);
  }

 private:
  broken_channel(sysv_segment segment, const geometry& g) : segment_(std::move(segment)), shape_(g) {}

  class end final : public port {
   public:
    end(Ring ring, countdown& left) : ring_(ring), left_(left) {}

    status push(const parcel& m) override { return ring_.push(m); }

    // The textbook's busy wait, which knows no end, with one added: having seen that
    // the producers are done, an empty ring is drained.
    bool pop(parcel& m) override {
      for (;;) {
        const bool last_look = left_.load(std::memory_order_acquire) == 0;
        if (ring_.try_pop(m) == status::ok) return true;
        if (last_look) return false;
        jostled::jostle();
      }
    }

    void finish() override { finish_one(left_); }
    std::uint32_t last_slot() const override { return ring_.last_slot(); }

   private:
    Ring ring_;
    countdown& left_;
  };

  sysv_segment segment_;
  geometry shape_;
};

// A shipped ring, and the names that it has if any.
template <class Ring>
struct segment {
  shared_ring<Ring> ring;
  std::optional<published_name> name;

  static result<segment> create(const ring_options& options, const std::optional<std::string>& name,
                                std::uint32_t index) {
    if (!name) {
      auto ring = shared_ring<Ring>::create(location::anonymous(), options);
      if (!ring) return ring.error();
      return segment{*std::move(ring), std::nullopt};
    }
    const std::string owned = owned_name(index);
    auto ring = shared_ring<Ring>::create(location::posix(owned), options);
    if (!ring) return ring.error();
    auto published = published_name::create(owned, *name);
    if (!published) {
      if (published.error().code != errc::exists) return published.error();
      return taken(*name);
    }
    return segment{*std::move(ring), *std::move(published)};
  }

 private:
  static error taken(const std::string& name) {
    const auto there = shared_ring<Ring>::open(location::posix(name));
    if (!there) return there.error();  // a ring of another kind or type, or not ours: the library says which
    const std::string object = there->memory().where().describe();
    return {errc::exists, 0, object,
            object + ": expected a free name, found a " + std::string(Ring::kind) + " of capacity " +
                std::to_string(there->shape().capacity) + " for " + std::to_string(there->shape().members) +
                " members; choose another --name, or remove it if nobody uses it"};
  }
};

template <class Ring>
class shared_channel final : public channel {
 public:
  static result<std::unique_ptr<channel>> create(const shape& s, const std::optional<std::string>& name) {
    const ring_options options{.capacity = s.capacity == 0 ? 8 : s.capacity, .members = s.producers + s.consumers};
    auto made = segment<Ring>::create(options, name, 0);
    if (!made) return made.error();
    return std::unique_ptr<channel>(new shared_channel(*std::move(made)));
  }

  std::unique_ptr<port> produce(std::uint32_t, countdown& left) override { return attach(left); }
  std::unique_ptr<port> consume(std::uint32_t, countdown& left) override { return attach(left); }

 private:
  using handle = typename shared_ring<Ring>::handle;

  explicit shared_channel(segment<Ring> made) : segment_(std::move(made)) {}

  std::unique_ptr<port> attach(countdown& left) {
    auto attached = segment_.ring.attach();
    if (!attached) return nullptr;
    return std::make_unique<end>(*std::move(attached), left);
  }

  class end final : public port {
   public:
    end(handle ring, countdown& left) : ring_(std::move(ring)), left_(left) {}

    status push(const parcel& m) override { return ring_.push(m); }
    bool pop(parcel& m) override { return ring_.pop(m) == status::ok; }
    void finish() override {
      if (finish_one(left_)) ring_.close();
    }

   private:
    handle ring_;
    countdown& left_;
  };

  segment<Ring> segment_;
};

// How one-to-one rings serve many: a ring for each pair.
template <class Ring>
class lanes_channel final : public channel {
 public:
  static result<std::unique_ptr<channel>> create(const shape& s, const std::optional<std::string>& name) {
    const ring_options options{.capacity = s.capacity == 0 ? 8 : s.capacity, .members = 2};
    std::unique_ptr<lanes_channel> made(new lanes_channel(s));
    for (std::uint32_t i = 0; i != s.producers * s.consumers; ++i) {
      std::optional<std::string> lane_name = name;
      if (lane_name && i != 0) *lane_name += "-" + std::to_string(i);
      auto lane = segment<Ring>::create(options, lane_name, i);
      if (!lane) return lane.error();
      made->lanes_.push_back(*std::move(lane));
    }
    return std::unique_ptr<channel>(std::move(made));
  }

  std::unique_ptr<port> produce(std::uint32_t producer, countdown& left) override {
    auto made = std::make_unique<end>(left);
    for (std::uint32_t c = 0; c != shape_.consumers; ++c) {
      if (!made->take(lanes_[producer * shape_.consumers + c].ring)) return nullptr;
    }
    return made;
  }
  std::unique_ptr<port> consume(std::uint32_t consumer, countdown& left) override {
    auto made = std::make_unique<end>(left);
    for (std::uint32_t p = 0; p != shape_.producers; ++p) {
      if (!made->take(lanes_[p * shape_.consumers + consumer].ring)) return nullptr;
    }
    return made;
  }

 private:
  using handle = typename shared_ring<Ring>::handle;

  explicit lanes_channel(const shape& s) : shape_(s) {}

  // Serves its lanes in turn, passing over those that are not ready.
  class end final : public port {
   public:
    explicit end(countdown& left) : left_(left) {}

    bool take(shared_ring<Ring>& ring) {
      auto attached = ring.attach();
      if (!attached) return false;
      lanes_.push_back(*std::move(attached));
      return true;
    }

    status push(const parcel& m) override {
      for (unsigned turn = 0;; ++turn) {
        const status s = following().try_push(m);
        if (!would_block(s)) return s;
        native::relax(turn);
      }
    }

    bool pop(parcel& m) override {
      std::size_t closed_in_a_row = 0;
      for (unsigned turn = 0; closed_in_a_row != lanes_.size(); ++turn) {
        const status s = following().try_pop(m);
        if (s == status::ok) return true;
        closed_in_a_row = s == status::closed ? closed_in_a_row + 1 : 0;
        if (would_block(s)) native::relax(turn);
      }
      return false;
    }

    void finish() override {
      for (handle& lane : lanes_) lane.close();
      finish_one(left_);
    }

   private:
    handle& following() { return lanes_[next_++ % lanes_.size()]; }

    std::deque<handle> lanes_;
    std::size_t next_ = 0;
    countdown& left_;
  };

  shape shape_;
  std::deque<segment<Ring>> lanes_;
};

template <broken_ring Ring>
constexpr contender broken{Ring::kind, Ring::about, &Ring::wrong, broken_channel<Ring>::create};

template <class Channel>
constexpr contender shipped(std::string_view name, std::string_view about) {
  return {name, about, nullptr, Channel::create};
}

constexpr std::array table{
    broken<naive_ring<parcel, jostled>>,
    broken<volatile_ring<parcel, jostled>>,
    broken<seq_cst_ring<parcel, jostled>>,
    shipped<shared_channel<mutex_ring<parcel, jostled>>>("mutex_ring", "one robust process-shared mutex round it all"),
    shipped<shared_channel<semaphore_ring<parcel, jostled>>>("semaphore_ring", "the textbook's empty / full / mutex"),
    shipped<shared_channel<mpmc_ring<parcel, jostled>>>("mpmc_ring", "lock-free, many to many"),
    shipped<lanes_channel<spsc_ring<parcel, jostled>>>("spsc_ring",
                                                       "one to one: a ring for each pair of a producer and a consumer"),
    shipped<shared_channel<boost_ring<parcel>>>("boost_ring", "Boost.Lockfree's queue, the baseline that people know"),
};

}  // namespace

std::span<const contender> contenders() { return table; }

}  // namespace millrace::races
