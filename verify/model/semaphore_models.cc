#include "millrace/semaphore.h"
#include "verify/model/models.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

constexpr auto never = millrace::deadline::never();

using in_hand = millrace::semaphore<relacy_platform>::permits;

struct room {
  explicit room(std::uint32_t permits) : semaphore(permits) { datum.write(0); }
  millrace::semaphore<relacy_platform> semaphore;
  relacy_platform::plain<std::uint32_t> datum;
};

// As a lock: whoever holds the one permit is alone with the datum.
class exclusion : public scenario {
 public:
  exclusion(unsigned threads, unsigned rounds) : scenario(threads), rounds_(rounds) {}

  void before() override { room_ = std::construct_at(reinterpret_cast<room*>(bytes_), 1u); }

  void thread(unsigned /*index*/) override {
    for (unsigned i = 0; i != rounds_; ++i) {
      in_hand got;
      check(room_->semaphore.acquire_until(1, got, never) == status::ok && got.count == 1, "acquire takes the permit");
      std::uint32_t value = 0;
      room_->datum.read(value);
      room_->datum.write(value + 1);
      room_->semaphore.release({1, 0});
    }
  }

  void after() override {
    std::uint32_t value = 0;
    room_->datum.read(value);
    check(value == threads() * rounds_, "nobody else was in between");
    in_hand got;
    check(room_->semaphore.try_acquire(5, got) == status::ok && got.count == 1, "the permit is back, once");
    check(room_->semaphore.try_acquire(1, got) == status::empty, "and no second one");
  }

 private:
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  unsigned rounds_;
};

// One releases two permits at once; two takers get one each, or, at the deadline, none.
class handing_out : public scenario {
 public:
  explicit handing_out(millrace::deadline until) : scenario(3), until_(until) {}

  void before() override {
    room_ = std::construct_at(reinterpret_cast<room*>(bytes_), 0u);
    taken_ = 0;
  }

  void thread(unsigned index) override {
    if (index == 0) {
      room_->datum.write(7);
      return room_->semaphore.release({2, 0});
    }
    in_hand got;
    const status s = room_->semaphore.acquire_until(1, got, until_);
    if (s == status::timed_out) return check(!until_.is_never(), "only a deadline ends the wait");
    check(s == status::ok && got.count == 1, "acquire takes no more than was asked for");
    std::uint32_t value = 0;
    room_->datum.read(value);
    check(value == 7, "what was written before the release is seen");
    ++taken_;
  }

  void after() override {
    in_hand got;
    const status s = room_->semaphore.try_acquire(5, got);
    check(taken_ == 2 ? s == status::empty : s == status::ok && got.count == 2 - taken_, "no permit is lost or made");
  }

 private:
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  millrace::deadline until_;
  unsigned taken_ = 0;
};

// A recount makes a permit, and voids the one that comes back late.
class recounting : public scenario {
 public:
  recounting() : scenario(3) {}

  void before() override {
    room_ = std::construct_at(reinterpret_cast<room*>(bytes_), 1u);
    check(room_->semaphore.try_acquire(1, early_) == status::ok, "the permit is there");
  }

  void thread(unsigned index) override {
    if (index == 0) {
      room_->datum.write(7);
      return room_->semaphore.recount(1);
    }
    if (index == 1) return room_->semaphore.release(early_);
    in_hand got;
    check(room_->semaphore.acquire_until(1, got, never) == status::ok, "a permit comes");
    if (got.generation == early_.generation) return;
    std::uint32_t value = 0;
    room_->datum.read(value);
    check(value == 7, "what was written before the recount is seen");
    taken_ = true;
  }

  void after() override {
    in_hand got;
    const status s = room_->semaphore.try_acquire(5, got);
    check(taken_ ? s == status::empty : s == status::ok && got.count == 1, "there are as many as were recounted");
    taken_ = false;
  }

 private:
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  in_hand early_;
  bool taken_ = false;
};

// One permit, two takers, and a close: one takes it, the other hears of the close.
class closing : public scenario {
 public:
  closing() : scenario(3) {}

  void before() override {
    room_ = std::construct_at(reinterpret_cast<room*>(bytes_), 0u);
    taken_ = 0;
  }

  void thread(unsigned index) override {
    if (index == 0) {
      room_->semaphore.release({1, 0});
      return room_->semaphore.close();
    }
    in_hand got;
    const status s = room_->semaphore.acquire_until(1, got, never);
    check(s == status::ok || s == status::closed, "acquire ends with a permit or the close");
    if (s == status::ok) ++taken_;
  }

  void after() override { check(taken_ == 1, "the permit that was there is taken before the close is told"); }

 private:
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
  unsigned taken_ = 0;
};

// A recount beside, or after, a close: who waits is told of the close.
class closed_and_recounted : public scenario {
 public:
  closed_and_recounted() : scenario(3) {}

  void before() override { room_ = std::construct_at(reinterpret_cast<room*>(bytes_), 0u); }

  void thread(unsigned index) override {
    if (index == 0) return room_->semaphore.close();
    if (index == 1) return room_->semaphore.recount(0);
    in_hand got;
    check(room_->semaphore.acquire_until(1, got, never) == status::closed, "acquire ends with the close");
  }

  void after() override {}

 private:
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
};

}  // namespace

void add_semaphore_models(models& to) {
  const auto add = [&](property shows, const char* name, const char* does,
                       std::function<std::unique_ptr<scenario>()> make, std::vector<search> searches) {
    to.push_back({"semaphore", shows, name, does, std::move(make), std::move(searches)});
  };
  using enum property;
  const search some = random_executions(100'000);
  add(safety, "excludes", "1 permit: (acquire read write release) x 2 | the same",
      [] { return std::make_unique<exclusion>(2u, 2u); }, {preemptions(3), some});
  add(safety, "excludes_three", "1 permit: acquire read write release | the same | the same",
      [] { return std::make_unique<exclusion>(3u, 1u); }, {preemptions(2), some});
  add(liveness, "hands_out", "0 permits: write release2 | acquire read | acquire read",
      [] { return std::make_unique<handing_out>(never); }, {preemptions(2), some});
  add(liveness, "deadline", "0 permits: write release2 | acquire~ read | acquire~ read",
      [] { return std::make_unique<handing_out>(millrace::deadline::after(some_time)); }, {preemptions(1), some});
  add(liveness, "recounts", "0 permits, 1 in hand: write recount(1) | release | acquire read",
      [] { return std::make_unique<recounting>(); }, {preemptions(3), some});
  add(liveness, "closed_and_recounted", "0 permits: close | recount(0) | acquire",
      [] { return std::make_unique<closed_and_recounted>(); }, {preemptions(2)});
  add(liveness, "closing_wakes", "0 permits: release close | acquire | acquire",
      [] { return std::make_unique<closing>(); }, {preemptions(2), some});
}

}  // namespace verify
