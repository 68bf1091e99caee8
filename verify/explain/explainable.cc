#include "verify/explain/explainable.h"

#include <fmt/format.h>

#include "millrace/event_count.h"
#include "millrace/mpmc_ring.h"
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

// ---- How values read.

std::string number(const bits& b) { return std::to_string(b.words[0]); }

// Sender and number: A1 is the first message of the first.
std::string letter_and_number(std::uint64_t id) {
  return fmt::format("{}{}", static_cast<char>('A' + (id >> 8)), (id & 0xff) + 1);
}
std::string parcel(const bits& b) { return b == bits{} ? "–" : letter_and_number(b.words[0]); }
std::string unraced_parcel(const bits& b) { return b == bits{} ? "–" : letter_and_number(b.words[0] - 1); }

picture draw_naive(std::span<const bits> values, std::string (*show)(const bits&)) {
  picture p;
  const std::size_t size = values.size() - 2;
  const std::size_t in = values[0].words[0];
  const std::size_t out = values[1].words[0];
  for (std::size_t i = 0; i != size; ++i)
    p.slots.push_back({show(values[2 + i]), (i + size - out) % size < (in + size - out) % size});
  p.indices = {{"in", std::to_string(in), in % size}, {"out", std::to_string(out), out % size}};
  return p;
}
picture draw_naive(std::span<const bits> values) { return draw_naive(values, parcel); }
picture draw_unraced_naive(std::span<const bits> values) { return draw_naive(values, unraced_parcel); }

std::vector<variable> naive_variables(std::size_t slots, std::string (*show)(const bits&)) {
  std::vector<variable> all = {{"in", number}, {"out", number}};
  for (std::size_t i = 0; i != slots; ++i) all.push_back({fmt::format("slot {}", i), show, true});
  return all;
}

// mpmc_ring's words: a position, two bits, a member.
constexpr unsigned position_at = 14;
constexpr unsigned state_at = 12;
std::string position(const bits& b) { return std::to_string(b.words[0] >> position_at); }
std::string slot_word(const bits& b) {
  return fmt::format("{}({})", (b.words[0] >> state_at & 1) != 0 ? "full" : "empty", b.words[0] >> position_at);
}

// event_count's word.
std::string epoch_and_sleepers(const bits& b) {
  return fmt::format("{}{}", b.words[0] >> 1, (b.words[0] & 1) != 0 ? " + sleepers" : "");
}

constexpr std::size_t mpmc_members = 3;
constexpr std::size_t mpmc_slots_at = 4 + 2 * mpmc_members;

picture draw_mpmc(std::span<const bits> values) {
  picture p;
  const std::size_t capacity = (values.size() - mpmc_slots_at) / 2;
  for (std::size_t i = 0; i != capacity; ++i) {
    const bits& word = values[mpmc_slots_at + 2 * i];
    p.slots.push_back({parcel(values[mpmc_slots_at + 2 * i + 1]), (word.words[0] >> state_at & 1) != 0});
  }
  for (std::size_t i = 0; i != 2; ++i) {
    const std::size_t at = values[i].words[0] >> position_at;
    p.indices.push_back({i == 0 ? "tail" : "head", std::to_string(at), at % capacity});
  }
  return p;
}

std::vector<variable> mpmc_variables(std::size_t capacity) {
  std::vector<variable> all = {{"tail", position}, {"head", position}, {"not_empty", number}, {"not_full", number}};
  for (std::size_t i = 0; i != mpmc_members; ++i) {
    all.push_back({fmt::format("member {}'s pushing", i), position});
    all.push_back({fmt::format("member {}'s popping", i), position});
  }
  for (std::size_t i = 0; i != capacity; ++i) {
    all.push_back({fmt::format("slot {}", i), slot_word});
    all.push_back({fmt::format("message {}", i), parcel, true});
  }
  return all;
}

// Nothing of a ring: words.
picture draw_event(std::span<const bits> values) {
  return {{}, {{"epoch", epoch_and_sleepers(values[0])}, {"ready", number(values[1])}}};
}

// ---- What went wrong.

std::string race(const std::vector<trace_step>& steps, std::string_view why) {
  const auto first = std::ranges::find_if(steps, &trace_step::to_blame);
  return fmt::format("Line {} and line {} touch the same memory, one of them writes, and nothing orders them: {}",
                     first->line, steps.back().line, why);
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
  for (trace_step& s : steps) s.to_blame = s.to_blame || s.stale;
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
  return [capacity] { return std::make_unique<exchange<Ring>>(shape{1, 1, 1, capacity}, calls::trying); };
}

}  // namespace

const std::vector<explainable>& explainables() {
  static const std::vector<explainable> all = {
      {
          .name = "naive",
          .what = "The textbook's ring, int in and out, between one producer and one consumer",
          .expected = verdict::data_race,
          .claim = "",
          .make = one_to_one<int_ring>(1),
          .change = {},
          .threads = {"producer", "consumer", "afterwards"},
          .variables = naive_variables(2, parcel),
          .draw = draw_naive,
          .ending = ending_naive,
      },
      {
          .name = "volatile",
          .what = "The textbook's ring, volatile int in and out, between one producer and one consumer",
          .expected = verdict::assertion,
          .claim = "a message is delivered whole",
          .make = one_to_one<volatile_ring>(1),
          .change = {},
          .threads = {"producer", "consumer", "afterwards"},
          .variables = naive_variables(2, unraced_parcel),
          .draw = draw_unraced_naive,
          .ending = ending_volatile,
      },
      {
          .name = "seq_cst",
          .what = "The textbook's ring, sequentially consistent atomic in and out, with two producers",
          .expected = verdict::assertion,
          .claim = "no message is lost",
          .make = [] { return std::make_unique<push_then_drain<seq_cst_ring>>(2, 2); },
          .change = {},
          .threads = {"producer A", "producer B", "consumer, later"},
          .variables = naive_variables(3, unraced_parcel),
          .draw = draw_unraced_naive,
          .ending = ending_seq_cst,
      },
      {
          .name = "mpmc_publish",
          .what = "An mpmc_ring that publishes with a relaxed store, between one producer and one consumer",
          .expected = verdict::data_race,
          .claim = "",
          .make = one_to_one<millrace::mpmc_ring<message, relacy_platform>>(2),
          .change =
              weakened("mpmc_ring.h", "at(pos).state.store(pack(pos, full_state, from)", std::memory_order_relaxed),
          .threads = {"producer", "consumer", "afterwards"},
          .variables = mpmc_variables(2),
          .draw = draw_mpmc,
          .ending = ending_mpmc,
      },
      {
          .name = "wake_up",
          .what = "An event_count without its heavy fence, one sleeper and one notifier",
          .expected = verdict::deadlock,
          .claim = "",
          .make = [] { return std::make_unique<awaiting>(); },
          .change = without("event_count.h", "Platform::heavy_fence();"),
          .threads = {"sleeper", "notifier", "afterwards"},
          .variables = {{"epoch", epoch_and_sleepers}, {"ready", number}},
          .draw = draw_event,
          .ending = ending_wake_up,
      },
  };
  return all;
}

}  // namespace verify::explain
