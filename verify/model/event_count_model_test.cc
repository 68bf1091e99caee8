#include <gtest/gtest.h>

#include "millrace/event_count.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

// Sleepers await a word that one thread sets.
template <class Platform>
class waking : public scenario {
 public:
  waking(unsigned sleepers, millrace::deadline until) : scenario(sleepers + 1), until_(until) {}

  void before() override { room_ = std::construct_at(reinterpret_cast<room*>(bytes_)); }

  void thread(unsigned index) override {
    if (index == 0) {
      room_->datum.write(7);
      room_->ready.store(1, std::memory_order::release);
      room_->event.notify();
      return;
    }
    const status s = millrace::await(room_->event, until_, [this]() noexcept {
      return room_->ready.load(std::memory_order::acquire) == 1 ? status::ok : status::empty;
    });
    if (s == status::timed_out) return check(!until_.is_never(), "only a deadline ends the wait");
    check(s == status::ok, "the wait ends when the word is set");
    std::uint32_t value = 0;
    room_->datum.read(value);
    check(value == 7, "what was written before is seen");
  }

  void after() override {}

 private:
  struct room {
    millrace::event_count<Platform> event;
    typename Platform::template atomic<std::uint32_t> ready{0};
    typename Platform::template plain<std::uint32_t> datum;
  };
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  millrace::deadline until_;
};

// Two threads hand a token to and fro: the event is used again and again.
template <class Platform>
class to_and_fro : public scenario {
 public:
  explicit to_and_fro(unsigned rounds) : scenario(2), rounds_(rounds) {}

  void before() override { room_ = std::construct_at(reinterpret_cast<room*>(bytes_)); }

  void thread(unsigned index) override {
    for (unsigned turn = index; turn < 2 * rounds_; turn += 2) {
      const status s = millrace::await(room_->event, millrace::deadline::never(), [&]() noexcept {
        return room_->turn.load(std::memory_order::acquire) == turn ? status::ok : status::empty;
      });
      check(s == status::ok, "the token comes");
      room_->turn.store(turn + 1, std::memory_order::release);
      room_->event.notify();
    }
  }

  void after() override {}

 private:
  struct room {
    millrace::event_count<Platform> event;
    typename Platform::template atomic<std::uint32_t> turn{0};
  };
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  unsigned rounds_;
};

// Broken platforms: each lacks what event_count needs, and loses a wake-up.
struct no_heavy_fence : relacy_platform {
  static void heavy_fence() noexcept {}
};
struct no_wake : relacy_platform {
  static void wake_all(const atomic<std::uint32_t>&) noexcept {}
};

constexpr auto never = millrace::deadline::never();

TEST(EventCountModelTest, OneSleeperIsWoken) { expect_clean(waking<relacy_platform>(1, never), exhaustive()); }

TEST(EventCountModelTest, TwoSleepersAreWoken) {
  expect_clean(waking<relacy_platform>(2, never), preemptions(2));
  expect_clean(waking<relacy_platform>(2, never), random_executions(300'000));
}

TEST(EventCountModelTest, ASleeperWithADeadlineIsWokenOrTimesOut) {
  expect_clean(waking<relacy_platform>(1, millrace::deadline::at({})), random_executions(300'000));
}

TEST(EventCountModelTest, SleepersAndNotifiersMayChangeRoles) {
  expect_clean(to_and_fro<relacy_platform>(2), random_executions(300'000));
  expect_clean(to_and_fro<relacy_platform>(1), preemptions(3));
}

TEST(EventCountModelTest, WithoutTheHeavyFenceAWakeUpIsLost) {
  expect_caught(waking<no_heavy_fence>(1, never), exhaustive(), verdict::deadlock);
}

TEST(EventCountModelTest, WithoutTheWakeASleeperSleepsOn) {
  expect_caught(waking<no_wake>(1, never), exhaustive(), verdict::deadlock);
}

}  // namespace
}  // namespace verify
