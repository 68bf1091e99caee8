#include "millrace/event_count.h"
#include "verify/model/models.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

constexpr auto never = millrace::deadline::never();

// Sleepers await a word that one thread sets.
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
    millrace::event_count<relacy_platform> event;
    relacy_platform::atomic<std::uint32_t> ready{0};
    relacy_platform::plain<std::uint32_t> datum;
  };
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  millrace::deadline until_;
};

// With nobody to notify it, a thread sleeps: it is not turned away to poll.
class sleeping : public scenario {
 public:
  sleeping() : scenario(2) {}

  void before() override { event_ = std::construct_at(reinterpret_cast<event*>(bytes_)); }

  void thread(unsigned index) override {
    if (index != 0) return;
    const event::key key = event_->prepare();
    check(event_->wait(key, millrace::deadline::after(some_time)) != millrace::wait_result::changed,
          "the word is as it was prepared");
  }

  void after() override {}

 private:
  using event = millrace::event_count<relacy_platform>;
  alignas(event) std::byte bytes_[sizeof(event)];
  event* event_ = nullptr;
};

// With nobody to notify it, and a deadline, a thread gives up.
class giving_up : public scenario {
 public:
  giving_up() : scenario(2) {}

  void before() override { event_ = std::construct_at(reinterpret_cast<event*>(bytes_)); }

  void thread(unsigned index) override {
    if (index != 0) return;
    const status s =
        millrace::await(*event_, millrace::deadline::after(some_time), []() noexcept { return status::empty; });
    check(s == status::timed_out, "the deadline ends the wait");
  }

  void after() override {}

 private:
  using event = millrace::event_count<relacy_platform>;
  alignas(event) std::byte bytes_[sizeof(event)];
  event* event_ = nullptr;
};

// Two threads hand a token to and fro: the event is used again and again.
class to_and_fro : public scenario {
 public:
  explicit to_and_fro(unsigned rounds) : scenario(2), rounds_(rounds) {}

  void before() override { room_ = std::construct_at(reinterpret_cast<room*>(bytes_)); }

  void thread(unsigned index) override {
    for (unsigned turn = index; turn < 2 * rounds_; turn += 2) {
      const status s = millrace::await(room_->event, never, [&]() noexcept {
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
    millrace::event_count<relacy_platform> event;
    relacy_platform::atomic<std::uint32_t> turn{0};
  };
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  unsigned rounds_;
};

template <class Scenario, class... Arguments>
auto maker(Arguments... arguments) {
  return [=] { return std::make_unique<Scenario>(arguments...); };
}

}  // namespace

void add_event_count_models(models& to) {
  const auto add = [&](const char* name, const char* does, std::function<std::unique_ptr<scenario>()> make,
                       std::vector<search> searches) {
    to.push_back({"event_count", property::liveness, name, does, std::move(make), std::move(searches)});
  };
  add("sleeps", "prepare wait~ |", maker<sleeping>(), {exhaustive()});
  add("gives_up", "await~ |", maker<giving_up>(), {exhaustive()});
  add("one_sleeper", "set notify | await", maker<waking>(1u, never), {exhaustive()});
  add("two_sleepers", "set notify | await | await", maker<waking>(2u, never),
      {preemptions(2), random_executions(200'000)});
  add("deadline", "set notify | await~", maker<waking>(1u, millrace::deadline::after(some_time)), {exhaustive()});
  add("two_deadlines", "set notify | await~ | await~", maker<waking>(2u, millrace::deadline::after(some_time)),
      {preemptions(1), random_executions(100'000)});
  add("to_and_fro", "(await set notify) x 2 | the same", maker<to_and_fro>(2u),
      {preemptions(3), random_executions(200'000)});
}

}  // namespace verify
