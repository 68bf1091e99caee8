// What models of rings share: their messages, the memory of a ring, and what must come out of it.
#ifndef MILLRACE_VERIFY_MODEL_SCENARIO_H_
#define MILLRACE_VERIFY_MODEL_SCENARIO_H_

#include <algorithm>
#include <array>
#include <chrono>
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

// Of calls with a deadline: too long to pass by the clock on the wall. When it passes, the search decides.
inline constexpr std::chrono::hours some_time{24 * 365};

// A claim about the code under test; its line heads the history if it fails.
inline void check(bool holds, const char* claim, site s = site::here()) {
  if (holds) return;
  if (recorder::installed != nullptr) tell({.where = s, .event = claim});
  rl::ctx().fail_test(claim, rl::test_result_user_assert_failed, info(s));
}

// All members of a segment, alive until they are buried.
template <class Platform = relacy_platform>
class congregation {
  using roster = millrace::roster<Platform>;

 public:
  explicit congregation(std::uint32_t members) : members_(members) {
    expect(roster::bytes(members) <= sizeof(bytes_), "the members have room");
  }

  void construct() {
    roster::construct(bytes_, members_);
    for (std::uint32_t i = 0; i != members_; ++i) {
      // relaxed: before the threads run.
      all().life_of(i).store(roster::alarmed | (i + 1), std::memory_order_relaxed);
    }
  }

  millrace::membership<Platform> operator[](std::uint32_t member) { return {all(), member}; }

  void report_death() { all().report_death(); }

  // The kernel's part of a death.
  void mark(std::uint32_t member) { all().life_of(member).fetch_or(roster::died, std::memory_order_acq_rel); }

  // What comes after a death, done as if by the dead one's last thread: the kernel's
  // part, and then that of another member's keeper.
  template <class Ring>
  void bury(std::uint32_t member, Ring&& ring) {
    mark(member);
    all().report_death();
    ring.alarm();
  }

  // The same, by the keeper of who joins in its place before anybody has noticed.
  template <class Ring>
  void replace(std::uint32_t member, Ring&& ring) {
    mark(member);
    relacy_platform::await_end();
    ring.settle();
    all().report_death();
    ring.alarm();
    all().life_of(member).store(roster::alarmed | (member + 1), std::memory_order_release);
  }

 private:
  roster all() { return roster(bytes_, members_); }

  alignas(millrace::line_bytes) std::byte bytes_[2048];
  std::uint32_t members_;
};

// Memory with one ring in it, made anew before each execution.
template <class Ring>
class ring_memory {
 public:
  ring_memory(std::uint64_t capacity, std::uint32_t members,
              millrace::delivery on_death = millrace::delivery::redeliver)
      : geometry_{capacity, members, on_death}, members_(members) {
    if constexpr (millrace::ring<Ring>) {
      expect(Ring::refuse(geometry_).empty(), "the ring has a shape that it can have");
    }
    expect(Ring::bytes(geometry_) + behind <= sizeof(bytes_), "the ring has room");
    std::fill_n(bytes_ + Ring::bytes(geometry_), behind, untouched);
  }
  void construct(bool bereft = false) {
    check(std::count(bytes_ + Ring::bytes(geometry_), bytes_ + Ring::bytes(geometry_) + behind, untouched) == behind,
          "a ring stays within its bytes");
    members_.construct();
    if (bereft) members_.report_death();
    Ring::construct(bytes_, geometry_);
  }
  Ring attach(unsigned member) { return Ring(bytes_, geometry_, members_[member]); }
  void mark(unsigned member) { members_.mark(member); }
  // Of a member that was killed; by whom depends on whether its place is to have an heir.
  void bury(unsigned member, bool heir = false) {
    if (heir) return members_.replace(member, attach(member));
    members_.bury(member, attach(member));
  }

 private:
  static constexpr int behind = 256;
  static constexpr std::byte untouched{0xa5};

  alignas(millrace::line_bytes) std::byte bytes_[8192];
  millrace::geometry geometry_;
  congregation<typename Ring::platform_type> members_;
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

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_SCENARIO_H_
