#include "millrace/robust_mutex.h"
#include "verify/model/models.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

using millrace::lock_result;

constexpr auto never = millrace::deadline::never();

// Each thread adds to two counters in turn, under the lock; mortal ones may be
// killed in between, and whoever then hears of it makes them equal again.
class two_counters : public scenario {
 public:
  enum class fate { mortal, heirs, lingering };

  two_counters(unsigned threads, unsigned mortals, fate f)
      : scenario(threads), members_(threads), mortals_(mortals), fate_(f) {}

  void before() override {
    room_ = std::construct_at(reinterpret_cast<room*>(bytes_));
    room_->first.write(0);
    room_->second.write(0);
    members_.construct();
    told_ = 0;
  }

  void thread(unsigned index) override {
    if (index >= mortals_) return add(index);
    const auto body = [&] { add(index); };
    const bool lives = fate_ == fate::lingering ? mortality::run_lingering(
                                                      20, 3, [this, index] { members_.mark(index); }, body)
                                                : mortality::run(20, body);
    if (lives) return;
    if (fate_ != fate::heirs) return members_.bury(index, room_->mutex);
    members_.replace(index, place{room_->mutex, members_[index]});
    add(index);
  }

  // Whoever died last is heard of here.
  void after() override { add(threads() - 1); }

 private:
  struct room {
    millrace::robust_mutex<relacy_platform> mutex;
    relacy_platform::plain<std::uint32_t> first;
    relacy_platform::plain<std::uint32_t> second;
  };

  // The mutex as a ring: what joins in a dead member's place calls.
  struct place {
    millrace::robust_mutex<relacy_platform>& mutex;
    millrace::membership<relacy_platform> who;
    void settle() { mutex.settle(who); }
    void alarm() { mutex.alarm(); }
  };

  static std::uint32_t get(relacy_platform::plain<std::uint32_t>& p) {
    std::uint32_t value = 0;
    p.read(value);
    return value;
  }

  void add(unsigned me) {
    const lock_result got = room_->mutex.lock_until(members_[me], never);
    check(got == lock_result::locked || got == lock_result::owner_died, "a lock is got at last");
    if (got == lock_result::owner_died) {
      check(++told_ <= mortals_, "once it is consistent, nobody hears of that death again");
      room_->second.write(get(room_->first));
      room_->mutex.make_consistent();
    }
    check(get(room_->first) == get(room_->second), "under the lock the counters are equal");
    room_->first.write(get(room_->first) + 1);
    room_->second.write(get(room_->second) + 1);
    room_->mutex.unlock();
  }

  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  congregation<> members_;
  unsigned mortals_;
  fate fate_;
  unsigned told_ = 0;
};

}  // namespace

void add_robust_mutex_models(models& to) {
  const auto add = [&](const char* name, const char* does, unsigned threads, unsigned mortals, search how,
                       two_counters::fate f = two_counters::fate::mortal) {
    to.push_back({"robust_mutex",
                  property::safety,
                  name,
                  does,
                  [=] { return std::make_unique<two_counters>(threads, mortals, f); },
                  {how}});
  };
  using enum two_counters::fate;
  add("excludes", "lock add unlock | the same | the same", 3, 0, preemptions(2));
  add("owner_dies", "mortal lock add unlock | lock add unlock | the same", 3, 1, preemptions(1));
  add("owner_dies_at_random", "mortal lock add unlock | lock add unlock | the same", 3, 1, random_executions(200'000));
  add("two_owners_die", "mortal lock add unlock | the same | lock add unlock", 3, 2, random_executions(200'000));
  add("owners_heir", "mortal lock add unlock heir lock add unlock | lock add unlock", 2, 1, preemptions(2), heirs);
  add("owners_heir_among_others", "mortal lock add unlock heir lock add unlock | lock add unlock | the same", 3, 1,
      random_executions(100'000), heirs);
  add("owner_lingers", "lingering lock add unlock | lock add unlock | the same", 3, 1, random_executions(100'000),
      lingering);
}

}  // namespace verify
