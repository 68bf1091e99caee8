// The library's channel and mailbox: a ring, who is at which side of it, and a name.
#include <unistd.h>

#include <cstddef>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include "bench/contender.h"
#include "millrace/channel.h"
#include "millrace/mailbox.h"

namespace millrace::bench {
namespace {

template <class R>
R value_of(result<R> r) {
  if (!r) throw std::runtime_error(r.error().message);
  return *std::move(r);
}

class through_channel {
 public:
  using value_type = parcel<8>;

  through_channel(const work& w, board&)
      : channel_(value_of(stream::create(location::memfd("bench"), {.capacity = 1024, .members = w.workers()}))) {}

  class port_type {
   public:
    port_type(std::optional<channel<value_type>> own, channel<value_type>& other, role r) : own_(std::move(own)) {
      auto& c = own_ ? *own_ : other;
      if (r == role::producer) {
        in_.emplace(value_of(c.attach_sender()));
      } else {
        out_.emplace(value_of(c.attach_receiver()));
      }
    }

    bool try_push(const value_type& m) noexcept { return in_->try_push(m) == status::ok; }
    bool try_pop(value_type& m) noexcept { return delivered(out_->try_pop(m)); }
    void push(const value_type& m) noexcept { (void)in_->push(m); }
    void pop(value_type& m) noexcept { (void)out_->pop(m); }

   private:
    std::optional<channel<value_type>> own_;
    std::optional<channel<value_type>::sender> in_{};
    std::optional<channel<value_type>::receiver> out_{};
  };

  port_type port(const work& w, role r) {
    if (w.where == place::threads) return {std::nullopt, channel_, r};
    return {value_of(stream::adopt(channel_.memory().descriptor())), channel_, r};
  }

 private:
  using stream = channel<value_type>;

  stream channel_;
};

class through_mailbox {
 public:
  using value_type = parcel<8>;

  through_mailbox(const work& w, board& b)
      : name_(std::to_string(std::random_device()())),
        box_(value_of(letters::create(name_, {.capacity = 1024, .members = w.workers() + 1}))) {
    b.leave_segment(mailbox_location(name_).name());
  }
  through_mailbox(const through_mailbox&) = delete;
  through_mailbox& operator=(const through_mailbox&) = delete;
  ~through_mailbox() { (void)letters::remove(name_); }

  class port_type {
   public:
    explicit port_type(mailbox<value_type> own) : own_(std::move(own)), handle_(value_of(own_.attach())) {}

    bool try_push(const value_type& m) noexcept { return handle_.try_push(m) == status::ok; }
    bool try_pop(value_type& m) noexcept { return delivered(handle_.try_pop(m)); }
    void push(const value_type& m) noexcept { (void)handle_.push(m); }
    void pop(value_type& m) noexcept { (void)handle_.pop(m); }

   private:
    mailbox<value_type> own_;
    mailbox<value_type>::handle handle_;
  };

  port_type port(const work&, role) { return port_type(value_of(letters::open(name_))); }

 private:
  using letters = mailbox<value_type>;

  std::string name_;
  letters box_;
};

template <class T, std::size_t Capacity>
using over_channel = only_one<through_channel, T, Capacity>;
template <class T, std::size_t Capacity>
using over_mailbox = only_one<through_mailbox, T, Capacity>;

}  // namespace

void add_channels(std::vector<contender>& all) {
  all.push_back(contend<over_channel>({.name = "channel", .from = origin::ours, .apart = true}));
  all.push_back(contend<over_mailbox>({.name = "mailbox", .from = origin::ours, .apart = true}));
}

}  // namespace millrace::bench
