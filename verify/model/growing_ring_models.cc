#include "millrace/growing_ring.h"
#include "verify/model/ring_models.h"

namespace verify {
namespace {

// Two messages lie in a chunk.
struct in_pairs : relacy_platform {
  static constexpr std::size_t chunk_bytes = 2 * sizeof(relacy_platform::plain<message>);
};

using ring = millrace::growing_ring<message, in_pairs>;

constexpr unsigned chunk_pages = (in_pairs::chunk_bytes + millrace::line_bytes - 1) / millrace::line_bytes;

// There is memory for one chunk beside the first. Two producers find none now and then, and wait for
// pops; each message comes once, and in order.
class scarce : public scenario {
 public:
  scarce() : scenario(3), memory_(capacity, threads()) {}

  void before() override {
    memory_.construct();
    received_.clear();
    relacy_platform::pages_left = chunk_pages;
  }

  void thread(unsigned index) override {
    ring r = memory_.attach(index);
    if (index == 2) {
      message m;
      for (unsigned i = 0; i != 2 * each; ++i) {
        check(r.pop(m) == status::ok, "what is pushed comes");
        received_.add(index, m);
      }
      return;
    }
    for (unsigned i = 0; i != each; ++i) check(r.push(message::of(index, i)) == status::ok, "there is room at last");
  }

  void after() override {
    received_.check_all(2, each);
    ring r = memory_.attach(0);
    check(r.committed_bytes() == chunk_pages * millrace::line_bytes, "an emptied ring keeps one chunk");
    std::array<message, 5> five;
    check(r.try_push_n(five) == millrace::batch_result{status::full, 4}, "as much is pushed as there is memory for");
  }

 private:
  static constexpr unsigned capacity = 6;
  static constexpr unsigned each = 3;

  ring_memory<ring> memory_;
  delivered received_;
};

// One that pops what lies round the end of the places may be killed on the way. All that is
// popped is given back at last, by whoever comes by, and nothing else.
class frugal : public scenario {
 public:
  frugal() : scenario(2), memory_(capacity, threads()) {}

  void before() override {
    memory_.construct();
    relacy_platform::pages_left = plenty;
    ring r = memory_.attach(1);
    std::array<message, capacity> some;
    for (const unsigned pushed : {6u, 3u, 2u}) {  // the last lie in the chunks of numbers 3, 4 and 5
      check(r.try_push_n(std::span(some).first(pushed)).count == pushed, "there is room");
      if (pushed != 2) check(r.try_pop_n(std::span(some).first(pushed == 6 ? 4 : 3)).why == status::ok, "it is there");
    }
  }

  void thread(unsigned index) override {
    ring r = memory_.attach(index);
    std::array<message, capacity> some;
    if (index == 0) {
      if (!mortality::run(40, [&] { (void)r.try_pop_n(some); })) memory_.bury(0);
      return;
    }
    (void)r.try_push(some[0]);
    (void)r.try_pop(some[0]);
  }

  void after() override {
    ring r = memory_.attach(1);
    std::array<message, capacity> some;
    while (r.try_pop_n(some).why == status::ok) {
    }
    check(r.try_push(some[0]) == status::ok && r.try_pop(some[0]) == status::ok, "an emptied ring has room");
    check(r.committed_bytes() == chunk_pages * millrace::line_bytes, "an emptied ring keeps one chunk");
    check(relacy_platform::pages_left == plenty, "and has as much memory as it says");
    relacy_platform::pages_left = 0;  // so that it touches its end
    check(r.try_push_n(std::span(some).first(3)) == millrace::batch_result{status::full, 2}, "and that is its own");
  }

 private:
  static constexpr unsigned capacity = 6;
  static constexpr unsigned plenty = 1000;

  ring_memory<ring> memory_;
};

}  // namespace

void add_growing_ring_models(models& to) {
  using enum property;
  // As of mutex_ring: everything is decided under the lock.
  constexpr promise promised{promise::order::real_time, promise::failure::exact};
  add_models<ring>(to, promised, lighter(one_to_one(3), false));
  add_models<ring>(to, promised, lighter(many_to_many(3), false));
  add_models<ring>(to, promised, killed(false));
  const search some = random_executions(30'000);
  // Round the end of the places, which takes a ring that is not emptied.
  add_models<ring>(
      to, promised,
      {
          {safety, "round", 3, 0, 3, "pop? push? pop2? push2? pop? push? pop2? push2? pop3? push? |", {exhaustive()}},
          {safety, "round_by_two", 3, 0, 3, "pop? push? pop2? push2? | pop? push? pop? push?", {preemptions(1), some}},
          {safety, "round_popper_killed", 3, 0, 3, "mortal pop2? push2? pop2? | pop? push? pop? push? pop3?", {some}},
          {safety, "round_pusher_killed", 3, 0, 2, "pop? push? pop? push2? pop3? | mortal push? push? push2?", {some}},
          {safety, "emptied_by_the_killed", 4, 0, 4, "mortal pop3? pop? push3? | push? pop? push3? pop3?", {some}},
      });
  to.push_back({"growing_ring",
                liveness,
                "no_memory",
                "capacity 6, memory for 4: push push push | push push push | pop pop pop pop pop pop",
                [] { return std::make_unique<scarce>(); },
                {some},
                6,
                0});
  to.push_back({"growing_ring",
                safety,
                "all_is_given_back",
                "capacity 6, 4 stored: mortal pop6? | push? pop?",
                [] { return std::make_unique<frugal>(); },
                {some},
                6,
                0});
}

}  // namespace verify
