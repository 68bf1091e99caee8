#include "millrace/rendezvous_ring.h"
#include "verify/model/ring_models.h"

namespace verify {
namespace {

using ring = millrace::rendezvous_ring<message, relacy_platform>;

// One who is killed in a call while the other side waits. Whoever comes later must find out
// whether the two have met: if they have, the one that waits is told, though nobody is left to tell.
class killed_in_meeting : public scenario {
 public:
  explicit killed_in_meeting(action what) : scenario(2), pushes_(what == action::push), memory_(0, 2) {}

  void before() override {
    memory_.construct();
    over_ = false;
  }

  void thread(unsigned index) override {
    if (index == 1) {
      ring other = memory_.attach(1);
      message m;
      check(millrace::delivered(pushes_ ? other.pop(m) : other.push(message::of(1, 0))), "they meet");
      check(!pushes_ || m.intact(), "a message is delivered whole");
      over_ = true;
      return;
    }
    const bool lived = mortality::run(most_steps, [&] { call(memory_.attach(0)); });
    if (!lived) memory_.bury(0, true);
    if (lived) return;
    ring heir = memory_.attach(0);
    message m;
    while (!over_) {
      if ((pushes_ ? heir.try_push(message::of(0, 1)) : heir.try_pop(m)) == status::ok) return;
      relacy_platform::relax(0);
    }
  }

  void after() override { check(memory_.attach(1).try_push({}) == status::full, "nobody waits any more"); }

 private:
  static constexpr unsigned most_steps = 60;

  void call(ring mine) {
    message m;
    check((pushes_ ? mine.push(message::of(0, 0)) : mine.pop(m)) == status::ok, "they meet");
  }

  bool pushes_;
  bool over_ = false;
  ring_memory<ring> memory_;
};

// Who asks first is passed a message, and dies; another one that asks gets it, asleep or not.
class passed_to_the_dead : public scenario {
 public:
  explicit passed_to_the_dead(bool replaced) : scenario(2), replaced_(replaced), memory_(0, 3) {}

  void before() override {
    memory_.construct();
    message m;
    mortality::run_to_wait([&] { (void)memory_.attach(2).pop(m); });
  }

  void thread(unsigned index) override {
    ring mine = memory_.attach(index);
    if (index == 0) {
      check(mine.push(message::of(0, 0)) == status::ok, "who asks is served");
      return memory_.bury(2, replaced_);
    }
    message m;
    check(mine.pop(m) == status::redelivered && m.intact(), "what was passed to the dead comes");
  }

  void after() override {
    message m;
    check(memory_.attach(0).try_pop(m) == status::empty, "and comes once");
  }

 private:
  bool replaced_;
  ring_memory<ring> memory_;
};

// A new member finds its predecessor's orphan in its own place, and the lock taken.
class orphan_in_its_place : public scenario {
 public:
  orphan_in_its_place() : scenario(2), memory_(0, 2) {}

  void before() override {
    memory_.construct();
    message m;
    mortality::run_to_wait([&] { (void)memory_.attach(0).pop(m); });
    check(memory_.attach(1).try_push(message::of(1, 0)) == status::ok, "who asks is served");
    memory_.bury(0, true);
  }

  void thread(unsigned index) override {
    ring mine = memory_.attach(index);
    message m;
    if (index == 1) {
      const status s = mine.try_push(m);
      check(s == status::full || s == status::busy, "nobody asks");
      return;
    }
    came_ = mine.pop_for(m, some_time);
    check(came_ == status::redelivered || came_ == status::timed_out, "it waits for the lock as long as it may");
  }

  void after() override {
    message m;
    const status s = memory_.attach(0).try_pop(m);
    check(s == (came_ == status::redelivered ? status::empty : status::redelivered), "an orphan comes once");
  }

 private:
  status came_ = status::ok;
  ring_memory<ring> memory_;
};

model of_scenario(const char* name, const char* does, std::function<std::unique_ptr<scenario>()> make,
                  std::vector<search> searches, unsigned held = 0) {
  return {std::string(ring::kind), property::liveness, name, does, std::move(make), std::move(searches), 0, held};
}

// Calls that wait are here, too: without them nobody meets.
std::vector<scenario_text> meeting() {
  using enum property;
  const search some = random_executions(4'000);
  return {
      {safety, "to_the_end", 0, 0, 0, "push? | pop?", {preemptions(4)}},
      {safety, "timed", 0, 0, 0, "push~ | pop~", {preemptions(1), some}},
      {safety, "timed_twice", 0, 0, 0, "push~ push~ | pop~ pop~", {some}},
      {safety, "in_turn", 0, 0, 2, "pop? | pop? pop?", {preemptions(2)}},
      {safety, "asked_in_turn", 0, 0, 0, "push? | push? push?", {preemptions(2)}, false, false, 0, 2},
      {safety, "batches_in_turn", 0, 0, 3, "pop2? | pop3?", {preemptions(2)}},
      {safety, "waiting_batch", 0, 0, 3, "pop2 | pop?", {preemptions(2)}},
      {safety, "batch_takes_all_there_is", 0, 0, 3, "pop2? pop2? |", {exhaustive()}},
      {safety, "batch_for_two", 0, 0, 0, "push2? | pop~", {preemptions(1)}, false, false, 0, 1},
      {safety, "batches_asked_in_turn", 0, 0, 0, "push2? | push3?", {preemptions(2)}, false, false, 0, 3},
      {safety, "switching_roles", 0, 0, 0, "push~ pop~ push? | pop~ push~ pop?", {some}},
      {safety, "two_and_two", 0, 0, 0, "push~ | push~ | pop~ | pop~", {some}},
      {safety, "closing", 0, 0, 0, "push~ close push? | pop~ pop?", {some}},
      {safety, "closing_by_another", 0, 0, 0, "push~ push? | close | pop~ pop?", {some}},
      {safety, "batches", 0, 0, 0, "push3~ | pop2~ pop2~", {some}},

      {liveness, "one_to_one", 0, 0, 0, "push push | pop pop", {some}},
      {liveness, "two_pushers", 0, 0, 0, "push push | push | pop pop pop", {some}},
      {liveness, "two_poppers", 0, 0, 0, "push push push | pop pop | pop", {some}},
      {liveness, "two_and_two", 0, 0, 0, "push | push | pop | pop", {some}},
      {liveness, "retrying", 0, 0, 0, "push* push* | pop pop", {some}},
      {liveness, "retrying_pops", 0, 0, 0, "push push | pop* pop*", {some}},
      {liveness, "batches", 0, 0, 0, "push2 push close | pop2 pop2 pop2 pop", {some}},
      {liveness, "switching_roles", 0, 0, 0, "push pop push | pop push pop", {some}},
      {liveness, "timeouts", 0, 0, 0, "push~ push close | pop~ pop close", {some}},
      {liveness, "closing_wakes_pushers", 0, 0, 0, "push | push | close", {some}},
      {liveness, "closing_wakes_poppers", 0, 0, 0, "pop | pop2 | close", {some}},
      // What one that is stopped holds keeps nobody after the deadline.
      {liveness, "stopped_pusher", 0, 0, 0, "stopped push | push~ pop~ push2~ pop2~ close", {some}},
      {liveness, "stopped_popper", 0, 0, 0, "stopped pop | pop~ push~ push2~ pop2~ close", {some}},
  };
}

std::vector<scenario_text> meeting_the_dead() {
  using enum property;
  const search some = random_executions(4'000);
  return {
      {safety, "pusher_killed", 0, 0, 0, "mortal push~ | pop~ pop?", {some}},
      {safety, "popper_killed", 0, 0, 0, "mortal pop~ | push~ push? pop?", {some}},
      {safety, "pusher_killed_among_others", 0, 0, 0, "mortal push~ | push~ | pop~ pop~", {some}},
      {safety, "popper_killed_among_others", 0, 0, 0, "mortal pop~ | pop~ | push~ push~ pop?", {some}},
      {safety, "role_switcher_killed", 0, 0, 0, "mortal push~ pop~ | pop~ push~ pop?", {some}},
      {safety, "two_pushers_killed", 0, 0, 0, "mortal push~ | mortal push~ | pop~ pop~", {some}},
      {safety, "two_poppers_killed", 0, 0, 0, "mortal pop~ | mortal pop~ | push~ push~ pop? pop?", {some}},
      {safety, "pushing_batch_killed", 0, 0, 0, "mortal push2~ | pop2~ pop~", {some}},
      {safety, "popping_batch_killed", 0, 0, 2, "mortal pop2~ | pop? pop?", {some}},
      {safety, "taker_killed", 0, 0, 1, "mortal pop? | pop? pop?", {preemptions(1)}},
      {safety, "giver_killed", 0, 0, 0, "mortal push? | push? push?", {preemptions(1)}, false, false, 0, 1},
      {safety, "redeliverer_killed", 0, 0, 0, "mortal pop? | pop? pop?", {preemptions(1)}, false, false, 2},
      {safety, "redelivered_once", 0, 0, 0, "pop~ | pop? | pop?", {some}, false, false, 1},
      {safety, "redelivered_after_close", 0, 0, 0, "close pop? | pop pop?", {preemptions(1)}, false, false, 1},
      {safety, "dropped", 0, 0, 0, "pop? push? | pop?", {preemptions(1)}, false, true, 1},
      {safety, "popper_killed_dropping", 0, 0, 0, "mortal pop~ | push~ pop? push?", {some}, false, true},
      {safety, "lingering_pusher", 0, 0, 0, "lingering push~ | pop~ pop?", {some}, true},
      {safety, "lingering_popper", 0, 0, 0, "lingering pop~ | push~ push? pop?", {some}, true},
      {safety, "pushers_heir", 0, 0, 0, "mortal push~ heir pop~ push~ | pop~ push~", {some}},
      {safety, "poppers_heir", 0, 0, 0, "mortal pop~ heir push~ pop~ | push~ pop~ pop?", {some}},
      // Nothing comes back once a pop has said closed.
      {safety, "popper_killed_at_the_end", 0, 0, 0, "push~ close pop? pop? | mortal pop~", {some}},
      {safety, "heir_at_the_end", 0, 0, 0, "push~ close pop? pop? | mortal pop~ heir pop?", {some}},
      {safety, "poppers_heir_dropping", 0, 0, 0, "mortal pop~ heir push~ pop? | push~ pop~", {some}, false, true},

      {liveness, "pusher_killed", 0, 0, 0, "mortal push | push close | pop pop", {some}},
      {liveness, "popper_killed", 0, 0, 0, "mortal pop | pop close | push push", {some}},
      {liveness, "two_in_dead_hands", 0, 0, 0, "pop | pop", {preemptions(1)}, false, false, 2},
      // Who waits for the end is told when what was passed has been taken.
      {liveness, "end_beside_a_meeting", 0, 0, 0, "pop | push close pop", {preemptions(1), some}},
      {liveness, "end_beside_meetings", 0, 0, 0, "pop pop | pop | push push close", {some}},
      {liveness, "end_beside_a_death", 0, 0, 0, "mortal pop | push~ close pop pop", {some}},
  };
}

}  // namespace

void add_rendezvous_ring_models(models& to) {
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  add_models<ring>(to, promised, meeting());
  add_models<ring>(to, promised, meeting_the_dead());
  const search some = random_executions(4'000);
  to.push_back(of_scenario("killed_when_they_had_met", "mortal push heir push? ... | pop",
                           [] { return std::make_unique<killed_in_meeting>(action::push); }, {some}));
  to.push_back(of_scenario("killed_when_it_had_taken", "mortal pop heir pop? ... | push",
                           [] { return std::make_unique<killed_in_meeting>(action::pop); }, {some}));
  to.push_back(of_scenario("orphan_in_its_place", "1 in dead hands: pop~ | push?",
                           [] { return std::make_unique<orphan_in_its_place>(); }, {preemptions(2)}));
  to.push_back(of_scenario(
      "passed_to_the_dead", "1 asked for: push, the death | pop",
      [] { return std::make_unique<passed_to_the_dead>(false); }, {some}, 1));
  to.push_back(of_scenario(
      "passed_to_the_replaced", "1 asked for: push, the death and an heir | pop",
      [] { return std::make_unique<passed_to_the_dead>(true); }, {some}, 1));
}

}  // namespace verify
