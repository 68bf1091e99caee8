#include "millrace/channel.h"
#include "millrace/mpmc_ring.h"
#include "millrace/pollable.h"
#include "verify/model/models.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

using selector = millrace::basic_selector<relacy_platform>;
using alternative = millrace::alternative<relacy_platform>;
constexpr auto never = millrace::deadline::never();

// The descriptor: the kernel's, which hands over nothing to whoever uses it.
class bell {
 public:
  void construct() { rung_ = std::construct_at(reinterpret_cast<word*>(bytes_), 1u); }

  void ring() noexcept {
    rung_->fetch_or(1, std::memory_order_relaxed);
    relacy_platform::wake_all(*rung_);
  }
  void silence() noexcept { rung_->fetch_and(0, std::memory_order_relaxed); }
  // As poll(2) does.
  void await() noexcept {
    while (relacy_platform::wait(*rung_, 0, never) != millrace::wait_result::changed) {
    }
  }
  bool is_silent() noexcept {
    return relacy_platform::wait(*rung_, 0, millrace::deadline::at({})) != millrace::wait_result::changed;
  }

 private:
  using word = relacy_platform::atomic<std::uint32_t>;
  alignas(word) std::byte bytes_[sizeof(word)];
  word* rung_ = nullptr;
};

struct bell_rope {
  bell* to;
  void ring() noexcept { to->ring(); }
  void silence() noexcept { to->silence(); }
};

// One that looks, and one that watches for it.
class looking : public scenario {
 public:
  using scenario::scenario;

 protected:
  using lookout = millrace::lookout<relacy_platform, bell_rope>;

  void construct(selector& of) {
    bell_.construct();
    look_ = std::construct_at(reinterpret_cast<lookout*>(bytes_), of, bell_rope{&bell_});
  }

  bell bell_;
  lookout* look_ = nullptr;

 private:
  alignas(lookout) std::byte bytes_[sizeof(lookout)];
};

// Coins are put into two boxes, by a thread for each or by one that is killed before it has
// told anybody of it. They are all taken by one that sleeps on the descriptor, and if it is
// eager looks again before that.
class collecting : public looking {
 public:
  enum class manner { patient, eager };

  collecting(std::vector<std::string> givers, manner how)
      : looking(2 + static_cast<unsigned>(givers.size())), givers_(std::move(givers)), how_(how) {}

  void before() override {
    for (unsigned i = 0; i != boxes_.size(); ++i) {
      boxes_[i] = std::construct_at(reinterpret_cast<box*>(bytes_[i]));
    }
    any_ = selector(taking(0), taking(1));
    construct(any_);
  }

  void thread(unsigned index) override {
    if (index == 0) return collect();
    if (index == 1) return look_->run();
    for (const char c : givers_[index - 2]) {
      box& to = *boxes_[c == 'b' ? 1 : 0];
      to.coins.fetch_add(1, std::memory_order_release);
      if (c == 'x') {
        to.event.alarm();
      } else {
        to.event.notify();
      }
    }
  }

  void after() override {}

 private:
  struct box {
    millrace::event_count<relacy_platform> event;
    relacy_platform::atomic<std::uint32_t> coins{0};

    status take() noexcept {
      std::uint32_t there = coins.load(std::memory_order_acquire);
      while (there != 0) {
        if (coins.compare_exchange_strong(there, there - 1, std::memory_order_acquire, std::memory_order_acquire)) {
          return status::ok;
        }
      }
      return status::empty;
    }
  };

  alternative taking(unsigned i) {
    return {boxes_[i], nullptr, [](void* at, void*) noexcept { return static_cast<box*>(at)->take(); },
            [](void* at, status) noexcept -> millrace::event_count<relacy_platform>& {
              return static_cast<box*>(at)->event;
            }};
  }

  void collect() {
    std::size_t coins = 0;
    for (const std::string& g : givers_) coins += g.size();
    for (std::size_t taken = 0; taken != coins;) {
      millrace::selection s = look_->try_select();
      if (s.which == selector_none && how_ == manner::eager) s = look_->try_select();
      if (s.which != selector_none) {
        ++taken;
      } else {
        bell_.await();
      }
    }
    check(look_->try_select() == millrace::selection{selector_none, status::busy}, "no coin is taken twice");
    look_->end();
  }

  static constexpr std::size_t selector_none = millrace::selection::none;

  std::vector<std::string> givers_;
  manner how_;
  alignas(box) std::byte bytes_[2][sizeof(box)];
  std::array<box*, 2> boxes_{};
  selector any_;
};

// With nothing to be had it is silent, unless somebody watches, who may wake up for no reason.
class finding_nothing : public looking {
 public:
  explicit finding_nothing(bool watched) : looking(2), watched_(watched) {}

  void before() override {
    event_ = std::construct_at(reinterpret_cast<event*>(bytes_));
    any_ = selector(alternative{event_, nullptr, [](void*, void*) noexcept { return status::empty; },
                                [](void* at, status) noexcept -> event& { return *static_cast<event*>(at); }});
    construct(any_);
  }

  void thread(unsigned index) override {
    if (index == 1) return watched_ ? look_->run() : void();
    check(!bell_.is_silent(), "somebody who has not looked is called");
    for (int i = 0; i != (watched_ ? 2 : 1); ++i) {
      check(look_->try_select().which == millrace::selection::none, "there is nothing");
    }
    check(watched_ || bell_.is_silent(), "who has found nothing is not called");
    look_->end();
  }

  void after() override {}

 private:
  using event = millrace::event_count<relacy_platform>;
  alignas(event) std::byte bytes_[sizeof(event)];
  event* event_ = nullptr;
  selector any_;
  bool watched_;
};

// The end of a channel, by its only sender's leaving or death.
class ending : public looking {
 public:
  ending() : looking(3) {}

  void before() override {
    ring_.construct();
    for (unsigned i = 0; i != 2; ++i) {
      at_[i].emplace(ring_.attach(i));
      at_[i]->enter(i == 0 ? millrace::side::receivers : millrace::side::senders);
    }
    any_ = selector(on_pop(*at_[0], m_));
    construct(any_);
  }

  void thread(unsigned index) override {
    if (index == 0) return drain();
    if (index == 1) return send();
    look_->run();
  }

  void after() override {}

 private:
  using ring = millrace::stream<millrace::mpmc_ring<message, relacy_platform>>;

  void send() {
    const bool lived = mortality::run(40, [this] {
      (void)at_[1]->try_push(message::of(1, 0));
      at_[1]->leave();
    });
    if (!lived) ring_.bury(1);
  }

  void drain() {
    for (;;) {
      const millrace::selection s = look_->try_select();
      if (s.why == status::closed) break;
      if (s.which == millrace::selection::none) bell_.await();
    }
    look_->end();
  }

  ring_memory<ring> ring_{1, 2};
  std::array<std::optional<ring>, 2> at_;
  message m_;
  selector any_;
};

template <class Scenario, class... Arguments>
auto maker(Arguments... arguments) {
  return [=] { return std::make_unique<Scenario>(arguments...); };
}

}  // namespace

void add_pollable_models(models& to) {
  const auto add = [&](const char* name, const char* does, std::function<std::unique_ptr<scenario>()> make,
                       std::vector<search> searches) {
    to.push_back({"pollable", property::liveness, name, does, std::move(make), std::move(searches)});
  };
  using givers = std::vector<std::string>;
  using enum collecting::manner;
  const search some = random_executions(100'000);
  add("finds_nothing", "try? |", maker<finding_nothing>(false), {exhaustive()});
  add("stops", "try? try? end | watch", maker<finding_nothing>(true), {preemptions(1), some});
  add("one", "take | watch | give a", maker<collecting>(givers{"a"}, patient), {some});
  add("again", "take x 2 | watch | give a a", maker<collecting>(givers{"aa"}, patient), {some});
  add("either", "take x 2 | watch | give a | give b", maker<collecting>(givers{"a", "b"}, patient), {some});
  add("giver_killed", "take x 2 | watch | give a alarm | give b", maker<collecting>(givers{"x", "b"}, patient), {some});
  add("called_back", "(try? take) x 2 | watch | give a b", maker<collecting>(givers{"ab"}, eager), {some});
  add("ends", "mpmc_ring channel: drain | mortal push leave | watch", maker<ending>(), {some});
}

}  // namespace verify
