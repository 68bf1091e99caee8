#include "millrace/attendance.h"
#include "millrace/channel.h"
#include "millrace/mpmc_ring.h"
#include "verify/model/models.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

using millrace::side;

constexpr auto never = millrace::deadline::never();

// What keepers and leavers do with an attendance: who finds the senders gone says so.
class watched {
 public:
  watched(void* at, millrace::membership<relacy_platform> who, relacy_platform::atomic<std::uint32_t>& ended)
      : of_(at, who), ended_(ended) {}

  void enter(side s) { of_.enter(s); }
  void leave() {
    of_.leave();
    alarm();
  }
  void settle() { of_.leave(); }
  void alarm() {
    if (of_.gone(side::senders)) ended_.store(1, std::memory_order_relaxed);
  }

 private:
  millrace::attendance<relacy_platform> of_;
  relacy_platform::atomic<std::uint32_t>& ended_;
};

class attending : public scenario {
 public:
  explicit attending(unsigned threads) : scenario(threads), members_(threads) {}

  void before() override {
    room_ = std::construct_at(reinterpret_cast<room*>(bytes_));
    millrace::attendance<relacy_platform>::construct(attendance_, threads());
    members_.construct();
  }

 protected:
  watched at(unsigned place) { return {attendance_, members_[place], room_->ended}; }
  bool ended() const { return room_->ended.load(std::memory_order_relaxed) != 0; }

  // The kernel's part, and a survivor's keeper's.
  void bury(unsigned place, bool heir) {
    if (heir) return members_.replace(place, at(place));
    members_.bury(place, at(place));
  }

  void signal() { room_->signal.store(1, std::memory_order_release); }
  void await_signal() {
    for (unsigned turn = 0; room_->signal.load(std::memory_order_acquire) == 0; ++turn) relacy_platform::relax(turn);
  }

 private:
  struct room {
    relacy_platform::atomic<std::uint32_t> ended{0};
    relacy_platform::atomic<std::uint32_t> signal{0};
  };
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  alignas(millrace::line_bytes) std::byte attendance_[512];
  congregation<> members_;
};

// All senders leave, or are killed, at once; one of them, or its keeper, is the last.
class all_go : public attending {
 public:
  all_go(unsigned threads, unsigned mortals) : attending(threads), mortals_(mortals) {}

  void before() override {
    attending::before();
    for (unsigned i = 0; i != threads(); ++i) at(i).enter(side::senders);
  }
  void thread(unsigned index) override {
    if (index >= mortals_) return at(index).leave();
    if (!mortality::run(8, [&] { at(index).leave(); })) bury(index, false);
  }
  void after() override { check(ended(), "when all senders have gone, somebody finds it"); }

 private:
  unsigned mortals_;
};

// One sender takes over from another, who leaves or is killed, while a third looks.
class shift_changes : public attending {
 public:
  explicit shift_changes(bool killed) : attending(3), killed_(killed) {}

  void before() override {
    attending::before();
    at(1).enter(side::senders);
  }
  void thread(unsigned index) override {
    // Place 0, which a look comes to before it comes to the other's.
    if (index == 0) {
      at(0).enter(side::senders);
      return signal();
    }
    if (index == 2) return at(2).alarm();
    await_signal();
    if (killed_) return bury(1, false);
    at(1).leave();
  }
  void after() override { check(!ended(), "as long as there is a sender, nobody finds that they have gone"); }

 private:
  bool killed_;
};

// A sender is killed, and the next in its place does something else, or the same.
class heirs : public attending {
 public:
  explicit heirs(side becomes) : attending(3), becomes_(becomes) {}

  void before() override {
    attending::before();
    at(0).enter(side::senders);
    if (becomes_ == side::senders) at(1).enter(side::senders);
  }
  void thread(unsigned index) override {
    if (index == 0) {
      bury(0, true);
      at(0).enter(becomes_);
      return signal();
    }
    if (index == 2) return at(2).alarm();
    if (becomes_ != side::senders) return;
    await_signal();
    at(1).leave();
  }
  void after() override {
    if (becomes_ == side::senders) check(!ended(), "who is alive is not taken for the dead one before it");
    if (becomes_ != side::senders) check(ended(), "who is alive is not taken for the sender before it");
  }

 private:
  side becomes_;
};

// Somebody enters for the first time, and is seen doing so.
class opens : public attending {
 public:
  opens() : attending(2) {}
  void thread(unsigned index) override {
    if (index == 0) return at(0).enter(side::senders);
    at(1).alarm();
  }
  void after() override { check(!ended(), "whoever is counted is seen"); }
};

using channel = millrace::stream<millrace::mpmc_ring<message, relacy_platform>>;

// Through a channel: what was pushed comes out, and then its end.
class draining : public scenario {
 public:
  enum class fate { lives, mortal, heir };
  static constexpr std::uint64_t capacity = 2;

  draining(unsigned senders, fate f) : scenario(senders + 1), memory_(capacity, senders + 1), fate_(f) {}

  void before() override {
    memory_.construct();
    for (unsigned i = 0; i + 1 != threads(); ++i) memory_.attach(i).enter(side::senders);
    memory_.attach(threads() - 1).enter(side::receivers);
    sent_ = 0;
    received_ = 0;
  }

  void thread(unsigned index) override {
    if (index + 1 == threads()) return receive(memory_.attach(index));
    const auto send = [&] {
      channel mine = memory_.attach(index);
      check(mine.push(message::of(index, 0)) == status::ok, "where there is a receiver, a push succeeds");
      ++sent_;
      mine.leave();
    };
    if (fate_ == fate::lives) return send();
    if (mortality::run(20, send)) return;
    memory_.bury(index, fate_ == fate::heir);  // an heir stays, and sends nothing
  }

  void after() override {
    check(received_ >= sent_, "what was pushed is received before the end");
    check(received_ < threads(), "nothing is received twice");
  }

 private:
  void receive(channel mine) {
    message m;
    status s = mine.pop_until(m, never);
    for (; s == status::ok; s = mine.pop_until(m, never)) ++received_;
    check(s == status::closed, "when the senders have gone, the stream has ended");
  }

  ring_memory<channel> memory_;
  fate fate_;
  unsigned sent_ = 0;
  unsigned received_ = 0;
};

// The only receiver takes something, and leaves or is killed: the sender is told.
class undeliverable : public scenario {
 public:
  static constexpr std::uint64_t capacity = 1;

  undeliverable() : scenario(2), memory_(capacity, 2) {}

  void before() override {
    memory_.construct();
    memory_.attach(0).enter(side::senders);
    memory_.attach(1).enter(side::receivers);
  }

  void thread(unsigned index) override {
    if (index == 1) {
      const auto take = [&] {
        channel mine = memory_.attach(1);
        message m;
        check(mine.pop_until(m, never) == status::ok, "what was pushed is received");
        mine.leave();
      };
      if (!mortality::run(20, take)) memory_.bury(1);
      return;
    }
    channel mine = memory_.attach(0);
    status s = mine.push(message::of(0, 0));
    for (unsigned i = 1; s == status::ok; ++i) s = mine.push(message::of(0, i));
    check(s == status::closed, "when the receivers have gone, the stream has ended");
  }

  void after() override {}

 private:
  ring_memory<channel> memory_;
};

// Everybody leaves, and it stays open.
class keeping_open : public scenario {
 public:
  static constexpr millrace::geometry shape{.capacity = 1, .members = 2, .keep_open = true};

  keeping_open() : scenario(2) {}

  void before() override {
    channel::construct(bytes_, shape);
    members_.construct();
  }
  void thread(unsigned index) override {
    channel mine = at(index);
    mine.enter(index == 0 ? side::senders : side::receivers);
    mine.leave();
  }
  void after() override { check(at(0).try_push(message::of(0, 0)) == status::ok, "what is kept open stays so"); }

 private:
  channel at(unsigned place) { return channel(bytes_, shape, members_[place]); }

  alignas(millrace::line_bytes) std::byte bytes_[2048];
  congregation<> members_{2};
};

template <class Scenario, class... Arguments>
auto maker(Arguments... arguments) {
  return [=] { return std::make_unique<Scenario>(arguments...); };
}

}  // namespace

void add_attendance_models(models& to) {
  const auto add = [&](property shows, const char* name, const char* does,
                       std::function<std::unique_ptr<scenario>()> make, std::vector<search> searches,
                       std::uint64_t capacity = 0) {
    to.push_back({"attendance", shows, name, does, std::move(make), std::move(searches), capacity});
  };
  using enum property;
  add(safety, "opens", "enter | gone?", maker<opens>(), {exhaustive()});
  add(safety, "shift_changes", "enter signal | await leave gone? | gone?", maker<shift_changes>(false),
      {preemptions(3)});
  add(safety, "shift_ends_in_death", "enter signal | await SIGKILL gone? | gone?", maker<shift_changes>(true),
      {preemptions(3)});
  add(safety, "heir_sends_on", "SIGKILL heir enter signal | await leave gone? | gone?", maker<heirs>(side::senders),
      {preemptions(2), random_executions(60'000)});
  add(liveness, "heir_receives", "SIGKILL heir enter | | gone?", maker<heirs>(side::receivers), {preemptions(3)});
  add(liveness, "two_leave", "leave gone? | the same", maker<all_go>(2u, 0u), {exhaustive()});
  add(liveness, "three_leave", "leave gone? | the same | the same", maker<all_go>(3u, 0u), {preemptions(2)});
  add(liveness, "one_is_killed", "mortal leave gone? | leave gone?", maker<all_go>(2u, 1u), {preemptions(4)});
  add(liveness, "two_are_killed", "mortal leave gone? | the same | leave gone?", maker<all_go>(3u, 2u),
      {random_executions(60'000)});
  using enum draining::fate;
  add(safety, "channel_kept_open", "enter leave | the same", maker<keeping_open>(), {preemptions(2)},
      keeping_open::shape.capacity);
  add(liveness, "channel_ends", "push leave | pop until closed", maker<draining>(1u, lives),
      {preemptions(2), random_executions(60'000)}, draining::capacity);
  add(liveness, "channel_of_two_ends", "push leave | the same | pop until closed", maker<draining>(2u, lives),
      {random_executions(60'000)}, draining::capacity);
  add(liveness, "channel_ends_in_death", "mortal push leave | pop until closed", maker<draining>(1u, mortal),
      {preemptions(1), random_executions(60'000)}, draining::capacity);
  add(liveness, "channel_ends_in_deaths", "mortal push leave | the same | pop until closed",
      maker<draining>(2u, mortal), {random_executions(60'000)}, draining::capacity);
  add(liveness, "channel_ends_with_heirs", "mortal push leave heir | the same | pop until closed",
      maker<draining>(2u, heir), {random_executions(60'000)}, draining::capacity);
  add(liveness, "receivers_go", "push until closed | mortal pop leave", maker<undeliverable>(),
      {preemptions(1), random_executions(60'000)}, undeliverable::capacity);
}

}  // namespace verify
