#include "verify/explain/layout.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cstdint>

#include "millrace/roster.h"

namespace verify::explain {
namespace {

std::string letter_and_number(std::uint64_t id) {
  return fmt::format("{}{}", static_cast<char>('A' + (id >> 8)), (id & 0xff) + 1);
}

// mpmc_ring's words: a position, two bits, a member.
constexpr unsigned position_at = 14;
constexpr unsigned state_at = 12;
std::string position(const bits& b) { return std::to_string(b.words[0] >> position_at); }
std::string position_or_closed(const bits& b) {
  return position(b) + ((b.words[0] >> state_at & 1) != 0 ? " closed" : "");
}
std::uint64_t state_of(const bits& b) { return b.words[0] >> state_at & 3; }
bool holds_message(const bits& b) { return (state_of(b) & 1) != 0; }  // full, or an orphan
std::string slot_word(const bits& b) {
  static constexpr std::array states{"empty", "full", "skipped", "orphan"};
  return fmt::format("{}({})", states[state_of(b)], b.words[0] >> position_at);
}

// event_count's word.
std::string epoch_and_sleepers(const bits& b) {
  return fmt::format("{}{}", b.words[0] >> 1, (b.words[0] & 1) != 0 ? " + sleepers" : "");
}

// semaphore's.
std::string permits(const bits& b) {
  return fmt::format("{}{}", b.words[0] & 0x7fffffff, (b.words[0] >> 31 & 1) != 0 ? " closed" : "");
}

// robust_mutex's.
// rendezvous_ring's words: a ticket, two bits.
std::string ticket(const bits& b) {
  static constexpr const char* states[] = {"", " waits", " passed", " orphaned"};
  const std::uint64_t word = b.words[0];
  return word == 0 ? "–" : std::to_string(word >> 2) + states[word & 3];
}
std::string lock_word(const bits& b) {
  const std::uint64_t owner = b.words[0] & 0x1fff;
  return fmt::format("{}{}", owner == 0 ? "free" : fmt::format("{}'s", static_cast<char>('A' + owner - 1)),
                     (b.words[0] >> 13 & 1) != 0 ? ", inconsistent" : "");
}

// broadcast_ring's.
std::string count_or_closed(const bits& b) {
  return fmt::format("{}{}", b.words[0] >> 1, (b.words[0] & 1) != 0 ? " closed" : "");
}
std::string receiving(const bits& b) {
  return fmt::format("{}{}", b.words[0], (b.words[0] & 1) != 0 ? " receiving" : "");
}
// The two words of a message. Of the first it is the second that says whether it was ever written.
std::string parcel_id(const bits& b) { return letter_and_number(b.words[0]); }
std::string parcel_seal(const bits& b) { return b.words[0] == 0 ? "–" : letter_and_number(~b.words[0]); }

// lookout's.
std::string lookout_state(const bits& b) {
  static constexpr std::array states{"resting", "watched", "called back", "ended"};
  return b.words[0] < states.size() ? states[b.words[0]] : number(b);
}
std::string rung(const bits& b) { return b.words[0] != 0 ? "rung" : "silent"; }
std::string handed_over(const bits& b) { return b == bits{} ? "–" : "some words"; }  // addresses

// spsc_ring's: less than none before a line's first lap.
std::string lap_or_number(const bits& b) { return std::to_string(static_cast<std::int64_t>(b.words[0])); }

// Of one of two rings, whose messages have its name for their sender's.
std::string parcel_of_ring(const bits& b) {
  std::string text = parcel(b);
  if (text.front() >= 'A' && text.front() <= 'Z') text.front() = static_cast<char>(text.front() - 'A' + 'a');
  return text;
}

// attendance's.
std::string role(const bits& b) {
  static constexpr std::array roles{"none", "sender", "receiver"};
  return b.words[0] < roles.size() ? roles[b.words[0]] : number(b);
}

// roster's.
std::string life(const bits& b) {
  using roster = millrace::roster<millrace::native>;
  return (b.words[0] & roster::died) != 0 ? "dead" : (b.words[0] & roster::id_mask) != 0 ? "alive" : "free";
}

void add_slots(std::vector<variable>& to, std::size_t slots, std::string (*show)(const bits&) = parcel) {
  for (std::size_t i = 0; i != slots; ++i) to.push_back({fmt::format("slot {}", i), show, true});
}

// Slots that hold the messages from `first` to `last` - 1, of which `first` and
// `last` count all that ever were.
struct counted {
  std::size_t first;
  std::size_t last;
  std::size_t slots;
  bool holds(std::size_t slot) const { return (slot + slots - first % slots) % slots < last - first; }
};

layout words(std::vector<variable> all) {
  layout l{std::move(all), {}};
  l.draw = [variables = l.variables](std::span<const bits> values) {
    picture p;
    for (std::size_t i = 0; i != variables.size(); ++i) {
      p.indices.push_back({variables[i].name, variables[i].show(values[i])});
    }
    return p;
  };
  return l;
}

// Plain or atomic indices that count, somewhere, and then the slots.
layout counting(std::vector<variable> before, std::size_t tail_at, std::size_t head_at, std::size_t slots) {
  const std::size_t slots_at = before.size();
  layout l{std::move(before), {}};
  add_slots(l.variables, slots);
  l.draw = [=](std::span<const bits> values) {
    picture p;
    const counted c{values[head_at].words[0], values[tail_at].words[0], slots};
    for (std::size_t i = 0; i != slots; ++i) p.slots.push_back({parcel(values[slots_at + i]), c.holds(i)});
    p.indices = {{"tail", std::to_string(c.last), c.last % slots}, {"head", std::to_string(c.first), c.first % slots}};
    return p;
  };
  return l;
}

// Each slot is a word that says whether it is full, and a message.
template <class Position, class IsFull>
layout self_describing(std::vector<variable> before, std::string (*show)(const bits&), Position position_of,
                       IsFull is_full, std::size_t slots) {
  const std::size_t slots_at = before.size();
  layout l{std::move(before), {}};
  for (std::size_t i = 0; i != slots; ++i) {
    l.variables.push_back({fmt::format("slot {}", i), show});
    l.variables.push_back({fmt::format("message {}", i), parcel, true});
  }
  l.draw = [=](std::span<const bits> values) {
    picture p;
    for (std::size_t i = 0; i != slots; ++i) {
      p.slots.push_back({parcel(values[slots_at + 2 * i + 1]), is_full(values[slots_at + 2 * i], i)});
    }
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}}) {
      const std::size_t at = position_of(values[i]);
      p.indices.push_back({i == 0 ? "tail" : "head", std::to_string(at), at % slots});
    }
    return p;
  };
  return l;
}

}  // namespace

std::string number(const bits& b) { return std::to_string(b.words[0]); }
std::string parcel(const bits& b) {
  if (b == bits{}) return "–";
  return b.words[1] == ~b.words[0] ? letter_and_number(b.words[0]) : "torn";
}
std::string unraced_parcel(const bits& b) { return b == bits{} ? "–" : letter_and_number(b.words[0] - 1); }

layout naive_layout(std::size_t slots, std::string (*show)(const bits&)) {
  layout l{{{"in", number}, {"out", number}}, {}};
  add_slots(l.variables, slots, show);
  l.draw = [slots, show](std::span<const bits> values) {
    picture p;
    const std::size_t in = values[0].words[0];
    const std::size_t out = values[1].words[0];
    for (std::size_t i = 0; i != slots; ++i)
      p.slots.push_back({show(values[2 + i]), (i + slots - out) % slots < (in + slots - out) % slots});
    p.indices = {{"in", std::to_string(in), in % slots}, {"out", std::to_string(out), out % slots}};
    return p;
  };
  return l;
}

layout buffer_layout(std::vector<variable> before, std::size_t slots) {
  const std::size_t head_at = before.size();
  before.push_back({"head", number});
  before.push_back({"tail", number});
  return counting(std::move(before), head_at + 1, head_at, slots);
}

layout vyukov_layout(std::size_t slots) {
  return self_describing(
      {{"tail", number}, {"head", number}}, number, [](const bits& b) { return b.words[0]; },
      [slots](const bits& b, std::size_t i) { return b.words[0] % slots != i; }, slots);
}

layout attendance_words(std::size_t members) {
  return words(with_attendance({{{"ended", number}, {"signal", number}}, {}}, members).variables);
}

layout with_attendance(layout ring, std::size_t members) {
  ring.variables.push_back({"senders that came", number});
  ring.variables.push_back({"receivers that came", number});
  for (std::size_t i = 0; i != members; ++i) {
    ring.variables.push_back({fmt::format("{}'s role", static_cast<char>('A' + i)), role});
  }
  return ring;
}

layout with_roster(layout ring, std::size_t members) {
  for (const char* name : {"deaths", "places taken over", "pushes undone", "messages redelivered", "messages dropped",
                           "locks taken over", "permit recounts"}) {
    ring.variables.push_back({name, number});
  }
  for (std::size_t i = 0; i != members; ++i) {
    ring.variables.push_back({fmt::format("{}'s life", static_cast<char>('A' + i)), life});
  }
  return ring;
}

layout robust_mutex_words() {
  return words({{"mutex", lock_word}, {"waiters", epoch_and_sleepers}, {"first", number}, {"second", number}});
}

layout mpmc_layout(std::size_t capacity, std::size_t members) {
  std::vector<variable> all = {{"tail", position_or_closed},
                               {"head", position},
                               {"not_empty", epoch_and_sleepers},
                               {"not_full", epoch_and_sleepers},
                               {"redeliverer", number}};
  for (std::size_t i = 0; i != members; ++i) {
    const auto who = static_cast<char>('A' + i);
    all.push_back({fmt::format("{}'s pushing", who), position});
    all.push_back({fmt::format("{}'s popping", who), position});
  }
  return self_describing(
      std::move(all), slot_word, [](const bits& b) { return b.words[0] >> position_at; },
      [](const bits& b, std::size_t) { return holds_message(b); }, capacity);
}

layout spsc_layout(std::size_t capacity, std::size_t per_line) {
  layout l{{{"tail", number},
            {"batch", number},
            {"head", number},
            {"closed", number},
            {"not_empty", epoch_and_sleepers},
            {"not_full", epoch_and_sleepers}},
           {}};
  const std::size_t lines_at = l.variables.size();
  const std::size_t lines = (capacity + per_line - 2) / per_line + 1;
  for (std::size_t i = 0; i != lines; ++i) {
    for (std::size_t k = 0; k != per_line; ++k)
      l.variables.push_back({fmt::format("slot {}", per_line * i + k), parcel, true});
    l.variables.push_back({fmt::format("line {}'s upto", i), lap_or_number});
  }
  l.draw = [=](std::span<const bits> values) {
    const std::uint64_t head = values[2].words[0];
    const std::size_t slots = lines * per_line;
    const auto line_at = [=](std::size_t slot) { return lines_at + slot / per_line * (per_line + 1); };
    picture p;
    for (std::size_t i = 0; i != slots; ++i) p.slots.push_back({parcel(values[line_at(i) + i % per_line]), false});
    // Behind the first that is not published nothing is, whatever its line says.
    for (std::uint64_t i = head; i != head + slots; ++i) {
      const std::uint64_t upto = values[line_at(i % slots) + per_line].words[0];
      if (static_cast<std::int64_t>(upto - i) <= 0) break;
      p.slots[i % slots].held = true;
    }
    for (const std::size_t i : {std::size_t{0}, std::size_t{2}}) {
      const std::uint64_t at = values[i].words[0];
      p.indices.push_back({i == 0 ? "tail" : "head", std::to_string(at), at % slots});
    }
    return p;
  };
  return l;
}

layout mutex_ring_layout(std::size_t capacity) {
  return counting({{"mutex", lock_word},
                   {"mutex's waiters", epoch_and_sleepers},
                   {"head", number},
                   {"tail", number},
                   {"closed", number},
                   {"not_empty", epoch_and_sleepers},
                   {"not_full", epoch_and_sleepers}},
                  3, 2, capacity);
}

layout growing_ring_layout(std::size_t capacity) {
  std::vector<variable> all = mutex_ring_layout(0).variables;
  for (const char* name : {"base", "given", "low", "high"}) all.push_back({name, number});
  for (std::size_t i = 0; i != 2 * (capacity / 2 + 1); ++i) all.push_back({fmt::format("slot {}", i), parcel, true});
  all.push_back({"whole", number});
  return words(std::move(all));
}

layout semaphore_ring_layout(std::size_t capacity) {
  return counting({{"free", permits},
                   {"free's waiters", epoch_and_sleepers},
                   {"used", permits},
                   {"used's waiters", epoch_and_sleepers},
                   {"mutex", lock_word},
                   {"mutex's waiters", epoch_and_sleepers},
                   {"head", number},
                   {"tail", number},
                   {"closed", number},
                   {"deaths recounted", number}},
                  7, 6, capacity);
}

layout rendezvous_ring_layout(std::size_t members) {
  std::vector<variable> all = {
      {"mutex", lock_word}, {"mutex's waiters", epoch_and_sleepers}, {"ticket", ticket}, {"closed", number}};
  for (std::size_t i = 0; i != members; ++i) {
    const auto who = static_cast<char>('A' + i);
    all.push_back({fmt::format("{}'s offer", who), ticket});
    all.push_back({fmt::format("{}'s ask", who), ticket});
    all.push_back({fmt::format("{}'s sleep", who), epoch_and_sleepers});
  }
  for (std::size_t i = 0; i != members; ++i) {
    const auto who = static_cast<char>('A' + i);
    all.push_back({fmt::format("{}'s message", who), parcel, true});
    all.push_back({fmt::format("passed to {}", who), parcel, true});
  }
  return words(std::move(all));
}

layout broadcast_ring_layout(std::size_t capacity, std::size_t members) {
  std::vector<variable> all = {{"mutex", lock_word},
                               {"mutex's waiters", epoch_and_sleepers},
                               {"limit", number},
                               {"tail", count_or_closed},
                               {"intent", number},
                               {"not_empty", epoch_and_sleepers},
                               {"not_full", epoch_and_sleepers}};
  constexpr std::size_t tail_at = 3;
  constexpr std::size_t intent_at = 4;
  const std::size_t members_at = all.size();
  for (std::size_t i = 0; i != members; ++i) {
    const auto who = static_cast<char>('A' + i);
    all.push_back({fmt::format("{}'s cursor", who), number});
    all.push_back({fmt::format("{}'s state", who), receiving});
  }
  const std::size_t slots_at = all.size();
  const std::size_t slots = std::bit_ceil(capacity);
  for (std::size_t i = 0; i != slots; ++i) {
    all.push_back({fmt::format("slot {}", i), parcel_id, true});
    all.push_back({fmt::format("slot {}'s seal", i), parcel_seal});
  }
  layout l{std::move(all), {}};
  l.draw = [=, names = l.variables](std::span<const bits> values) {
    picture p;
    const std::size_t tail = values[tail_at].words[0] >> 1;
    const std::size_t intent = values[intent_at].words[0];
    // What is older may be overwritten at any moment, or has been.
    const std::size_t oldest = intent - std::min(intent, capacity);
    const counted c{std::min(oldest, tail), tail, slots};
    for (std::size_t i = 0; i != slots; ++i) {
      const std::size_t at = slots_at + 2 * i;
      p.slots.push_back({parcel({{values[at].words[0], values[at + 1].words[0]}}), c.holds(i)});
    }
    p.indices.push_back({"tail", count_or_closed(values[tail_at]), tail % slots});
    p.indices.push_back({"intent", std::to_string(intent)});
    for (std::size_t i = members_at; i != slots_at; i += 2) {
      if ((values[i + 1].words[0] & 1) != 0) p.indices.push_back({names[i].name, number(values[i])});
    }
    return p;
  };
  return l;
}

layout two_of(const layout& ring) {
  std::vector<variable> all;
  for (const char which : {'a', 'b'}) {
    for (const variable& v : ring.variables) {
      all.push_back({fmt::format("{}.{}", which, v.name), v.show == parcel ? parcel_of_ring : v.show, v.is_slot});
    }
  }
  return words(std::move(all));
}

layout lookout_words(const layout& of) {
  std::vector<variable> all = {{"bell", rung}, {"state", lookout_state}, {"request", handed_over}};
  all.insert(all.end(), of.variables.begin(), of.variables.end());
  return words(std::move(all));
}

layout boxes_of_coins() {
  return words({{"a's event", epoch_and_sleepers},
                {"a's coins", number},
                {"b's event", epoch_and_sleepers},
                {"b's coins", number}});
}

layout event_layout(std::vector<variable> beside) {
  beside.insert(beside.begin(), {"epoch", epoch_and_sleepers});
  return words(std::move(beside));
}

layout semaphore_words() { return words({{"permits", permits}, {"waiters", epoch_and_sleepers}, {"datum", number}}); }

}  // namespace verify::explain
