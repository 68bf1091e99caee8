#include "millrace/channel.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/select.h"
#include "millrace/semaphore_ring.h"
#include "verify/model/models.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

constexpr auto never = millrace::deadline::never();

// What a thread does with the rings a and b, one word an operation:
//
//   a.push  b.pop               waits; with ? tries once, and may fail
//   a.close  a.leave            the latter of a channel
//   select(a.pop,b.push)        does one; with ? tries once, with ~ waits until a deadline
//   round(a.pop,b.pop)          does each once, all by one selector
//   drain(a.pop,b.pop)          by one selector, until both have ended
//
// Threads are set apart by |. One that starts with `mortal` may be killed before any of
// its steps.
struct choice {
  unsigned ring;
  bool push;
};
struct deed {
  enum class kind { one, select, round, drain, close, leave } what = kind::one;
  char manner = ' ';
  std::vector<choice> of{};  // of close and leave, the ring
};
struct part {
  bool mortal = false;
  std::vector<deed> deeds{};
};

deed parse_deed(std::string_view word) {
  deed d;
  if (word.ends_with('?') || word.ends_with('~')) {
    d.manner = word.back();
    word.remove_suffix(1);
  }
  if (word.starts_with("select")) d.what = deed::kind::select;
  if (word.starts_with("round")) d.what = deed::kind::round;
  if (word.starts_with("drain")) d.what = deed::kind::drain;
  if (word.ends_with(".close")) d.what = deed::kind::close;
  if (word.ends_with(".leave")) d.what = deed::kind::leave;
  for (std::size_t dot = word.find('.'); dot != word.npos; dot = word.find('.', dot + 1)) {
    d.of.push_back({static_cast<unsigned>(word[dot - 1] - 'a'), word.substr(dot + 1).starts_with("push")});
  }
  return d;
}

std::vector<part> parse(const std::string& text) {
  std::vector<part> parts(1);
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (word == "|") {
      parts.emplace_back();
    } else if (word == "mortal") {
      parts.back().mortal = true;
    } else {
      parts.back().deeds.push_back(parse_deed(word));
    }
  }
  return parts;
}

// Two rings, with so many messages in each, and threads that select. After: whoever lives
// has finished; of each message that was pushed it is known who has got it; and whoever
// selects has done the one that it was told of, and no other.
template <class Ring>
class selecting : public scenario {
 public:
  selecting(std::uint64_t capacity, unsigned stored, const std::string& text)
      : selecting(capacity, stored, parse(text)) {}

  void before() override {
    for (ring_memory<Ring>& r : rings_) r.construct();
    sent_ = {};
    came_ = {};
    for (unsigned r = 0; r != rings_.size(); ++r) {
      Ring ring = rings_[r].attach(0);
      for (unsigned i = 0; i != stored_; ++i) {
        check(ring.try_push(next(r)) == status::ok, "an idle ring has room");
        note_sent(r, i);
      }
    }
    if constexpr (is_channel) {
      for (unsigned i = 0; i != threads(); ++i) {
        for (const deed& d : parts_[i].deeds) {
          for (const choice& c : d.of) {
            if (d.what == deed::kind::leave) continue;
            rings_[c.ring].attach(i).enter(c.push ? millrace::side::senders : millrace::side::receivers);
          }
        }
      }
    }
  }

  void thread(unsigned index) override {
    const part& mine = parts_[index];
    const auto body = [&] {
      std::array<Ring, 2> at{rings_[0].attach(index), rings_[1].attach(index)};
      for (const deed& d : mine.deeds) act(at, d);
    };
    if (!mine.mortal) return body();
    if (mortality::run(most_steps, body)) return;
    for (ring_memory<Ring>& r : rings_) r.bury(index);
  }

  void after() override {
    for (unsigned r = 0; r != rings_.size(); ++r) {
      Ring ring = rings_[r].attach(survivor_);
      message m;
      for (status s = ring.try_pop(m); millrace::delivered(s); s = ring.try_pop(m)) note_came(r, m);
      for (unsigned i = 0; i != most_messages; ++i) {
        check(sent_[r].surely[i] <= came_[r][i] || somebody_dies(), "what was pushed comes out");
        check(came_[r][i] <= sent_[r].perhaps[i], "what comes out was pushed");
      }
    }
  }

 private:
  static constexpr unsigned most_messages = 8;
  static constexpr unsigned most_steps = 40;
  static constexpr bool is_channel = requires(Ring r) { r.leave(); };
  using alternative = millrace::alternative<relacy_platform>;
  using selector = millrace::basic_selector<relacy_platform>;

  selecting(std::uint64_t capacity, unsigned stored, std::vector<part> parts)
      : scenario(static_cast<unsigned>(parts.size())),
        parts_(std::move(parts)),
        stored_(stored),
        survivor_(static_cast<unsigned>(std::ranges::find(parts_, false, &part::mortal) - parts_.begin())),
        rings_{ring_memory<Ring>(capacity, threads()), ring_memory<Ring>(capacity, threads())} {}

  bool somebody_dies() const { return std::ranges::find(parts_, true, &part::mortal) != parts_.end(); }

  message next(unsigned ring) {
    const unsigned number = sent_[ring].count++;
    sent_[ring].perhaps[number] = true;
    return message::of(ring, number);
  }
  void note_sent(unsigned ring, unsigned number) { sent_[ring].surely[number] = true; }
  void note_came(unsigned ring, const message& m) {
    check(m.intact(), "a message is delivered whole");
    check(m.sender() == ring && m.number() < most_messages, "a message comes out of the ring that it was pushed into");
    check(!std::exchange(came_[ring][m.number()], true), "no message is delivered twice");
  }

  void act(std::array<Ring, 2>& at, const deed& d) {
    switch (d.what) {
      case deed::kind::close:
        return at[d.of[0].ring].close();
      case deed::kind::leave:
        if constexpr (is_channel) at[d.of[0].ring].leave();
        return;
      case deed::kind::one:
        return do_one(at, d);
      default:
        break;
    }
    std::array<message, 2> messages;
    std::array<alternative, 2> all;
    for (std::size_t i = 0; i != 2; ++i) {
      const choice& c = d.of[i];
      all[i] = c.push ? millrace::on_push(at[c.ring], messages[i]) : millrace::on_pop(at[c.ring], messages[i]);
    }
    selector any(all[0], all[1]);
    if (d.what == deed::kind::select) return do_any(any, d, messages);
    if (d.what == deed::kind::round) {
      do_any(any, d, messages);
      const std::size_t first = last_;
      do_any(any, d, messages);
      return check(last_ != first, "of two that can be done each is, in two calls");
    }
    while (any.size() != 0) do_any(any, d, messages);
    check(any.select() == millrace::selection{millrace::selection::none, status::closed}, "nothing is left");
  }

  void do_one(std::array<Ring, 2>& at, const deed& d) {
    const auto [r, push] = d.of[0];
    message m;
    if (push) m = next(r);
    const status s = d.manner == '?' ? (push ? at[r].try_push(m) : at[r].try_pop(m))
                                     : (push ? at[r].push(m) : at[r].pop_until(m, never));
    if (d.manner == '?' && millrace::would_block(s)) return;
    if (push && s == status::ok) note_sent(r, m.number());
    if (!push && millrace::delivered(s)) note_came(r, m);
  }

  void do_any(selector& any, const deed& d, std::array<message, 2>& messages) {
    for (std::size_t i = 0; i != 2; ++i) messages[i] = d.of[i].push ? next(d.of[i].ring) : message{};
    const std::array<message, 2> before = messages;
    const millrace::selection s = d.manner == '?'   ? any.try_select()
                                  : d.manner == '~' ? any.select_until(millrace::deadline::after(some_time))
                                                    : any.select();
    last_ = s.which;
    for (std::size_t i = 0; i != 2; ++i) {
      if (i == s.which) continue;
      check(messages[i].id == before[i].id, "what is not done leaves its message alone");
      if (d.of[i].push) sent_[d.of[i].ring].perhaps[messages[i].number()] = false;
    }
    if (s.which == millrace::selection::none) {
      return check(s.why == (d.manner == '?' ? status::busy : status::timed_out) && d.manner != ' ',
                   "a selector without a deadline does something");
    }
    check(s.which < 2 && !millrace::would_block(s.why) && s.why != status::corrupt, "the one that was done is named");
    const auto [ring, push] = d.of[s.which];
    if (s.why == status::closed) {
      check(d.what == deed::kind::drain, "none says closed before it is");
      return any.drop(s.which);
    }
    if (push) return note_sent(ring, messages[s.which].number());
    note_came(ring, messages[s.which]);
  }

  struct sent {
    unsigned count = 0;
    std::array<bool, most_messages> perhaps{};
    std::array<bool, most_messages> surely{};
  };

  std::vector<part> parts_;
  unsigned stored_;
  unsigned survivor_;
  std::array<ring_memory<Ring>, 2> rings_;
  std::array<sent, 2> sent_{};
  std::array<std::array<bool, most_messages>, 2> came_{};
  std::size_t last_ = 0;  // done by the last call of a round, whose thread is alone
};

struct text {
  property shows;
  const char* name;
  std::uint64_t capacity;
  unsigned stored;  // in each
  const char* does;
  std::vector<search> searches;
};

template <class Ring>
void add(models& to, const std::vector<text>& texts) {
  for (const text& t : texts) {
    to.push_back({"select", t.shows, t.name,
                  std::string(Ring::kind) + " x 2, capacity " + std::to_string(t.capacity) +
                      (t.stored != 0 ? ", " + std::to_string(t.stored) + " stored" : "") + ": " + t.does,
                  [=] { return std::make_unique<selecting<Ring>>(t.capacity, t.stored, t.does); }, t.searches,
                  t.capacity, 0, std::string(Ring::kind)});
  }
}

}  // namespace

void add_select_models(models& to) {
  using enum property;
  const search some = random_executions(20'000);
  using mpmc = millrace::mpmc_ring<message, relacy_platform>;
  add<mpmc>(to,
            {
                {safety, "one_of_two", 1, 1, "select(a.pop,b.pop)? | select(a.pop,b.pop)? | a.pop?", {preemptions(1)}},
                {safety, "fair", 2, 2, "round(a.pop,b.pop) round(b.pop,a.pop) | a.push?", {preemptions(1)}},
                {liveness,
                 "either",
                 1,
                 0,
                 "a.push | b.push | select(a.pop,b.pop) select(a.pop,b.pop)",
                 {preemptions(1), some}},
                {liveness,
                 "room",
                 1,
                 1,
                 "a.pop | b.pop | select(a.push,b.push) select(a.push,b.push)",
                 {preemptions(1), some}},
                {liveness,
                 "both_directions",
                 1,
                 0,
                 "a.pop | b.push | select(a.push,b.pop) select(a.push,b.pop)",
                 {preemptions(1), some}},
                {liveness,
                 "two_selectors",
                 1,
                 0,
                 "a.push | b.push | select(a.pop,b.pop) | select(b.pop,a.pop)",
                 {preemptions(1), some}},
                {liveness, "closing", 1, 0, "a.push a.close | b.close | drain(a.pop,b.pop)", {preemptions(1), some}},
                {liveness, "gives_up", 1, 0, "select(a.pop,b.pop)~ |", {exhaustive()}},
                {liveness, "deadline", 1, 0, "a.push | select(a.pop,b.pop)~ | b.push", {preemptions(1), some}},
                {liveness,
                 "selector_killed",
                 2,
                 0,
                 "a.push b.push | mortal select(a.pop,b.pop) | select(a.pop,b.pop)",
                 {some}},
            });
  add<millrace::stream<mpmc>>(
      to, {
              {liveness, "ends", 1, 0, "a.push a.leave | mortal b.push b.leave | drain(a.pop,b.pop)", {some}},
          });
  // Whoever has the lock lets go of it without a word to those who wait for messages, or room.
  add<millrace::mutex_ring<message, relacy_platform>>(
      to, {
              {liveness, "lock_held", 1, 1, "a.push? | select(a.pop,b.push)", {preemptions(2)}},
              {liveness, "lock_held_for_nothing", 1, 0, "a.pop? | select(a.push,b.pop)", {preemptions(2)}},
              {liveness, "lock_held_meanwhile", 1, 0, "a.push | a.push? | select(a.pop,b.pop)", {preemptions(1), some}},
              {liveness, "lock_held_by_the_dead", 1, 0, "mortal a.push? | b.push | select(a.pop,b.pop)", {some}},
              {liveness, "closed_empty", 1, 0, "a.pop? a.close b.close | drain(a.pop,b.pop)", {preemptions(2)}},
              {liveness, "closed_full", 1, 1, "a.push? a.close b.close | drain(a.push,b.push)", {preemptions(2)}},
          });
  add<millrace::semaphore_ring<message, relacy_platform>>(
      to, {
              {liveness,
               "permits",
               1,
               0,
               "a.push | b.push | select(a.pop,b.pop) | select(b.pop,a.pop)",
               {preemptions(1), some}},
              {liveness,
               "permits_of_room",
               1,
               1,
               "a.pop | b.pop | select(a.push,b.push) | select(b.push,a.push)",
               {preemptions(1), some}},
          });
}

}  // namespace verify
