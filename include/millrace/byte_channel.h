// A channel for messages of any length up to one that is chosen when it is created.
#ifndef MILLRACE_BYTE_CHANNEL_H_
#define MILLRACE_BYTE_CHANNEL_H_

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "millrace/byte_ring.h"
#include "millrace/channel.h"
#include "millrace/deadline.h"
#include "millrace/result.h"
#include "millrace/shared_memory.h"
#include "millrace/shared_ring.h"
#include "millrace/status.h"

namespace millrace {

//   auto log = byte_channel::create(location::posix("log"), {.capacity = 256, .max_message = 4096});
//   auto out = log->attach_sender();               auto in = log->attach_receiver();
//   out->push(std::as_bytes(std::span(line)));     for (std::span<const std::byte> m : *in) write(m);
//
// A message is 0 to max_message bytes, and arrives as it was sent: whole, and never joined with
// another. What ends the channel, what calls block on, and what becomes of a message when a
// member is killed, is as in channel.h and mpmc_ring.h; the calls of one end are for one thread at a time.
//
// `too_long` is said by a push or a reserve of more than max_message bytes, and by a pop whose room is
// less than that: a pop finds out how long a message is when it has it, and it could
// not be given back. Nothing is moved then. Peek needs no room.
//
// Both ends are ports (port.h), of spans to send and of a `buffer` to receive into, and can be selected
// from (select.h).
//
// A length that a hostile process scribbles makes a message longer or shorter, with
// bytes of earlier ones; no call leaves its place. In place, see in_place.h on what such a one may do.
//
// Room is taken for `capacity` messages of max_message bytes, each rounded up to 16.
class byte_channel : private channel<frame, byte_ring<>> {
  using base = channel<frame, byte_ring<>>;
  using sending_end = base::endpoint<side::senders>;
  using receiving_end = base::endpoint<side::receivers>;

 public:
  // Bytes to write a message into, from a multiple of 16 on: see in_place.h.
  class [[nodiscard]] reservation {
   public:
    explicit operator bool() const noexcept { return slot_ && *slot_; }
    status why() const noexcept { return slot_ ? slot_->why() : status::too_long; }

    // As many as were asked for.
    std::span<std::byte> bytes() const noexcept { return bytes_; }

    // Publishes the bytes, or the first `used` of them. Once.
    void commit() noexcept { commit(bytes_.size()); }
    void commit(std::size_t used) noexcept {
      if (!*this) return;
      (*slot_)->length = static_cast<std::uint32_t>(std::min(used, bytes_.size()));
      slot_->commit();
    }

   private:
    friend class byte_channel;
    using slot = byte_ring<>::reservation;

    reservation() noexcept = default;
    reservation(const byte_ring<>& of, slot&& s, std::size_t size) noexcept : slot_(std::move(s)) {
      if (*slot_) bytes_ = of.bytes_at(slot_->slot(), size);
    }

    std::optional<slot> slot_;
    std::span<std::byte> bytes_;
  };

  // A message to read where it lies: see in_place.h.
  class [[nodiscard]] peeked {
   public:
    explicit operator bool() const noexcept { return static_cast<bool>(slot_); }
    status why() const noexcept { return slot_.why(); }

    std::span<const std::byte> operator*() const noexcept { return bytes_; }

    // Done with it. Then there is nothing any more.
    void release() noexcept { slot_.release(); }

   private:
    friend class byte_channel;
    using slot = byte_ring<>::peeked;

    peeked(const byte_ring<>& of, slot&& s) noexcept : slot_(std::move(s)) {
      if (slot_) bytes_ = of.bytes_at(slot_.slot(), slot_->length);
    }

    slot slot_;
    std::span<const std::byte> bytes_;
  };

  // Room for a message, and how much of it that takes.
  struct buffer {
    std::span<std::byte> room;
    std::size_t size = 0;

    std::span<const std::byte> message() const noexcept { return room.first(size); }
  };

  // Pushes. Its going, if it is the last, is the end of the stream.
  class sender : private sending_end {
    friend base;
    using sending_end::sending_end;

   public:
    using value_type = std::span<const std::byte>;
    using platform_type = sending_end::platform_type;
    using reservation = byte_channel::reservation;

    using sending_end::capacity;
    using sending_end::close;
    using sending_end::max_message;
    using sending_end::push_event;
    using sending_end::size_approx;

    // As those of a channel's sender, or too_long.
    status try_push(std::span<const std::byte> m) noexcept { return written(try_reserve(m.size()), m); }
    status push(std::span<const std::byte> m) noexcept { return push_until(m, deadline::never()); }
    template <class Rep, class Period>
    status push_for(std::span<const std::byte> m, std::chrono::duration<Rep, Period> wait) noexcept {
      return push_until(m, deadline::after(wait));
    }
    status push_until(std::span<const std::byte> m, deadline until) noexcept {
      return written(reserve_until(m.size(), until), m);
    }

    // One after the other, until one fails: `count` of them are in. (Each takes its own place: it
    // saves the caller a loop, and no time.)
    batch_result try_push_n(std::span<const value_type> m) noexcept {
      return each(m, [this](value_type one) noexcept { return try_push(one); });
    }
    batch_result push_n(std::span<const value_type> m) noexcept { return push_n_until(m, deadline::never()); }
    template <class Rep, class Period>
    batch_result push_n_for(std::span<const value_type> m, std::chrono::duration<Rep, Period> wait) noexcept {
      return push_n_until(m, deadline::after(wait));
    }
    batch_result push_n_until(std::span<const value_type> m, deadline until) noexcept {
      return each(m, [this, until](value_type one) noexcept { return push_until(one, until); });
    }

    // For a message of at most `size` bytes.
    reservation try_reserve(std::size_t size) noexcept {
      if (size > max_message()) return {};
      return {*this, sending_end::try_reserve(), size};
    }
    reservation reserve(std::size_t size) noexcept { return reserve_until(size, deadline::never()); }
    template <class Rep, class Period>
    reservation reserve_for(std::size_t size, std::chrono::duration<Rep, Period> wait) noexcept {
      return reserve_until(size, deadline::after(wait));
    }
    reservation reserve_until(std::size_t size, deadline until) noexcept {
      if (size > max_message()) return {};
      return {*this, sending_end::reserve_until(until), size};
    }

   private:
    template <class Push>
    static batch_result each(std::span<const value_type> m, const Push& push) noexcept {
      batch_result r;
      while (r.count != m.size() && (r.why = push(m[r.count])) == status::ok) ++r.count;
      return r;
    }

    static status written(reservation to, std::span<const std::byte> m) noexcept {
      if (!to) return to.why();
      std::copy(m.begin(), m.end(), to.bytes().begin());
      to.commit();
      return status::ok;
    }
  };

  // Pops. Its going, if it is the last, tells the senders.
  class receiver : private receiving_end {
    friend base;
    using receiving_end::receiving_end;

   public:
    using value_type = buffer;
    using platform_type = receiving_end::platform_type;
    using peeked = byte_channel::peeked;

    using receiving_end::capacity;
    using receiving_end::close;
    using receiving_end::max_message;
    using receiving_end::pop_event;
    using receiving_end::size_approx;

    // As those of a channel's receiver: the message is the first `size` bytes of `room`. Too_long where
    // `room` is shorter than max_message.
    status try_pop(std::span<std::byte> room, std::size_t& size) noexcept {
      if (room.size() < max_message()) return status::too_long;
      return read(try_peek(), room, size);
    }
    status pop(std::span<std::byte> room, std::size_t& size) noexcept {
      return pop_until(room, size, deadline::never());
    }
    template <class Rep, class Period>
    status pop_for(std::span<std::byte> room, std::size_t& size, std::chrono::duration<Rep, Period> wait) noexcept {
      return pop_until(room, size, deadline::after(wait));
    }
    status pop_until(std::span<std::byte> room, std::size_t& size, deadline until) noexcept {
      if (room.size() < max_message()) return status::too_long;
      return read(peek_until(until), room, size);
    }

    // The same, with both in one.
    status try_pop(buffer& m) noexcept { return try_pop(m.room, m.size); }
    status pop(buffer& m) noexcept { return pop_until(m, deadline::never()); }
    template <class Rep, class Period>
    status pop_for(buffer& m, std::chrono::duration<Rep, Period> wait) noexcept {
      return pop_until(m, deadline::after(wait));
    }
    status pop_until(buffer& m, deadline until) noexcept { return pop_until(m.room, m.size, until); }

    // What there is, one after the other, into the first `count` buffers. One that is redelivered is
    // the last of them, and `why` says so.
    batch_result try_pop_n(std::span<buffer> m) noexcept {
      if (m.empty()) return {};
      return with_others(m, try_pop(m.front()));
    }
    batch_result pop_n(std::span<buffer> m) noexcept { return pop_n_until(m, deadline::never()); }
    template <class Rep, class Period>
    batch_result pop_n_for(std::span<buffer> m, std::chrono::duration<Rep, Period> wait) noexcept {
      return pop_n_until(m, deadline::after(wait));
    }
    // Waits for the first only.
    batch_result pop_n_until(std::span<buffer> m, deadline until) noexcept {
      if (m.empty()) return {};
      return with_others(m, pop_until(m.front(), until));
    }

    peeked try_peek() noexcept { return {*this, receiving_end::try_peek()}; }
    peeked peek() noexcept { return peek_until(deadline::never()); }
    template <class Rep, class Period>
    peeked peek_for(std::chrono::duration<Rep, Period> wait) noexcept {
      return peek_until(deadline::after(wait));
    }
    peeked peek_until(deadline until) noexcept { return {*this, receiving_end::peek_until(until)}; }

    // for (std::span<const std::byte> m : receiver): each message in place, until the next step,
    // waiting for it, until there is none to come. (Others come to that end when this one has let
    // go of the last: the loop is no place to wait for them.)
    class iterator {
     public:
      using iterator_concept = std::input_iterator_tag;
      using value_type = std::span<const std::byte>;
      using difference_type = std::ptrdiff_t;

      explicit iterator(receiver& from) noexcept : from_(&from) { ++*this; }
      value_type operator*() const noexcept { return **last_; }
      iterator& operator++() noexcept {
        last_.reset();  // one at a time
        last_.emplace(from_->peek());
        return *this;
      }
      void operator++(int) noexcept { ++*this; }
      friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return !*i.last_; }

     private:
      receiver* from_;
      std::optional<peeked> last_;
    };
    iterator begin() noexcept { return iterator(*this); }
    std::default_sentinel_t end() const noexcept { return {}; }

   private:
    batch_result with_others(std::span<buffer> m, status first) noexcept {
      if (!delivered(first)) return {first, 0};
      batch_result r{first, 1};
      while (r.count != m.size() && r.why == status::ok) {
        const status why = try_pop(m[r.count]);
        if (!delivered(why)) break;
        r = {why, r.count + 1};
      }
      return r;
    }

    static status read(const peeked& from, std::span<std::byte> room, std::size_t& size) noexcept {
      if (from) size = static_cast<std::size_t>(std::copy((*from).begin(), (*from).end(), room.begin()) - room.begin());
      return from.why();
    }
  };

  using base::kind;
  using base::members;
  using base::memory;
  using base::recovered;
  using base::shape;
  using base::unlink;

  // As those of channel. ring_options::max_message has to be given.
  static result<byte_channel> create(const location& where, const ring_options& options) {
    return named(base::create(where, options));
  }
  static result<byte_channel> open(const location& where) { return named(base::open(where)); }
  static result<byte_channel> open_or_create(const location& where, const ring_options& options) {
    return named(base::open_or_create(where, options));
  }
  static result<byte_channel> adopt(int descriptor) { return named(base::adopt(descriptor)); }

  result<sender> attach_sender() { return placed<sender>(this->attach()); }
  result<receiver> attach_receiver() { return placed<receiver>(this->attach()); }

 private:
  explicit byte_channel(base&& of) noexcept : base(std::move(of)) {}

  static result<byte_channel> named(result<base> of) {
    if (!of) return of.error();
    return byte_channel(*std::move(of));
  }
};

}  // namespace millrace

#endif  // MILLRACE_BYTE_CHANNEL_H_
