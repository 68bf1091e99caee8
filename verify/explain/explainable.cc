#include "verify/explain/explainable.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "millrace/event_count.h"
#include "millrace/mpmc_ring.h"
#include "verify/explain/ending.h"
#include "verify/explain/source.h"
#include "verify/explain/watched_naive_ring.h"
#include "verify/model/scenario.h"

namespace verify::explain {
namespace {

// ---- The naive ring, its indices declared in three ways. Each access names its
// line: in the copy that is included here it is in.at(site) rather than in.

template <class Platform>
class int_word {
 public:
  std::uint32_t load(site s) const noexcept {
    std::uint32_t value = 0;
    value_.read(value, s);
    return value;
  }
  void store(std::uint32_t value, site s) noexcept { value_.write(value, s); }

 private:
  typename Platform::template plain<std::uint32_t> value_;
};

template <class Platform, std::memory_order Order>
class atomic_word {
 public:
  std::uint32_t load(site s) const noexcept { return value_.load(Order, s); }
  void store(std::uint32_t value, site s) noexcept { value_.store(value, Order, s); }

 private:
  typename Platform::template atomic<std::uint32_t> value_{0};
};

template <class Word>
struct index_of {
  static constexpr std::string_view kind = "watched";
  static constexpr std::string_view about = "the textbook's ring, each access with its line";
  static constexpr std::string_view why = "see the explanation";

  class type {
   public:
    class access {
     public:
      access(Word& word, site s) noexcept : word_(word), site_(s) {}
      operator int() const noexcept { return static_cast<int>(word_.load(site_)); }
      void operator=(int value) const noexcept { word_.store(static_cast<std::uint32_t>(value), site_); }

     private:
      Word& word_;
      site site_;
    };

    access at(site s) noexcept { return {word_, s}; }
    void operator=(int value) noexcept { at(site::here()) = value; }

   private:
    Word word_;
  };
};

template <class Platform>
using int_index = index_of<int_word<Platform>>;
// What a compiler makes of `volatile`: each access is one, and orders nothing.
template <class Platform>
using volatile_index = index_of<atomic_word<Platform, std::memory_order_relaxed>>;
template <class Platform>
using seq_cst_index = index_of<atomic_word<Platform, std::memory_order_seq_cst>>;

// Payloads that no race detector minds, so that it can be seen what arrives. One
// word: a number that is not 0, or 0 for what was never written.
template <std::memory_order Order>
struct unraced_payloads : relacy_platform {
  template <millrace::message T>
  class plain {
   public:
    void read(T& out, site s = site::here()) const noexcept {
      const std::uint64_t word = word_.load(Order, s);
      out = word == 0 ? T{} : T{word - 1, ~(word - 1)};
    }
    void write(const T& in, site s = site::here()) noexcept { word_.store(in.id + 1, Order, s); }

   private:
    relacy_platform::atomic<std::uint64_t> word_{0};
  };
};

// Relaxed atomics do what those do; here it is the message that races.
using relaxed_ring = millrace::races::textbook_ring<message, relacy_platform, volatile_index>;
using int_ring = millrace::races::textbook_ring<message, relacy_platform, int_index>;
using volatile_ring =
    millrace::races::textbook_ring<message, unraced_payloads<std::memory_order_relaxed>, volatile_index>;
using seq_cst_ring =
    millrace::races::textbook_ring<message, unraced_payloads<std::memory_order_seq_cst>, seq_cst_index>;

// Each thread pushes one message; what is in the ring then is taken out.
template <class Ring>
class push_then_drain : public scenario {
 public:
  push_then_drain(unsigned threads, std::uint64_t capacity) : scenario(threads), memory_(capacity, threads + 1) {}

  void before() override {
    memory_.construct();
    delivered_.clear();
  }
  void thread(unsigned index) override {
    Ring ring = memory_.attach(index);
    check(ring.try_push(message::of(index, 0)) == status::ok, "there is room for all");
  }
  void after() override {
    Ring ring = memory_.attach(threads());
    for (message m; ring.try_pop(m) == status::ok;) delivered_.add(0, m);
    delivered_.check_all(threads(), 1);
  }

 private:
  ring_memory<Ring> memory_;
  delivered delivered_;
};

// One message, tried until it is in, and until it is out.
template <class Ring>
class one_message : public scenario {
 public:
  explicit one_message(std::uint64_t capacity) : scenario(2), memory_(capacity, threads() + 1) {}

  void before() override {
    memory_.construct();
    delivered_.clear();
  }
  void thread(unsigned index) override {
    Ring ring = memory_.attach(index);
    message m = message::of(0, 0);
    const auto tried = [&] { return index == 0 ? ring.try_push(m) : ring.try_pop(m); };
    for (status s = tried(); s != status::ok; s = tried()) relacy_platform::relax(0);
    if (index == 1) delivered_.add(0, m);
  }
  void after() override {
    delivered_.check_all(1, 1);
    message m;
    check(memory_.attach(threads()).try_pop(m) == status::empty, "what was delivered is gone");
  }

 private:
  ring_memory<Ring> memory_;
  delivered delivered_;
};

// One thread waits for a word that another one sets.
class awaiting : public scenario {
 public:
  awaiting() : scenario(2) {}
  void before() override { room_ = std::construct_at(reinterpret_cast<room*>(bytes_)); }
  void thread(unsigned index) override {
    if (index == 0) {
      const status s = millrace::await(room_->event, millrace::deadline::never(), [this]() noexcept {
        return room_->ready.load(std::memory_order_acquire) == 1 ? status::ok : status::empty;
      });
      check(s == status::ok, "the wait ends when the word is set");
    } else {
      room_->ready.store(1, std::memory_order_release);
      room_->event.notify();
    }
  }
  void after() override {}

 private:
  struct room {
    millrace::event_count<relacy_platform> event;
    relacy_platform::atomic<std::uint32_t> ready{0};
  };
  alignas(room) std::byte bytes_[sizeof(room)];
  room* room_ = nullptr;
};

// ---- What went wrong.

std::string ending_relaxed(std::vector<trace_step>& steps) {
  return race(steps,
              "a relaxed store of “in” says that there is a message, and releases nothing that was written before it. "
              "The consumer may see the new “in” and not yet the message.");
}

std::string ending_naive(std::vector<trace_step>& steps) {
  return race(steps,
              "a data race, so the program means nothing. A compiler may keep “in” in a register and spin for ever; a "
              "processor may show the new “in” before the message.");
}

std::string ending_volatile(std::vector<trace_step>& steps) {
  for (trace_step& s : steps) s.to_blame = s.to_blame || s.stale;
  return "The consumer sees the new “in”, but not yet the message that was written before it: volatile keeps the "
         "compiler from leaving out an access, and orders nothing. x86 keeps these stores in order of itself; ARM and "
         "POWER do not.";
}

// Two writes to one slot, of which the second buries the first.
std::string ending_seq_cst(std::vector<trace_step>& steps) {
  const auto slot_written = [](const trace_step& s) {
    return s.what == trace_step::kind::writes && s.action.starts_with("slot") ? s.action.substr(0, s.action.find(" ←"))
                                                                              : std::string();
  };
  const auto message_of = [](const trace_step& s) { return s.action.substr(s.action.rfind(' ') + 1); };
  for (std::size_t i = 0; i != steps.size(); ++i) {
    for (std::size_t j = i + 1; j != steps.size(); ++j) {
      const std::string slot = slot_written(steps[i]);
      if (slot.empty() || slot != slot_written(steps[j])) continue;
      steps[i].to_blame = steps[j].to_blame = true;
      return fmt::format(
          "Both producers read the same “in”, so both write {}: {} is buried under {} and lost. Each "
          "access is atomic and sequentially consistent, and no race detector has anything to report; "
          "but reading “in”, writing the slot and advancing “in” are still three steps.",
          slot, message_of(steps[i]), message_of(steps[j]));
    }
  }
  return "A message is lost.";
}

std::string ending_mpmc(std::vector<trace_step>& steps) {
  return race(steps,
              "the consumer's acquire load sees that the slot is full, but a relaxed store publishes nothing beyond "
              "itself. The consumer may take out what was in the slot before.");
}

std::string ending_wake_up(std::vector<trace_step>& steps) {
  for (trace_step& s : steps) s.to_blame = s.stale || s.action.ends_with(": asleep");
  return "The notifier reads a stale word: the sleeper's announcement is still on its way when the notifier looks, so "
         "it "
         "wakes nobody, and nobody is left to do it later. The heavy fence between the announcement and the second "
         "look "
         "makes the announcement arrive before that look, and so before any change that the look misses.";
}

mutation weakened(std::string_view file, std::string_view line_text, std::memory_order order) {
  const unsigned line = line_with(file, line_text);
  return {mutation::kind::order, file, line, line, order};
}

mutation without(std::string_view file, std::string_view fence) {
  const unsigned line = line_with(file, fence);
  return {mutation::kind::no_fence, file, line, line, {}};
}

template <class Ring>
std::function<std::unique_ptr<scenario>()> one_to_one(std::uint64_t capacity) {
  return [capacity] { return std::make_unique<one_message<Ring>>(capacity); };
}

std::vector<explainable> by_hand() {
  return {
      {
          .name = "naive",
          .what = "The textbook's ring, int in and out, between one producer and one consumer",
          .expected = verdict::data_race,
          .make = one_to_one<int_ring>(1),
          .threads = {"producer", "consumer", "afterwards"},
          .memory = naive_layout(2, parcel),
          .ending = ending_naive,
      },
      {
          .name = "volatile",
          .what = "The textbook's ring, volatile int in and out, between one producer and one consumer",
          .expected = verdict::assertion,
          .claim = "a message is delivered whole",
          .make = one_to_one<volatile_ring>(1),
          .threads = {"producer", "consumer", "afterwards"},
          .memory = naive_layout(2, unraced_parcel),
          .ending = ending_volatile,
      },
      {
          .name = "seq_cst",
          .what = "The textbook's ring, sequentially consistent atomic in and out, with two producers",
          .expected = verdict::assertion,
          .claim = "no message is lost",
          .make = [] { return std::make_unique<push_then_drain<seq_cst_ring>>(2, 2); },
          .threads = {"producer A", "producer B", "consumer, later"},
          .memory = naive_layout(3, unraced_parcel),
          .ending = ending_seq_cst,
      },
      {
          .name = "relaxed",
          .what = "The textbook's ring, relaxed atomic in and out, between one producer and one consumer",
          .expected = verdict::data_race,
          .make = one_to_one<relaxed_ring>(1),
          .threads = {"producer", "consumer", "afterwards"},
          .memory = naive_layout(2, parcel),
          .ending = ending_relaxed,
      },
      {
          .name = "atomic_slots",
          .what =
              "The textbook's ring, sequentially consistent atomic in, out and slots of one word, with two producers",
          .expected = verdict::assertion,
          .claim = "no message is lost",
          .make = [] { return std::make_unique<push_then_drain<seq_cst_ring>>(2, 2); },
          .threads = {"producer A", "producer B", "consumer, later"},
          .memory = naive_layout(3, unraced_parcel),
          .ending = ending_seq_cst,
      },
      {
          .name = "mpmc_publish",
          .what = "An mpmc_ring that publishes with a relaxed store, between one producer and one consumer",
          .expected = verdict::data_race,
          .make = one_to_one<millrace::mpmc_ring<message, relacy_platform>>(2),
          .change = weakened("mpmc_ring.h", "s.state.store(published(from, full_state)", std::memory_order_relaxed),
          .threads = {"producer", "consumer", "afterwards"},
          .memory = mpmc_layout(2, 3),
          .ending = ending_mpmc,
      },
      {
          .name = "wake_up",
          .what = "An event_count without its heavy fence, one sleeper and one notifier",
          .expected = verdict::deadlock,
          .make = [] { return std::make_unique<awaiting>(); },
          .change = without("event_count.h", "Platform::heavy_fence();"),
          .threads = {"sleeper", "notifier", "afterwards"},
          .memory = event_layout({{"ready", number}}),
          .ending = ending_wake_up,
      },
  };
}

}  // namespace

const std::vector<explainable>& explainables() {
  static const std::vector<explainable> all = [] {
    std::vector<explainable> some = by_hand();
    for (explainable& e : some) {
      if (e.name != "wake_up") e.memory = with_roster(std::move(e.memory), e.threads.size());
    }
    for (explainable e : zoo()) {
      e.memory = with_roster(std::move(e.memory), e.threads.size() - 1);
      some.push_back(std::move(e));
    }
    return some;
  }();
  return all;
}

}  // namespace verify::explain
