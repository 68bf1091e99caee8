// Messages of any length, between real processes, one of which may be killed, or hostile.
#include "millrace/byte_channel.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>
#include <random>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/layout.h"
#include "millrace/port.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr std::uint32_t most = 100;  // no multiple of a place's alignment

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }
std::string text_of(std::span<const std::byte> m) { return {reinterpret_cast<const char *>(m.data()), m.size()}; }

// Of a length of its own, beginning with its sender.
std::vector<std::byte> letter(std::uint32_t from, std::uint32_t number) {
  std::vector<std::byte> m(1 + (number * 37 + from) % most);
  std::uint32_t state = from * 7919 + number;
  for (std::byte &b : m) b = static_cast<std::byte>((state = state * 1664525 + 1013904223) >> 24);
  m[0] = static_cast<std::byte>(from);
  return m;
}

class ByteChannelTest : public testing::Test {
 protected:
  static constexpr ring_options options{.capacity = 4, .members = 8, .max_message = most};

  child with_sender(std::function<bool(byte_channel::sender &)> body) {
    return child([this, body = std::move(body)] {
      auto mine = byte_channel::open(*at_);
      if (!mine) return false;
      auto end = mine->attach_sender();
      return end && body(*end);
    });
  }
  child with_receiver(std::function<bool(byte_channel::receiver &)> body) {
    return child([this, body = std::move(body)] {
      auto mine = byte_channel::open(*at_);
      if (!mine) return false;
      auto end = mine->attach_receiver();
      return end && body(*end);
    });
  }

  // For a child: says that it has come so far, and waits to be killed.
  bool until_killed() {
    *arrived_ = true;
    for (;;) ::pause();
  }
  void kill_when_arrived(child &c) {
    ASSERT_TRUE(reached([&] { return arrived_->load(); }));
    *arrived_ = false;
    ASSERT_EQ(::kill(c.pid(), SIGKILL), 0);
    EXPECT_FALSE(c.succeeded());
  }

  std::span<std::byte> segment() const {
    return {static_cast<std::byte *>(channel_.memory().base()), channel_.memory().size()};
  }

  scratch at_ = scratch::posix();
  byte_channel channel_ = *byte_channel::create(*at_, options);
  shared<std::atomic<bool>> arrived_;
  std::array<std::byte, most + 16> room_{};
  std::size_t size_ = 0;
  std::array<std::array<std::byte, most>, 5> rooms_{};
  std::array<byte_channel::buffer, 5> buffers_{{{rooms_[0]}, {rooms_[1]}, {rooms_[2]}, {rooms_[3]}, {rooms_[4]}}};
};

TEST_F(ByteChannelTest, CarriesMessagesOfEachLengthWholeAndInOrder) {
  constexpr std::uint32_t each = 3000;
  auto in = channel_.attach_receiver();
  std::vector<child> senders;
  for (std::uint32_t from = 0; from != 2; ++from) {
    senders.push_back(with_sender([from](auto &out) {
      for (std::uint32_t i = 0; i != each; ++i) {
        if (out.push(letter(from, i)) != status::ok) return false;
      }
      return true;
    }));
  }
  std::array<std::uint32_t, 2> next{};
  std::uint32_t count = 0;
  for (; count != 2 * each; ++count) {
    ASSERT_EQ(in->pop_for(room_, size_, 60s), status::ok);
    const auto got = std::span(room_).first(size_);
    ASSERT_FALSE(got.empty());
    const auto from = static_cast<std::uint32_t>(got[0]);
    ASSERT_LT(from, 2u);
    ASSERT_TRUE(std::ranges::equal(got, letter(from, next[from]))) << "message " << count;
    ++next[from];
  }
  for (child &c : senders) EXPECT_TRUE(c.succeeded());
  EXPECT_EQ(in->pop(room_, size_), status::closed);
}

TEST_F(ByteChannelTest, OneThatIsTooLongIsRefusedAndMovesNothing) {
  auto out = channel_.attach_sender();
  auto in = channel_.attach_receiver();
  EXPECT_EQ(out->max_message(), most);
  EXPECT_EQ(in->max_message(), most);
  const std::vector<std::byte> longest(most, std::byte{1});
  const std::vector<std::byte> longer(most + 1, std::byte{2});
  EXPECT_EQ(out->try_push(longer), status::too_long);
  EXPECT_EQ(out->push(longer), status::too_long);
  EXPECT_EQ(out->push_for(longer, 1h), status::too_long);
  EXPECT_EQ(out->try_reserve(most + 1).why(), status::too_long);
  EXPECT_EQ(out->reserve(std::size_t{1} << 40).why(), status::too_long);
  EXPECT_EQ(to_string(status::too_long), "too_long");
  EXPECT_EQ(in->try_pop(room_, size_), status::empty);
  ASSERT_EQ(out->try_push(longest), status::ok);
  // One who has not room enough is told so before it takes a message.
  const std::span room = std::span(room_).first(most - 1);
  EXPECT_EQ(in->try_pop(room, size_), status::too_long);
  EXPECT_EQ(in->pop(room, size_), status::too_long);
  EXPECT_EQ(in->pop_for(room, size_, 1h), status::too_long);
  EXPECT_EQ(in->try_pop({}, size_), status::too_long);
  ASSERT_EQ(in->try_pop(std::span(room_).first(most), size_), status::ok);
  EXPECT_EQ(size_, most);
  EXPECT_EQ(in->try_pop(room_, size_), status::empty);
}

TEST_F(ByteChannelTest, SaysFullEmptyTimedOutAndClosedAsAChannelDoes) {
  auto out = channel_.attach_sender();
  auto in = channel_.attach_receiver();
  EXPECT_EQ(in->pop_for(room_, size_, 1ms), status::timed_out);
  EXPECT_EQ(in->try_peek().why(), status::empty);
  EXPECT_EQ(in->peek_for(1ms).why(), status::timed_out);
  for (int i = 0; i != 4; ++i) ASSERT_EQ(out->try_push(bytes_of("four")), status::ok);
  EXPECT_EQ(out->try_push({}), status::full);
  EXPECT_EQ(out->push_for({}, 1ms), status::timed_out);
  EXPECT_EQ(out->try_reserve(0).why(), status::full);
  EXPECT_EQ(out->reserve_for(1, 1ms).why(), status::timed_out);
  EXPECT_EQ(out->size_approx(), 4u);
  out->close();
  EXPECT_EQ(out->try_push({}), status::closed);
  EXPECT_EQ(out->reserve(1).why(), status::closed);
  int count = 0;
  for (const std::span<const std::byte> m : *in) {
    EXPECT_EQ(text_of(m), "four");
    ++count;
  }
  EXPECT_EQ(count, 4);
  EXPECT_EQ(in->pop(room_, size_), status::closed);
  EXPECT_EQ(in->peek().why(), status::closed);
}

TEST_F(ByteChannelTest, ABatchEndsAtWhatFails) {
  auto out = channel_.attach_sender();
  auto in = channel_.attach_receiver();
  const std::vector<std::byte> longer(most + 1);
  std::vector<std::vector<std::byte>> letters;
  for (std::uint32_t i = 0; i != 5; ++i) letters.push_back(letter(0, i));
  const std::vector<std::span<const std::byte>> all(letters.begin(), letters.end());
  const std::array<std::span<const std::byte>, 3> second_too_long{all[0], longer, all[1]};
  EXPECT_EQ(out->try_push_n({}), (batch_result{status::ok, 0}));
  EXPECT_EQ(in->try_pop_n(buffers_), (batch_result{status::empty, 0}));
  EXPECT_EQ(in->pop_n_for(buffers_, 1ms), (batch_result{status::timed_out, 0}));
  EXPECT_EQ(out->push_n(second_too_long), (batch_result{status::too_long, 1}));
  EXPECT_EQ(out->push_n_for(std::span(all).subspan(1), 1ms), (batch_result{status::timed_out, 3})) << "4 have room";
  EXPECT_EQ(out->try_push_n(all), (batch_result{status::full, 0}));
  EXPECT_EQ(in->try_pop_n(std::span(buffers_).first(1)), (batch_result{status::ok, 1}));
  EXPECT_TRUE(std::ranges::equal(buffers_[0].message(), letters[0]));
  EXPECT_EQ(in->pop_n(buffers_), (batch_result{status::ok, 3}));
  for (std::size_t i = 0; i != 3; ++i) EXPECT_TRUE(std::ranges::equal(buffers_[i].message(), letters[i + 1])) << i;
  out->close();
  EXPECT_EQ(in->pop_n(buffers_), (batch_result{status::closed, 0}));
  EXPECT_EQ(in->pop_n({}), (batch_result{status::ok, 0}));
}

TEST_F(ByteChannelTest, ABatchEndsWithWhatIsRedelivered) {
  auto out = channel_.attach_sender();
  auto in = channel_.attach_receiver();
  for (std::uint32_t i = 0; i != 3; ++i) ASSERT_EQ(out->try_push(letter(0, i)), status::ok);
  child receiver = with_receiver([this](auto &theirs) {
    const auto held = theirs.peek();
    return held && until_killed();
  });
  kill_when_arrived(receiver);
  out->close();
  std::vector<std::vector<std::byte>> got;
  std::vector<std::byte> again;
  for (;;) {
    const batch_result r = in->pop_n_for(buffers_, 60s);
    if (r.why == status::closed) break;
    ASSERT_TRUE(delivered(r.why));
    for (std::size_t i = 0; i != r.count; ++i)
      got.emplace_back(buffers_[i].message().begin(), buffers_[i].message().end());
    if (r.why == status::redelivered) again = got.back();
  }
  EXPECT_EQ(got.size(), 3u);
  EXPECT_EQ(again, letter(0, 0));
}

static_assert(sending_port<byte_channel::sender> && receiving_port<byte_channel::receiver>);

TEST_F(ByteChannelTest, AnInheritedEndIsClosedInAChildOfFork) {
  auto out = channel_.attach_sender();
  auto in = channel_.attach_receiver();
  EXPECT_TRUE(child([&] {
                out->close();
                return out->push(letter(0, 0)) == status::closed && in->pop(buffers_[0]) == status::closed;
              }).succeeded());
  auto slot = out->reserve(most);
  std::ranges::copy(letter(0, 1), slot.bytes().begin());
  EXPECT_TRUE(child([&] {
                slot.commit(3);
                return !slot;
              }).succeeded());
  slot.commit(letter(0, 1).size());
  const auto found = in->peek();
  EXPECT_TRUE(std::ranges::equal(*found, letter(0, 1)));
  EXPECT_TRUE(child([&] { return !found; }).succeeded());
  EXPECT_TRUE(std::ranges::equal(*found, letter(0, 1)));
  out->close();
  out->close();
  EXPECT_EQ(out->push(letter(0, 0)), status::closed);
}

TEST_F(ByteChannelTest, IsWrittenAndReadInPlace) {
  auto out = channel_.attach_sender();
  auto in = channel_.attach_receiver();
  for (int lap = 0; lap != 10; ++lap) {
    auto slot = out->reserve(most);
    ASSERT_TRUE(slot);
    ASSERT_EQ(slot.bytes().size(), most);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(slot.bytes().data()) % 16, 0u);
    std::ranges::fill(slot.bytes(), static_cast<std::byte>(lap));
    const std::byte *const written = slot.bytes().data();
    slot.commit(lap == 9 ? most + 5 : static_cast<std::size_t>(lap));  // no more than was reserved
    slot.commit();
    EXPECT_FALSE(slot);
    { const auto dropped = out->try_reserve(3); }
    auto found = in->peek();
    ASSERT_TRUE(found);
    EXPECT_EQ((*found).data(), written);
    EXPECT_EQ((*found).size(), lap == 9 ? most : static_cast<std::size_t>(lap));
    EXPECT_TRUE(std::ranges::all_of(*found, [&](std::byte b) { return b == static_cast<std::byte>(lap); }));
    found.release();
    EXPECT_EQ(in->try_peek().why(), status::empty);
  }
}

TEST_F(ByteChannelTest, KilledInPlaceASenderHasSentNothingAndIsGone) {
  auto in = channel_.attach_receiver();
  child sender = with_sender([this](auto &out) {
    if (out.push(bytes_of("whole")) != status::ok) return false;
    auto slot = out.reserve(most);
    std::ranges::fill(slot.bytes(), std::byte{9});
    return until_killed();
  });
  ASSERT_EQ(in->pop(room_, size_), status::ok);
  EXPECT_EQ(text_of(std::span(room_).first(size_)), "whole");
  kill_when_arrived(sender);
  EXPECT_EQ(in->pop(room_, size_), status::closed);
}

TEST_F(ByteChannelTest, WhatAKilledReceiverHadPeekedAtIsRedelivered) {
  auto out = channel_.attach_sender();
  auto in = channel_.attach_receiver();
  ASSERT_EQ(out->push(bytes_of("first")), status::ok);
  child victim = with_receiver([this](auto &theirs) {
    const auto found = theirs.peek();
    return text_of(*found) == "first" && until_killed();
  });
  ASSERT_TRUE(reached([&] { return arrived_->load(); }));
  ASSERT_EQ(out->push(bytes_of("second")), status::ok);
  EXPECT_EQ(in->pop(room_, size_), status::ok);
  EXPECT_EQ(text_of(std::span(room_).first(size_)), "second");
  kill_when_arrived(victim);
  EXPECT_EQ(in->pop(room_, size_), status::redelivered);
  EXPECT_EQ(text_of(std::span(room_).first(size_)), "first");
}

TEST_F(ByteChannelTest, ABlockedReceiverHearsThatTheOnlySenderWasKilled) {
  child receiver = with_receiver([](auto &in) { return in.peek().why() == status::closed; });
  child sender = with_sender([this](auto &) { return until_killed(); });
  ASSERT_TRUE(reached([&] { return arrived_->load() && asleep(receiver.pid()); }));
  kill_when_arrived(sender);
  EXPECT_TRUE(receiver.succeeded());
}

TEST_F(ByteChannelTest, MaxMessageIsPartOfItsShape) {
  EXPECT_TRUE(byte_channel::open_or_create(*at_, options));
  auto other = options;
  other.max_message = most + 1;
  const auto refused = byte_channel::open_or_create(*at_, other);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, errc::incompatible);
  for (const char *part : {"byte_ring channel of 4 x ", "max_message = 100,", "max_message = 101;"}) {
    EXPECT_NE(refused.error().message.find(part), std::string::npos) << refused.error().message;
  }
  auto opened = byte_channel::open(*at_);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->attach_sender()->max_message(), most);
  EXPECT_FALSE(channel<frame>::open(*at_));
  EXPECT_FALSE((channel<std::uint32_t>::open(*at_)));
  EXPECT_FALSE(shared_ring<mpmc_ring<frame>>::open(*at_));
}

TEST_F(ByteChannelTest, ASizeThatCannotBeIsRefusedWithItsLimits) {
  for (const std::uint32_t size : {0u, (1u << 30) + 1, 0xffffffffu}) {
    auto wrong = options;
    wrong.max_message = size;
    const auto made = byte_channel::create(location::anonymous(), wrong);
    ASSERT_FALSE(made) << size;
    EXPECT_EQ(made.error().code, errc::bad_argument);
    EXPECT_NE(made.error().message.find("max_message " + std::to_string(size) + " is not from 1 to 1073741824"),
              std::string::npos)
        << made.error().message;
  }
  auto wrong = options;
  wrong.capacity = 3;
  EXPECT_FALSE(byte_channel::create(location::anonymous(), wrong));
  const auto fixed = channel<int>::create(location::anonymous(), options);
  ASSERT_FALSE(fixed);
  EXPECT_EQ(fixed.error().code, errc::bad_argument);
  auto one = options;
  one.max_message = 1;
  EXPECT_TRUE(byte_channel::create(location::anonymous(), one));
}

TEST_F(ByteChannelTest, AHeaderThatPromisesMoreThanThereIsIsRefused) {
  auto &header = *reinterpret_cast<ring_header *>(segment().data());
  for (const std::uint32_t size : {0u, most + 16, 1u << 20, 1u << 30, (1u << 30) + 1, 0xffffffffu}) {
    header.max_message = size;
    const auto opened = byte_channel::open(*at_);
    EXPECT_FALSE(opened) << size;
  }
  header.max_message = most;
  EXPECT_TRUE(byte_channel::open(*at_));
}

// Whatever a hostile member writes, no call touches a byte outside a message's place, or
// of the caller's beyond max_message.
TEST_F(ByteChannelTest, NoScribbleLeadsOutOfAMessagesPlace) {
  const std::size_t from = ring_offset(channel_.shape());
  const std::size_t places = from + byte_ring<>::bytes(channel_.shape()) - 4 * 112;
  const auto in_a_place = [&](std::span<const std::byte> m) {
    const auto at = static_cast<std::size_t>(m.data() - segment().data());
    return at >= places && (at - places) % 112 == 0 && at < places + 4 * 112 && m.size() <= most;
  };
  std::mt19937 random(1);
  std::vector<std::byte> whole(segment().begin(), segment().end());
  std::uint64_t delivered_ones = 0;
  for (int round = 0; round != 400; ++round) {
    std::ranges::copy(whole, segment().begin());
    auto out = channel_.attach_sender();
    auto in = channel_.attach_receiver();
    ASSERT_TRUE(out && in) << (out ? in.error() : out.error()).message;
    for (std::uint32_t i = 0; i != 3; ++i) ASSERT_EQ(out->try_push(letter(0, i)), status::ok);
    // The whole ring, or every length.
    for (std::size_t word = from; word + 4 <= places; word += 4) {
      const auto value = static_cast<std::uint32_t>(round % 2 == 0 ? ~0ul - random() % 3 : random());
      const bool is_length = (places - word) % 16 == 8 && places - word <= 4 * 16;
      if (round % 4 < 2 ? is_length : random() % 8 == 0) std::memcpy(segment().data() + word, &value, sizeof value);
    }
    std::ranges::fill(room_, std::byte{0x5a});
    for (int turn = 0; turn != 6; ++turn) {
      {
        const auto found = in->peek_for(0ms);
        if (found) {
          EXPECT_TRUE(in_a_place(*found));
          ++delivered_ones;
        }
      }
      {
        auto slot = out->reserve_for(most, 0ms);
        if (slot) {
          EXPECT_TRUE(in_a_place(slot.bytes()));
          slot.commit(7);
        }
      }
      if (delivered(in->pop_for(room_, size_, 0ms))) {
        EXPECT_LE(size_, most);
      }
      (void)out->push_for(letter(0, 2), 0ms);
    }
    EXPECT_TRUE(std::all_of(room_.begin() + most, room_.end(), [](std::byte b) { return b == std::byte{0x5a}; }));
  }
  EXPECT_GT(delivered_ones, 100u) << "or the scribbles show nothing";
}

// Lengths changed under the hands of those who read them.
TEST_F(ByteChannelTest, ALengthThatKeepsChangingIsReadOnce) {
  constexpr std::uint32_t count = 2000;
  const std::size_t end = ring_offset(channel_.shape()) + byte_ring<>::bytes(channel_.shape()) - 4 * 112;
  child scribbler([&] {
    std::mt19937 random(2);
    for (; !*arrived_; ::sched_yield()) {
      for (std::size_t back = 8; back <= 4 * 16; back += 16) {
        const auto length = static_cast<std::uint32_t>(random() % 4 == 0 ? ~0ul : random() % (2 * most));
        std::memcpy(segment().data() + end - back, &length, sizeof length);
      }
    }
    return true;
  });
  child sender = with_sender([](auto &out) {
    for (std::uint32_t i = 0; i != count; ++i) {
      if (out.push(letter(0, i)) != status::ok) return false;
    }
    return true;
  });
  auto in = channel_.attach_receiver();
  std::ranges::fill(room_, std::byte{0x5a});
  std::uint32_t got = 0;
  for (; in->pop_for(room_, size_, 60s) == status::ok; ++got) ASSERT_LE(size_, most);
  EXPECT_EQ(got, count);
  EXPECT_TRUE(std::all_of(room_.begin() + most, room_.end(), [](std::byte b) { return b == std::byte{0x5a}; }));
  *arrived_ = true;
  EXPECT_TRUE(scribbler.succeeded());
  EXPECT_TRUE(sender.succeeded());
}

}  // namespace
}  // namespace millrace
