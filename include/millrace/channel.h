// A named stream of messages with two sides, which ends when one of them has gone.
#ifndef MILLRACE_CHANNEL_H_
#define MILLRACE_CHANNEL_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "millrace/attendance.h"
#include "millrace/attributed.h"
#include "millrace/deadline.h"
#include "millrace/in_place.h"
#include "millrace/mpmc_ring.h"
#include "millrace/platform.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/result.h"
#include "millrace/ring.h"
#include "millrace/roster.h"
#include "millrace/shared_memory.h"
#include "millrace/shared_ring.h"
#include "millrace/status.h"

namespace millrace {

// A ring, and who is at which side of it. Its calls are the ring's own: whoever leaves,
// or hears of a death, closes the ring if a side has gone (attendance.h).
template <ring Ring>
class stream : public Ring {
  using platform = typename Ring::platform_type;

  static constexpr std::string_view suffix = " channel";
  static constexpr auto name = [] {
    std::array<char, Ring::kind.size() + suffix.size()> text{};
    std::copy(suffix.begin(), suffix.end(), std::copy(Ring::kind.begin(), Ring::kind.end(), text.begin()));
    return text;
  }();

  static std::size_t attendance_offset(const geometry& g) noexcept {
    return (Ring::bytes(g) + line_bytes - 1) / line_bytes * line_bytes;
  }

 public:
  static constexpr std::string_view kind{name.data(), name.size()};

  static std::size_t bytes(const geometry& g) noexcept {
    return attendance_offset(g) + attendance<platform>::bytes(g.members);
  }

  static void construct(void* at, const geometry& g) noexcept {
    Ring::construct(at, g);
    attendance<platform>::construct(static_cast<std::byte*>(at) + attendance_offset(g), g.members);
  }

  stream(void* at, const geometry& g, const membership<platform>& who) noexcept
      : Ring(at, g, who),
        attendance_(static_cast<std::byte*>(at) + attendance_offset(g), who),
        keep_open_(g.keep_open) {}

  void enter(side s) noexcept {
    attendance_.enter(s);
    if constexpr (broadcasting_ring<Ring>) {
      if (s == side::receivers) Ring::begin_receiving();
    }
  }

  void leave() noexcept {
    if constexpr (broadcasting_ring<Ring>) Ring::end_receiving();
    attendance_.leave();
    end_if_gone();
  }

  void settle() noexcept {
    Ring::settle();
    attendance_.leave();  // its alarm follows
  }

  void alarm() noexcept {
    end_if_gone();
    Ring::alarm();
  }

 private:
  void end_if_gone() noexcept {
    if (!keep_open_ && (attendance_.gone(side::senders) || useless_without_receivers())) Ring::close();
  }

  bool useless_without_receivers() noexcept { return !broadcasting_ring<Ring> && attendance_.gone(side::receivers); }

  attendance<platform> attendance_;
  bool keep_open_;
};

// A channel in shared memory, by name, key or descriptor: a ring of T with senders
// and receivers, each with a member's place in it and each used by one thread at a time.
//
//   auto ticks = channel<tick>::open_or_create(location::posix("ticks"));
//   auto out = ticks->attach_sender();      auto in = ticks->attach_receiver();
//   out->push({"ACME", 101.5});             for (const tick& t : *in) show(t);
//
// It ends, as a pipe does, when the last sender has gone, or the last receiver, be it
// that they leave or that they are killed; or when anybody calls close(). Pushes
// then say closed, and pops when they have had what was pushed before. A side on which
// nobody has been yet has not gone; whoever starts others that are to send keeps a sender of
// its own until they have come. An ended channel stays so, and keeps its name
// until that is unlinked. With `keep_open` only close() ends it: senders and
// receivers may come and go, and what is in it waits for the next.
//
// A death is heard of within milliseconds by any living member (keeper.h). What the
// calls return, block on, and leave behind when their process is killed is the
// ring's affair: mpmc_ring.h, or whichever ring is named.
template <message T, ring Ring = mpmc_ring<T>>
requires std::same_as<T, typename Ring::value_type>
class channel : protected shared_ring<stream<Ring>> {
  using segment = shared_ring<stream<Ring>>;
  using handle = typename segment::handle;

 protected:
  // A handle on one side; its going is noticed on the other.
  template <side Side>
  class endpoint : public handle {
   public:
    endpoint(endpoint&&) noexcept = default;
    endpoint& operator=(endpoint&&) = delete;
    ~endpoint() {
      if (this->attached()) this->leave();
    }

   protected:
    explicit endpoint(handle&& h) noexcept : handle(std::move(h)) { this->enter(Side); }
  };

  template <class End>
  static result<End> placed(result<handle> h) {
    if (!h) return h.error();
    return End(*std::move(h));
  }

 public:
  // Pushes. Its going, if it is the last, is the end of the stream.
  class bare_sender : private endpoint<side::senders> {
    friend class channel;
    using base = endpoint<side::senders>;
    using base::base;

   public:
    using value_type = T;
    using platform_type = typename Ring::platform_type;

    using base::capacity;
    using base::close;
    using base::push;
    using base::push_event;
    using base::push_for;
    using base::push_n;
    using base::push_n_for;
    using base::push_n_until;
    using base::push_until;
    using base::size_approx;
    using base::try_push;
    using base::try_push_n;

    // See growing_ring.h.
    std::uint64_t committed_bytes() const noexcept requires requires(const Ring& r) { r.committed_bytes(); }
    { return base::committed_bytes(); }

    // Where the ring has them: in_place.h.
    auto try_reserve() noexcept requires writes_in_place<Ring> { return base::try_reserve(); }
    auto reserve() noexcept requires writes_in_place<Ring> { return base::reserve(); }
    template <class Rep, class Period>
    auto reserve_for(std::chrono::duration<Rep, Period> wait) noexcept requires writes_in_place<Ring> {
      return base::reserve_for(wait);
    }
    auto reserve_until(deadline until) noexcept requires writes_in_place<Ring> { return base::reserve_until(until); }
  };

  // Of attributed messages it signs them (attributed.h).
  using sender = std::conditional_t<is_attributed<T>, signing_sender<bare_sender>, bare_sender>;

  // Pops. Its going, if it is the last, tells the senders.
  class receiver : private endpoint<side::receivers> {
    friend class channel;
    using base = endpoint<side::receivers>;
    using base::base;

   public:
    using value_type = T;
    using platform_type = typename Ring::platform_type;

    using base::capacity;
    using base::close;
    using base::pop;
    using base::pop_event;
    using base::pop_for;
    using base::pop_n;
    using base::pop_n_for;
    using base::pop_n_until;
    using base::pop_until;
    using base::size_approx;
    using base::try_pop;
    using base::try_pop_n;

    // See growing_ring.h.
    std::uint64_t committed_bytes() const noexcept requires requires(const Ring& r) { r.committed_bytes(); }
    { return base::committed_bytes(); }

    // Where the ring has them: in_place.h.
    auto try_peek() noexcept requires reads_in_place<Ring> { return base::try_peek(); }
    auto peek() noexcept requires reads_in_place<Ring> { return base::peek(); }
    template <class Rep, class Period>
    auto peek_for(std::chrono::duration<Rep, Period> wait) noexcept requires reads_in_place<Ring> {
      return base::peek_for(wait);
    }
    auto peek_until(deadline until) noexcept requires reads_in_place<Ring> { return base::peek_until(until); }

    // See broadcast_ring.h.
    std::uint64_t missed() const noexcept requires broadcasting_ring<Ring> { return base::missed(); }

    // for (const T& m : receiver): each message, waiting for it, until there is none to
    // come: the channel has ended, or is corrupt (the next pop tells which).
    class iterator {
     public:
      using iterator_concept = std::input_iterator_tag;
      using value_type = T;
      using difference_type = std::ptrdiff_t;

      explicit iterator(receiver& from) noexcept : from_(&from) { ++*this; }
      const T& operator*() const noexcept { return last_; }
      iterator& operator++() noexcept {
        ended_ = !delivered(from_->pop(last_));
        return *this;
      }
      void operator++(int) noexcept { ++*this; }
      friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return i.ended_; }

     private:
      receiver* from_;
      T last_{};
      bool ended_ = false;
    };
    iterator begin() noexcept { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }
  };

  static constexpr std::string_view kind = stream<Ring>::kind;

  using segment::members;
  using segment::memory;
  using segment::recovered;
  using segment::shape;

  // As those of shared_ring.
  static result<channel> create(const location& where, const ring_options& options = {}) {
    return named(segment::create(where, options));
  }
  static result<channel> open(const location& where) { return named(segment::open(where)); }
  static result<channel> open_or_create(const location& where, const ring_options& options = {}) {
    return named(segment::open_or_create(where, options));
  }
  static result<channel> adopt(int descriptor) { return named(segment::adopt(descriptor)); }

  // Takes its name away; who has it open keeps it.
  static result<done> unlink(const location& where) { return shared_memory::unlink(where); }

  // A place on that side; the errors are those of attach.
  result<sender> attach_sender() {
    auto h = this->attach();
    if constexpr (is_attributed<T>) {
      if (!h) return h.error();
      const std::uint32_t place = h->place();
      return sender(bare_sender(*std::move(h)), place);
    } else {
      return placed<sender>(std::move(h));
    }
  }
  result<receiver> attach_receiver() { return placed<receiver>(this->attach()); }

 private:
  explicit channel(segment&& of) noexcept : segment(std::move(of)) {}

  static result<channel> named(result<segment> of) {
    if (!of) return of.error();
    return channel(*std::move(of));
  }
};

// One of no capacity, {.capacity = 0}: a push returns when a receiver has the message.
template <message T>
using rendezvous = channel<T, rendezvous_ring<T>>;

}  // namespace millrace

#endif  // MILLRACE_CHANNEL_H_
