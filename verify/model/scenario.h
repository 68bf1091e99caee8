// What threads do to a ring, and what must then be true: the same for every ring.
#ifndef MILLRACE_VERIFY_MODEL_SCENARIO_H_
#define MILLRACE_VERIFY_MODEL_SCENARIO_H_

#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "millrace/ring.h"
#include "millrace/status.h"
#include "verify/model/simulate.h"
#include "verify/relacy_platform.h"

namespace verify {

using millrace::status;

// Two words that belong together, the number of a sender and of the message.
struct message {
  std::uint64_t id = 0;
  std::uint64_t seal = 0;

  static constexpr message of(unsigned sender, unsigned number) noexcept {
    const std::uint64_t id = sender << 8 | number;
    return {id, ~id};
  }
  constexpr bool intact() const noexcept { return seal == ~id; }
  constexpr unsigned sender() const noexcept { return static_cast<unsigned>(id >> 8); }
  constexpr unsigned number() const noexcept { return id & 0xff; }

  friend std::ostream& operator<<(std::ostream& out, const message& m) {
    if (!m.intact()) out << "torn ";
    return out << m.sender() << "." << m.number();
  }
};

// A claim about the code under test; its line heads the history if it fails.
inline void check(bool holds, const char* claim, site s = site::here()) {
  if (holds) return;
  if (recorder::installed != nullptr) tell({.where = s, .event = claim});
  rl::ctx().fail_test(claim, rl::test_result_user_assert_failed, info(s));
}

// Memory with one ring in it, made anew before each execution.
template <class Ring>
class ring_memory {
 public:
  ring_memory(std::uint64_t capacity, std::uint32_t members) : geometry_{capacity, members} {
    EXPECT_EQ(Ring::refuse(geometry_), "");
    EXPECT_LE(Ring::bytes(geometry_), sizeof(bytes_));
  }
  void construct() { Ring::construct(bytes_, geometry_); }
  Ring attach(unsigned member) { return Ring(bytes_, geometry_, member); }

 private:
  alignas(millrace::line_bytes) std::byte bytes_[8192];
  millrace::geometry geometry_;
};

// What came out of a ring, by whom and in which order.
class delivered {
 public:
  void clear() noexcept { counts_ = {}; }
  void add(unsigned receiver, const message& m) {
    check(counts_[receiver] < most, "a ring delivers no more than was sent");
    messages_[receiver][counts_[receiver]++] = m;
  }

  // Exactly messages 0 to each - 1 of senders 0 to senders - 1; each receiver got
  // those of a sender in the order in which they were sent.
  void check_all(unsigned senders, unsigned each) const {
    std::array<std::array<bool, most>, most_receivers> seen{};
    unsigned total = 0;
    for (unsigned receiver = 0; receiver != most_receivers; ++receiver) {
      std::array<unsigned, most_receivers> next{};
      for (unsigned i = 0; i != counts_[receiver]; ++i) {
        const message& m = messages_[receiver][i];
        check(m.intact(), "a message is delivered whole");
        check(m.sender() < senders && m.number() < each, "only what was sent is delivered");
        check(!seen[m.sender()][m.number()], "no message is delivered twice");
        seen[m.sender()][m.number()] = true;
        check(m.number() >= next[m.sender()], "a sender's messages stay in order");
        next[m.sender()] = m.number() + 1;
        ++total;
      }
    }
    check(total == senders * each, "no message is lost");
  }

 private:
  static constexpr unsigned most_receivers = 4;
  static constexpr unsigned most = 16;

  std::array<std::array<message, most>, most_receivers> messages_{};
  std::array<unsigned, most_receivers> counts_{};
};

// How a thread calls the ring.
enum class calls {
  trying,    // try_push, try_pop, and a yield where they fail
  blocking,  // push, pop
  batched,   // push_n of all at once; pop_n of two
};

template <class Ring>
void send(Ring& ring, calls how, std::span<const message> messages) {
  if constexpr (millrace::ring<Ring>) {
    if (how == calls::batched) {
      const millrace::batch_result moved = ring.push_n(messages);
      return check(moved.why == status::ok && moved.count == messages.size(), "push_n sends all");
    }
  }
  if (how == calls::blocking) {
    for (const message& m : messages) check(ring.push(m) == status::ok, "push ends when the message is in");
    return;
  }
  for (const message& m : messages) {
    status s = ring.try_push(m);
    for (; s != status::ok; s = ring.try_push(m)) {
      check(s == status::full || s == status::busy, "try_push of an open ring says ok, full or busy");
      relacy_platform::relax(0);
    }
  }
}

// Receives `count` messages, or, blocking, until the ring is closed and drained.
template <class Ring>
void receive(Ring& ring, calls how, unsigned count, unsigned receiver, delivered& to) {
  while (count != 0) {
    std::array<message, 2> got{};
    std::size_t n = 1;
    status s = status::busy;
    if constexpr (millrace::ring<Ring>) {
      if (how == calls::batched) {
        const millrace::batch_result moved = ring.pop_n(std::span(got).first(std::min<std::size_t>(count, 2)));
        s = moved.why;
        n = moved.count;
      }
    }
    if (how == calls::blocking) s = ring.pop(got[0]);
    if (how == calls::trying) {
      s = ring.try_pop(got[0]);
      if (s == status::empty || s == status::busy) {
        relacy_platform::relax(0);
        continue;
      }
    }
    if (s == status::closed) return;
    check(s == status::ok, "pop ends with a message");
    check(n != 0, "pop_n ends with a message");
    for (std::size_t i = 0; i != n; ++i) to.add(receiver, got[i]);
    count -= static_cast<unsigned>(n);
  }
}

inline constexpr unsigned until_closed = ~0u;

struct shape {
  unsigned producers;
  unsigned consumers;
  unsigned each;  // messages a producer sends
  std::uint64_t capacity;
};

// Producers send, consumers share what is sent evenly among them.
template <class Ring>
class exchange : public scenario {
 public:
  exchange(const shape& s, calls how)
      : scenario(s.producers + s.consumers), shape_(s), how_(how), memory_(s.capacity, threads() + 1) {
    EXPECT_EQ(s.producers * s.each % s.consumers, 0u);
  }

  void before() override {
    memory_.construct();
    delivered_.clear();
  }

  void thread(unsigned index) override {
    Ring ring = memory_.attach(index);
    if (index < shape_.producers) {
      std::array<message, 16> all;
      for (unsigned i = 0; i != shape_.each; ++i) all[i] = message::of(index, i);
      send(ring, how_, std::span(all).first(shape_.each));
    } else {
      receive(ring, how_, shape_.producers * shape_.each / shape_.consumers, index - shape_.producers, delivered_);
    }
  }

  void after() override {
    delivered_.check_all(shape_.producers, shape_.each);
    Ring ring = memory_.attach(threads());
    message m;
    check(ring.try_pop(m) == status::empty, "what was delivered is gone");
  }

 private:
  shape shape_;
  calls how_;
  ring_memory<Ring> memory_;
  delivered delivered_;
};

// Every thread sends and then receives, `rounds` times.
template <class Ring>
class role_switch : public scenario {
 public:
  role_switch(unsigned threads, unsigned rounds, calls how)
      : scenario(threads), rounds_(rounds), how_(how), memory_(std::bit_ceil(threads), threads) {}

  void before() override {
    memory_.construct();
    delivered_.clear();
  }

  void thread(unsigned index) override {
    Ring ring = memory_.attach(index);
    for (unsigned round = 0; round != rounds_; ++round) {
      const message m = message::of(index, round);
      send(ring, how_, std::span(&m, 1));
      receive(ring, how_, 1, index, delivered_);
    }
  }

  void after() override { delivered_.check_all(threads(), rounds_); }

 private:
  unsigned rounds_;
  calls how_;
  ring_memory<Ring> memory_;
  delivered delivered_;
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_SCENARIO_H_
