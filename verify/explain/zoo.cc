// The zoo, but for those of its rings that have words of their own in explainable.cc.
#include "verify/explain/explainable.h"
#include "verify/races/zoo/check_then_act_ring.h"
#include "verify/races/zoo/mortal_ring.h"
#include "verify/races/zoo/no_loop_ring.h"
#include "verify/races/zoo/private_mutex_ring.h"
#include "verify/races/zoo/private_semaphore_ring.h"
#include "verify/races/zoo/relaxed_publish_ring.h"
#include "verify/races/zoo/wake_one_ring.h"
#include "verify/races/zoo/wrong_order_ring.h"
// Relacy's names come last.
#include "verify/races/zoo/traffic.h"

namespace verify::explain {
namespace {

using namespace millrace::races;

template <template <class, class> class Ring>
std::function<std::unique_ptr<scenario>()> sending(std::uint64_t capacity, const std::vector<acts>& cast) {
  return [=] { return std::make_unique<traffic<on<Ring>>>(capacity, cast); };
}

const std::vector<acts> one_and_one{{1, 0}, {0, 1}};

layout semaphores(std::size_t slots) {
  return buffer_layout({{"free", number}, {"used", number}, {"mutex", number}}, slots);
}

explainable member(const char* name, const char* what, verdict expected,
                   std::function<std::unique_ptr<scenario>()> make, std::vector<std::string> threads, layout memory,
                   const char* why) {
  threads.emplace_back("afterwards");
  return {.name = name,
          .what = what,
          .expected = expected,
          .make = std::move(make),
          .threads = std::move(threads),
          .memory = std::move(memory),
          .why = why};
}

}  // namespace

std::vector<explainable> zoo() {
  using enum verdict;
  return {
      member("private_mutex", "A mutex that is not process-shared, between a producer and a consumer of two processes",
             deadlock, sending<private_mutex_ring>(2, one_and_one), {"producer", "consumer"},
             buffer_layout({{"mutex", number}}, 2),
             "Whoever had the mutex let go of it, and its wake was private to its own process: the sleeper is in "
             "another one."),
      member("private_semaphore", "Semaphores with pshared = 0, between a producer and a consumer of two processes",
             deadlock, sending<private_semaphore_ring>(2, one_and_one), {"producer", "consumer"}, semaphores(2),
             "The post was counted, but its wake was private to the poster's own process: the sleeper is in another "
             "one."),
      member("wrong_order", "The textbook's semaphores, the mutex taken before the permit", deadlock,
             sending<wrong_order_ring>(1, one_and_one), {"producer", "consumer"}, semaphores(1),
             "Whoever sleeps for a permit keeps the mutex, which the other needs to post that permit."),
      member("no_loop", "A condition variable waited for with if, two consumers", assertion,
             sending<no_loop_ring>(1, {{2, 0}, {0, 1}, {0, 1}}), {"producer", "consumer 1", "consumer 2"},
             buffer_layout({{"mutex", number}, {"not_full", number}, {"not_empty", number}}, 1),
             "To be woken means to look again: a consumer that does not takes what is not there (any more)."),
      member("check_then_act", "A monitor that asks whether it is full in one call and puts in another", assertion,
             sending<check_then_act_ring>(1, {{1, 0}, {1, 0}, {0, 2}}), {"producer A", "producer B", "consumer"},
             buffer_layout({{"mutex", number}}, 1),
             "Both producers saw the one free slot before either put: what was true under the lock need not be so "
             "under the next one, and one message is buried under the other."),
      member("relaxed_publish", "Vyukov's queue, published relaxed, between one producer and one consumer", data_race,
             sending<relaxed_publish_ring>(2, one_and_one), {"producer", "consumer"}, vyukov_layout(2),
             "The relaxed store of the slot's sequence number says that the message is there, and does not release "
             "it."),
      member("wake_one", "An mpmc_ring that wakes one sleeper; A pushes, B pushes and pops, C pops", deadlock,
             sending<wake_one_ring>(2, {{1, 0}, {1, 1}, {0, 1}}), {"A", "B", "C"}, mpmc_layout(2, 3),
             "Two slept for want of the first slot, and its publication woke one of them; the other sleeps beside a "
             "message that was published before, when nobody slept."),
      member(
          "mortal", "The textbook's semaphores, a producer killed between wait and post", deadlock,
          [] { return std::make_unique<killing<on<mortal_ring>>>(); }, {"the victim", "producer", "consumer"},
          semaphores(2), "What the dead had taken, nobody gives back."),
  };
}

}  // namespace verify::explain
