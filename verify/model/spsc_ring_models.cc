#include <array>
#include <span>

#include "millrace/spsc_ring.h"
#include "verify/model/ring_models.h"

namespace verify {
namespace {

// Two messages share a line.
struct in_pairs : relacy_platform {
  static constexpr std::size_t moved_together = 2 * sizeof(message) + sizeof(std::uint64_t);
};

using ring = millrace::spsc_ring<message, in_pairs>;
using ring_of_large = millrace::spsc_ring<message, relacy_platform>;  // each has a line of its own

// A producer that comes back when two others have each pushed a batch, or were killed in it: the second
// perhaps while it set back what the first had left.
class comes_back : public scenario {
 public:
  comes_back() : scenario(2), memory_(capacity, 4) {}

  void before() override {
    memory_.construct();
    sent_ = got_ = {};
  }

  void thread(unsigned index) override {
    ring mine = memory_.attach(index);
    if (index == 1) {
      for (unsigned turn = 0; turn != 100 && got_.count < most_pops; ++turn) {
        if (!pop(mine)) relacy_platform::relax(turn);
      }
      return;
    }
    check(mine.try_push(message::of(0, 0)) == status::ok, "there is room at first");
    sent_.add(message::of(0, 0));
    push_by_another(2, 5);
    push_by_another(3, 2);
    // What there is room for at most, whatever the other side has popped.
    for (unsigned i = 1; i != capacity + most_pops + 1; ++i) {
      if (mine.try_push(message::of(0, i)) != status::ok) return;
      sent_.add(message::of(0, i));
    }
    check(false, "a ring holds no more than its capacity");
  }

  void after() override {
    ring last = memory_.attach(1);
    const unsigned before = got_.count;
    while (pop(last)) {
    }
    check(got_.count - before <= capacity, "a ring holds no more than its capacity");
    check(got_ == sent_, "all that was pushed comes, in order");
  }

 private:
  static constexpr unsigned capacity = 8;   // room for all that others push
  static constexpr unsigned most_pops = 6;  // into the last line of those that the first of them has touched

  struct list {
    std::array<std::uint64_t, 16> ids{};
    unsigned count = 0;

    void add(const message& m) { ids[count++ % ids.size()] = m.id; }
    friend bool operator==(const list&, const list&) = default;
  };

  void push_by_another(unsigned member, unsigned many) {
    std::array<message, 5> batch;
    for (unsigned i = 0; i != many; ++i) batch[i] = message::of(member, i);
    mortality::begin_call();
    unsigned in = many;
    const bool lives = mortality::run(30, [&] {
      in = static_cast<unsigned>(memory_.attach(member).try_push_n(std::span(batch).first(many)).count);
      mortality::begin_call();
    });
    if (!lives) {
      memory_.bury(member);
      if (mortality::commits() == 0) in = 0;
    }
    for (unsigned i = 0; i != in; ++i) sent_.add(batch[i]);
  }

  bool pop(ring& r) {
    message m;
    if (r.try_pop(m) != status::ok) return false;
    check(m.intact(), "what comes is whole");
    got_.add(m);
    return true;
  }

  ring_memory<ring> memory_;
  list sent_{};
  list got_{};
};

}  // namespace

void add_spsc_ring_models(models& to) {
  using enum property;
  // An answer is exact of what happened before the call; the two sides' need not
  // fit together, as a store on its way to memory is seen by one of them only.
  constexpr promise promised{promise::order::causal, promise::failure::each_alone};
  const search once = preemptions(1);
  const search twice = preemptions(2);
  const search some = random_executions(60'000);
  add_models<ring>(to, promised, one_to_one(3));
  add_models<ring>(to, promised, in_place(false));
  // A side that is killed: the other goes on with what was committed.
  add_models<ring>(
      to, promised,
      {
          {safety, "producer_dies", 2, 1, 1, "mortal push? push? | pop? pop? pop?", {twice, some}},
          {safety, "consumer_dies", 2, 1, 1, "push? push? push? | mortal pop? pop?", {twice, some}},
          // In the middle of its push, or before that was known: the next one finds out which.
          {safety, "producer_replaced", 3, 1, 0, "mortal push? push? heir push? push? | pop? pop? pop?", {twice, some}},
          // A batch that goes over a line's end is in as a whole, or not at all.
          {safety,
           "producer_replaced_in_a_batch",
           5,
           1,
           0,
           "mortal push3? push2? heir push? push2? | pop? pop2? pop3?",
           {once, some}},
          {safety, "consumer_replaced", 3, 1, 3, "push? push? | mortal pop? pop2? heir pop? pop2?", {twice, some}},
          // Committed, and killed before anybody was woken.
          {liveness, "producer_dies_untold", 1, 1, 0, "mortal push heir push* | pop", {twice, some}},
          {liveness, "consumer_dies_untold", 1, 1, 1, "mortal pop heir pop* | push", {twice, some}},
      });
  add_models<ring_of_large>(to, promised,
                            {
                                {safety, "large", 2, 1, 1, "push2? push? push? | pop? pop2? pop?", {twice, some}},
                                {safety,
                                 "large_producer_replaced",
                                 3,
                                 1,
                                 0,
                                 "mortal push3? push? heir push? push2? | pop? pop2? pop3?",
                                 {once, some}},
                            });
  to.push_back({"spsc_ring",
                safety,
                "comes_back",
                "capacity 8: push? mortal push5? mortal push2? push?... | pop* pop* pop* pop* pop* pop*",
                [] { return std::make_unique<comes_back>(); },
                {random_executions(100'000, 2'000'000)},
                8,
                2});
}

}  // namespace verify
