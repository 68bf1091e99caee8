// What threads do to a ring of the zoo under the model checker, and to the shipped ring that repairs it.
#ifndef MILLRACE_VERIFY_RACES_ZOO_TRAFFIC_H_
#define MILLRACE_VERIFY_RACES_ZOO_TRAFFIC_H_

#include <type_traits>
#include <utility>
#include <vector>

// Relacy's names come last.
#include "verify/model/scenario.h"
#include "verify/races/zoo/posix_model.h"

namespace verify {

template <template <class, class> class Ring, class Platform = posix_model>
using on = Ring<message, Platform>;

// Rings of the textbook push and return; shipped ones say how it went.
template <class Call>
void must_succeed(Call call) {
  if constexpr (std::is_void_v<decltype(call())>) {
    call();
  } else {
    check(call() == status::ok, "the call succeeds");
  }
}

// What a thread does: so many pushes, then so many pops.
struct acts {
  unsigned pushes;
  unsigned pops;
};

// Each thread that pushes at all pushes the same number; they come first.
template <class Ring>
class traffic : public scenario {
 public:
  traffic(std::uint64_t capacity, std::vector<acts> cast)
      : scenario(static_cast<unsigned>(cast.size())), cast_(std::move(cast)), memory_(capacity, threads()) {}

  void before() override {
    memory_.construct();
    delivered_.clear();
  }

  void thread(unsigned index) override {
    Ring ring = memory_.attach(index);
    for (unsigned i = 0; i != cast_[index].pushes; ++i) {
      must_succeed([&] { return ring.push(message::of(index, i)); });
    }
    for (unsigned i = 0; i != cast_[index].pops; ++i) {
      message m;
      must_succeed([&] { return ring.pop(m); });
      delivered_.add(index, m);
    }
  }

  void after() override {
    unsigned senders = 0;
    while (senders != cast_.size() && cast_[senders].pushes != 0) ++senders;
    delivered_.check_all(senders, cast_[0].pushes);
  }

 private:
  std::vector<acts> cast_;
  ring_memory<Ring> memory_;
  delivered delivered_;
};

// A producer is killed at any step, or none; another one, and a consumer, carry on.
template <class Ring>
class killing : public scenario {
 public:
  killing() : scenario(3) {}

  void before() override {
    memory_.construct();
    ended_ = false;
  }

  void thread(unsigned index) override {
    Ring ring = memory_.attach(index);
    if (index == 0) {
      [[maybe_unused]] const bool lives =
          mortality::run(most_steps, [&] { must_succeed([&] { return ring.push(message::of(0, 0)); }); });
      if constexpr (millrace::ring<Ring>) {
        if (!lives) memory_.bury(index);
      }
      ended_ = true;
      return;
    }
    // After the death: the ring's other failing, not to wake sleepers then, is another bug.
    while (!ended_) relacy_platform::relax(0);
    if (index == 1) {
      must_succeed([&] { return ring.push(message::of(1, 0)); });
    } else {
      message m;
      must_succeed([&] { return ring.pop(m); });
      check(m.intact(), "a message is delivered whole");
    }
  }

  void after() override {}

 private:
  static constexpr unsigned most_steps = 40;

  ring_memory<Ring> memory_{2, 3};
  bool ended_ = false;  // set and read between steps: the fibres are one thread
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_RACES_ZOO_TRAFFIC_H_
