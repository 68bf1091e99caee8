// What tests of channels share: the kinds of them, and ends in other processes.
#ifndef MILLRACE_TESTS_CHANNELS_H_
#define MILLRACE_TESTS_CHANNELS_H_

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <utility>

#include "millrace/boost_ring.h"
#include "millrace/channel.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_memory.h"
#include "millrace/spsc_ring.h"
#include "tests/support.h"

namespace millrace {

// Whose push needs nobody to take what it brings.
using buffered_channels = testing::Types<
    channel<std::uint64_t>, channel<std::uint64_t, spsc_ring<std::uint64_t>>,
    channel<std::uint64_t, mutex_ring<std::uint64_t>>, channel<std::uint64_t, growing_ring<std::uint64_t>>,
    channel<std::uint64_t, semaphore_ring<std::uint64_t>>, channel<std::uint64_t, boost_ring<std::uint64_t>>>;

struct channel_name {
  template <class C>
  static std::string GetName(int) {
    return std::string(C::kind.substr(0, C::kind.find(' ')));
  }
};

// A test whose children say how far they have come.
class GatheringTest : public testing::Test {
 protected:
  bool arrive() {
    ++*arrived_;
    return true;
  }
  bool until_killed() {
    arrive();
    for (;;) ::pause();
  }
  void await_arrivals(int count) {
    ASSERT_TRUE(reached([&] { return *arrived_ == count; }));
  }
  static void kill(child& c) {
    ASSERT_EQ(::kill(c.pid(), SIGKILL), 0);
    EXPECT_FALSE(c.succeeded());
  }

  shared<std::atomic<int>> arrived_;
};

// Of the channel at its location: another process with an end of its own, that does
// `body` with it.
template <class C>
class ChannelAtTest : public GatheringTest {
 protected:
  child with_sender(std::function<bool(typename C::sender&)> body) {
    return child([this, body = std::move(body)] {
      auto mine = C::open(*at_);
      if (!mine) return false;
      auto end = mine->attach_sender();
      return end && body(*end);
    });
  }
  child with_receiver(std::function<bool(typename C::receiver&)> body) {
    return child([this, body = std::move(body)] {
      auto mine = C::open(*at_);
      if (!mine) return false;
      auto end = mine->attach_receiver();
      return end && body(*end);
    });
  }

  scratch at_ = scratch::posix();
};

}  // namespace millrace

#endif  // MILLRACE_TESTS_CHANNELS_H_
