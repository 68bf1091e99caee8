// What the library builds on its rings: what has a name, two sides and an end.
#include <concepts>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "bench/contender.h"
#include "bench/unused_name.h"
#include "bench/value_of.h"
#include "millrace/broadcast.h"
#include "millrace/byte_channel.h"
#include "millrace/channel.h"
#include "millrace/direct.h"
#include "millrace/growing_ring.h"
#include "millrace/mailbox.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/spsc_ring.h"

namespace millrace::bench {
namespace {

using message = parcel<8>;
constexpr std::uint64_t slots = 1024;

// A sender or a receiver, each in its own worker.
template <class Stream>
class end_of {
 public:
  end_of(std::optional<Stream> own, Stream& other, role r) : own_(std::move(own)) {
    Stream& of = own_ ? *own_ : other;
    if (r != role::consumer) out_.emplace(value_of(of.attach_sender()));
    if (r != role::producer) in_.emplace(value_of(of.attach_receiver()));
  }

  void push(const message& m) noexcept {
    if constexpr (std::same_as<Stream, byte_channel>) {
      (void)out_->push(std::as_bytes(std::span(&m, 1)));
    } else {
      (void)out_->push(m);
    }
  }
  void pop(message& m) noexcept {
    if constexpr (std::same_as<Stream, byte_channel>) {
      std::size_t size = 0;
      (void)in_->pop(std::as_writable_bytes(std::span(&m, 1)), size);
    } else {
      (void)in_->pop(m);
    }
  }

 private:
  std::optional<Stream> own_;
  std::optional<typename Stream::sender> out_{};
  std::optional<typename Stream::receiver> in_{};
};

template <class Stream>
class through_stream {
 public:
  using value_type = message;

  through_stream(const work& w, board&) : stream_(value_of(Stream::create(location::memfd("bench"), options(w)))) {}

  end_of<Stream> port(const work& w, role r) {
    if (w.where == place::threads) return {std::nullopt, stream_, r};
    return {value_of(Stream::adopt(stream_.memory().descriptor())), stream_, r};
  }

 private:
  static ring_options options(const work& w) {
    ring_options all{.capacity = slots, .members = 2 * w.workers()};
    if constexpr (std::same_as<Stream, rendezvous<message>>) all.capacity = 0;
    if constexpr (std::same_as<Stream, byte_channel>) all.max_message = sizeof(message);
    return all;
  }

  Stream stream_;
};

class through_mailbox {
 public:
  using value_type = message;

  through_mailbox(const work& w, board& b)
      : name_(unused_name()), box_(value_of(letters::create(name_, {.capacity = slots, .members = w.workers() + 1}))) {
    b.leave_segment(mailbox_location(name_).name());
  }
  through_mailbox(const through_mailbox&) = delete;
  through_mailbox& operator=(const through_mailbox&) = delete;
  ~through_mailbox() { (void)letters::remove(name_); }

  class port_type {
   public:
    explicit port_type(mailbox<message> own) : own_(std::move(own)), handle_(value_of(own_.attach())) {}

    void push(const message& m) noexcept { (void)handle_.push(m); }
    void pop(message& m) noexcept { (void)handle_.pop(m); }

   private:
    mailbox<message> own_;
    mailbox<message>::handle handle_;
  };

  port_type port(const work&, role) { return port_type(value_of(letters::open(name_))); }

 private:
  using letters = mailbox<message>;

  std::string name_;
  letters box_;
};

// One process is P, the other Q.
class through_link {
 public:
  using value_type = message;

  through_link(const work&, board& b) : exchange_(unused_name()) { b.leave_segment("millrace.direct." + exchange_); }

  class port_type {
   public:
    explicit port_type(direct<message> me) : me_(std::move(me)) {}

    void push(const message& m) { (void)me_.send("Q", m); }
    void pop(message& m) { (void)me_.receive("P", m); }

   private:
    direct<message> me_;
  };

  port_type port(const work&, role r) const {
    return port_type(
        value_of(direct<message>::enroll(r == role::producer ? "P" : "Q", {.exchange = exchange_, .capacity = slots})));
  }

 private:
  std::string exchange_;
};

template <class T, std::size_t Capacity>
using over_mpmc = only_one<through_stream<channel<message>>, T, Capacity>;
template <class T, std::size_t Capacity>
using over_spsc = only_one<through_stream<channel<message, spsc_ring<message>>>, T, Capacity>;
template <class T, std::size_t Capacity>
using growing = only_one<through_stream<channel<message, growing_ring<message>>>, T, Capacity>;
template <class T, std::size_t Capacity>
using meeting = only_one<through_stream<rendezvous<message>>, T, Capacity>;
template <class T, std::size_t Capacity>
using to_all = only_one<through_stream<broadcast<message>>, T, Capacity>;
template <class T, std::size_t Capacity>
using bytes = only_one<through_stream<byte_channel>, T, Capacity>;
template <class T, std::size_t Capacity>
using letters = only_one<through_mailbox, T, Capacity>;
template <class T, std::size_t Capacity>
using linked = only_one<through_link, T, Capacity>;

}  // namespace

void add_channels(std::vector<contender>& all) {
  const auto apart = [](std::string_view name) {
    return traits{.name = name, .from = origin::ours, .one_to_one = true, .apart = true};
  };
  all.push_back(contend<over_mpmc>(apart("channel")));
  all.push_back(contend<over_spsc>(apart("channel of spsc_ring")));
  all.push_back(contend<growing>(apart("channel of growing_ring")));
  all.push_back(contend<meeting>(apart("rendezvous")));
  all.push_back(contend<to_all>(apart("broadcast")));
  all.push_back(contend<bytes>(apart("byte_channel")));
  all.push_back(contend<letters>(apart("mailbox")));
  all.push_back(contend<linked>(apart("direct")));
}

}  // namespace millrace::bench
