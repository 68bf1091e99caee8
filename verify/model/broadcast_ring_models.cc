#include <charconv>
#include <optional>
#include <vector>

#include "millrace/broadcast_ring.h"
#include "millrace/channel.h"
#include "verify/model/models.h"
#include "verify/model/scenario.h"

namespace verify {
namespace {

using millrace::fidelity;
using millrace::side;

// What a thread does, one word an operation: push, pop, leave, close as in programs.h, and
//
//   join   it begins to receive; one that pops without has been receiving from the start
//   rest   pops, waiting, until it is told that there is no more
//
// `mortal`, `lingering`, `stopped` and `heir` as in programs.h.
struct operation {
  enum class verb : std::uint8_t { push, pop, join, rest, leave, close } what;
  enum class manner : std::uint8_t { waits, once, timed } how = manner::waits;
  std::size_t count = 1;
};

struct part {
  enum class fate : std::uint8_t { lives, mortal, lingering, stopped } fate = fate::lives;
  std::vector<operation> operations;
  std::vector<operation> heirs;
  bool sends = false;
  bool receives = false;  // from the start
};

operation operation_of(std::string_view word) {
  using enum operation::verb;
  constexpr std::pair<std::string_view, operation::verb> verbs[] = {{"push", push}, {"pop", pop},     {"join", join},
                                                                    {"rest", rest}, {"leave", leave}, {"close", close}};
  for (const auto& [name, what] : verbs) {
    if (!word.starts_with(name)) continue;
    operation o{what};
    for (const char c : word.substr(name.size())) {
      if (c == '?') o.how = operation::manner::once;
      if (c == '~') o.how = operation::manner::timed;
      if (c >= '2' && c <= '3') o.count = static_cast<std::size_t>(c - '0');
    }
    return o;
  }
  std::abort();
}

std::vector<part> parts_of(const std::string& text) {
  std::vector<part> parts(1);
  bool heir = false;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    part& p = parts.back();
    if (word == "|") {
      parts.emplace_back();
      heir = false;
    } else if (word == "mortal") {
      p.fate = part::fate::mortal;
    } else if (word == "lingering") {
      p.fate = part::fate::lingering;
    } else if (word == "stopped") {
      p.fate = part::fate::stopped;
    } else if (word == "heir") {
      heir = true;
    } else {
      const operation o = operation_of(word);
      if (o.what == operation::verb::push) p.sends = true;
      const bool pops = o.what == operation::verb::pop || o.what == operation::verb::rest;
      if (pops && !heir && p.operations.empty()) p.receives = true;
      (heir ? p.heirs : p.operations).push_back(o);
    }
  }
  return parts;
}

// What came to one receiver.
struct mail {
  static constexpr unsigned most = 12;

  std::array<message, most> got{};
  unsigned count = 0;
  std::uint64_t missed = 0;
  bool receives = false;
  bool whole = false;  // from the start to the end of this execution
  bool told_closed = false;
  std::array<unsigned, 4> begun{};  // how many each had begun to push when it came

  bool has(const message& m) const {
    return std::any_of(got.begin(), got.begin() + count, [&](const message& g) { return g.id == m.id; });
  }
};

// Before: `laps` messages were sent, and nobody was there. After: every receiver has had what it should,
// in the one order.
template <class Ring>
class broadcasting : public scenario {
 public:
  struct setting {
    std::uint64_t capacity;
    enum fidelity fidelity;
    unsigned laps = 0;
  };

  broadcasting(const setting& s, const std::vector<part>& parts)
      : scenario(static_cast<unsigned>(parts.size())),
        shape_{.capacity = s.capacity, .members = threads() + 1, .fidelity = s.fidelity},
        laps_(s.laps),
        parts_(parts),
        members_(threads() + 1) {
    expect(Ring::bytes(shape_) <= sizeof(bytes_), "the ring has room");
  }

  void before() override {
    members_.construct();
    Ring::construct(bytes_, shape_);
    began_ = {};
    happened_ = {};
    Ring early = at(threads());
    for (unsigned i = 0; i != laps_; ++i) {
      check(early.try_push(message::of(threads(), i)) == status::ok, "where nobody receives, a push succeeds");
    }
    for (unsigned i = 0; i != threads(); ++i) {
      mail_[i] = {};
      handles_[i].emplace(at(i));
      if (parts_[i].sends) enter(i, side::senders);
      if (parts_[i].receives) join(i);
      mail_[i].whole = parts_[i].receives;
    }
    // One who receives and does nothing, where nobody waits for it.
    mail_[threads()] = {};
    handles_[threads()].emplace(at(threads()));
    if (lossy()) join(threads());
    mail_[threads()].whole = lossy();
  }

  void thread(unsigned index) override {
    const part& mine = parts_[index];
    const auto body = [&] { run(index, mine.operations); };
    if (mine.fate == part::fate::lives) return body();
    const bool lives = mine.fate != part::fate::lingering ? mortality::run(most_steps, body)
                                                          : mortality::run_lingering(
                                                                most_steps, 3, [&] { members_.mark(index); }, body);
    if (lives || mine.fate == part::fate::stopped) return;
    mail_[index].receives = false;
    mail_[index].whole = false;
    if (mine.heirs.empty()) return members_.bury(index, at(index));
    members_.replace(index, at(index));
    handles_[index].emplace(at(index));
    mail_[index] = {};
    run(index, mine.heirs);
  }

  void after() override {
    if (has(part::fate::stopped)) return;
    for (unsigned i = 0; i <= threads(); ++i) {
      if (mail_[i].receives) drain(i);
    }
    check_each();
    check_all();
    check_room();
  }

 private:
  static constexpr unsigned most_steps = 50;

  bool has(enum part::fate f) const { return std::ranges::find(parts_, f, &part::fate) != parts_.end(); }
  bool may_end() const {
    return std::ranges::any_of(parts_, [](const part& p) {
      const auto does = [&](operation::verb v) {
        const auto is = [v](const operation& o) { return o.what == v; };
        return std::ranges::any_of(p.operations, is) || std::ranges::any_of(p.heirs, is);
      };
      return does(operation::verb::close) || (p.sends && (p.fate != part::fate::lives || does(operation::verb::leave)));
    });
  }
  bool lossy() const { return shape_.fidelity == fidelity::lossy; }
  Ring at(unsigned place) { return Ring(bytes_, shape_, members_[place]); }

  void enter(unsigned index, side s) {
    if constexpr (requires(Ring r) { r.enter(s); }) {
      handles_[index]->enter(s);
    } else if (s == side::receivers) {
      handles_[index]->begin_receiving();
    }
  }
  void join(unsigned index) {
    enter(index, side::receivers);
    mail_[index].receives = true;
    mail_[index].begun = began_;
  }
  void leave(unsigned index) {
    if constexpr (requires(Ring r) { r.leave(); }) {
      handles_[index]->leave();
    } else {
      handles_[index]->end_receiving();
    }
    mail_[index].receives = false;
    mail_[index].whole = false;
  }

  void run(unsigned index, const std::vector<operation>& operations) {
    for (const operation& o : operations) {
      switch (o.what) {
        case operation::verb::push:
          push(index, o);
          break;
        case operation::verb::pop:
          (void)pop(index, o);
          break;
        case operation::verb::rest:
          while (pop(index, {operation::verb::pop}) == status::ok) {
          }
          break;
        case operation::verb::join:
          join(index);
          break;
        case operation::verb::leave:
          leave(index);
          break;
        case operation::verb::close:
          handles_[index]->close();
      }
    }
  }

  void push(unsigned index, const operation& o) {
    std::array<message, 3> some;
    for (std::size_t i = 0; i != o.count; ++i) some[i] = message::of(index, began_[index]++);
    const std::span<const message> all(some.data(), o.count);
    Ring& ring = *handles_[index];
    const millrace::batch_result sent = o.how == operation::manner::once    ? ring.try_push_n(all)
                                        : o.how == operation::manner::timed ? ring.push_n_for(all, some_time)
                                                                            : ring.push_n(all);
    check(sent.why != status::corrupt, "members who follow the protocol never make it corrupt");
    check(!lossy() || sent.why != status::full, "where nobody is waited for, it is never full");
    check((sent.why == status::ok) == (sent.count == o.count), "a push that says ok has sent everything");
    check(sent.why != status::closed || may_end(), "it is closed by nobody but who is asked to, or the last sender");
    check_answer(o, sent.why, status::empty);
    for (std::size_t i = 0; i != o.count; ++i)
      happened_[some[i].id >> 8][some[i].number()] = i < sent.count ? sent_ : not_sent;
  }

  status pop(unsigned index, const operation& o) {
    std::array<message, 3> some;
    const std::span<message> all(some.data(), o.count);
    Ring& ring = *handles_[index];
    const millrace::batch_result got = o.how == operation::manner::once    ? ring.try_pop_n(all)
                                       : o.how == operation::manner::timed ? ring.pop_n_for(all, some_time)
                                                                           : ring.pop_n(all);
    check_answer(o, got.why, status::full);
    note(index, got, all);
    return got.why;
  }

  static void check_answer(const operation& o, status why, status never) {
    check(why != never, "push never says empty, pop never full");
    check(o.how == operation::manner::once || !millrace::would_block(why), "a call that waits waits it out");
    check(o.how == operation::manner::timed || why != status::timed_out, "only a deadline times out");
  }

  void note(unsigned index, const millrace::batch_result& got, std::span<const message> all) {
    mail& mine = mail_[index];
    check(got.why != status::corrupt, "members who follow the protocol never make it corrupt");
    check(got.why != status::busy, "a pop is never busy");
    check((got.why == status::ok) == (got.count != 0), "a pop that says ok got something");
    check(got.count <= all.size(), "no more is popped than was asked for");
    check(!mine.told_closed || got.why == status::closed, "closed is for good");
    if (got.why == status::closed) mine.told_closed = true;
    mine.missed = handles_[index]->missed();
    for (std::size_t i = 0; i != got.count; ++i) {
      check(all[i].intact(), "a message is delivered whole");
      check(mine.count != mail::most, "no more is delivered than was sent");
      mine.got[mine.count++] = all[i];
    }
  }

  void drain(unsigned index) {
    Ring& ring = *handles_[index];
    const std::uint64_t waiting = ring.size_approx();
    const unsigned before = mail_[index].count;
    for (millrace::batch_result got{}; got.why == status::ok;) {
      std::array<message, 2> some;
      got = ring.try_pop_n(some);
      note(index, got, some);
    }
    const unsigned came = mail_[index].count - before;
    check(came == waiting || (came < waiting && lossy() && (has(part::fate::mortal) || has(part::fate::lingering))),
          "what waits for an idle receiver is known");
  }

  // Only what was sent, each once, each sender's in order; and how many there may have been.
  void check_each() {
    for (unsigned i = 0; i <= threads(); ++i) {
      const mail& mine = mail_[i];
      std::array<unsigned, 5> next{};
      for (unsigned k = 0; k != mine.count; ++k) {
        const message& m = mine.got[k];
        check(m.sender() < threads() && m.number() < began_[m.sender()],
              "only what was sent is received, since one came");
        check(happened_[m.sender()][m.number()] != not_sent, "what a push refused is not received");
        check(m.number() >= next[m.sender()], "a sender's messages come once, and in order");
        next[m.sender()] = m.number() + 1;
      }
      check(lossy() || mine.missed == 0, "nothing is missed where senders wait");
      if (lossy() || !mine.receives) continue;
      for (unsigned s = 0; s != threads(); ++s) {
        for (unsigned n = mine.begun[s]; n < began_[s]; ++n) {
          check(happened_[s][n] != sent_ || mine.has(message::of(s, n)), "who receives gets all that is sent");
        }
      }
    }
  }

  // All have seen one order, and those who were there from the start know of equally many.
  void check_all() {
    std::optional<std::uint64_t> all;
    for (unsigned i = 0; i <= threads(); ++i) {
      for (unsigned j = 0; j != i; ++j) check_order(mail_[i], mail_[j]);
      if (!mail_[i].whole) continue;
      const std::uint64_t known = mail_[i].count + mail_[i].missed;
      check(!all || *all == known, "received and missed are all that was sent");
      all = known;
    }
    if (!all) return;
    std::uint64_t sent = 0;
    std::uint64_t perhaps = 0;
    for (unsigned s = 0; s != threads(); ++s) {
      for (unsigned n = 0; n != began_[s]; ++n) {
        if (happened_[s][n] == sent_) ++sent;
        if (happened_[s][n] == unknown) ++perhaps;
      }
    }
    check(sent <= *all && *all <= sent + perhaps, "received and missed are all that was sent");
    const std::uint64_t kept = std::min(*all, shape_.capacity);
    check(mail_[threads()].count + perhaps >= kept || !lossy(), "who is overtaken has what is left");
    check(mail_[threads()].count <= kept, "and no more");
    for (unsigned i = 0; i <= threads(); ++i) {
      if (!mail_[i].whole) continue;
      check(mail_[i].missed <= std::max(*all + perhaps, shape_.capacity) - shape_.capacity,
            "only what was overwritten is missed");
    }
  }

  static void check_order(const mail& a, const mail& b) {
    unsigned from = 0;
    for (unsigned i = 0; i != a.count; ++i) {
      if (!b.has(a.got[i])) continue;
      while (from != b.count && b.got[from].id != a.got[i].id) ++from;
      check(from != b.count, "all receive in one order");
    }
  }

  // Whom the living wait for, and how long: for as many as it holds, if somebody receives.
  void check_room() {
    Ring last = at(threads());
    unsigned receivers = 0;
    for (unsigned i = 0; i != threads(); ++i) receivers += mail_[i].receives ? 1 : 0;
    for (unsigned i = 0; i != shape_.capacity; ++i) {
      const status s = last.try_push(message::of(threads(), i));
      if (s == status::closed) return check(may_end(), "it is closed by nobody else");
      check(s == status::ok, "who has had everything leaves all the room");
    }
    const bool full = last.try_push(message::of(threads(), 0)) == status::full;
    check(full == (!lossy() && receivers != 0), "senders wait for whoever lives and receives, and for nobody else");
  }

  enum fate : std::uint8_t { unknown, sent_, not_sent };

  alignas(millrace::line_bytes) std::byte bytes_[16384];
  millrace::geometry shape_;
  unsigned laps_;
  std::vector<part> parts_;
  congregation<> members_;
  std::array<unsigned, 4> began_{};
  std::array<std::array<fate, 16>, 5> happened_{};
  std::array<std::optional<Ring>, 5> handles_{};
  std::array<mail, 5> mail_{};
};

using ring = millrace::broadcast_ring<message, relacy_platform>;

struct broadcast_text {
  property shows;
  const char* name;
  std::uint64_t capacity;
  enum fidelity fidelity;
  unsigned laps;
  const char* text;
  std::vector<search> searches;
};

template <class Ring>
void add_all(models& to, const char* prefix, const std::vector<broadcast_text>& texts) {
  for (const broadcast_text& t : texts) {
    const typename broadcasting<Ring>::setting setting{t.capacity, t.fidelity, t.laps};
    to.push_back({"broadcast_ring", t.shows, t.name,
                  std::string(prefix) + (t.fidelity == fidelity::lossy ? "lossy" : "lossless") + ", capacity " +
                      std::to_string(t.capacity) + ": " + t.text,
                  [=] { return std::make_unique<broadcasting<Ring>>(setting, parts_of(t.text)); }, t.searches,
                  t.capacity, 1, std::string(Ring::kind)});
  }
}

}  // namespace

void add_broadcast_ring_models(models& to) {
  using enum property;
  using enum fidelity;
  const search some = random_executions(10'000);
  add_all<ring>(
      to, "",
      {
          {safety, "to_the_end", 1, lossless, 0, "push? | pop?", {preemptions(5)}},
          {safety, "one_slot", 1, lossless, 2, "push? push? push? | pop? pop? pop?", {preemptions(2)}},
          {safety, "two_receivers", 2, lossless, 1, "push? push? push? | pop? pop? | pop?", {preemptions(1), some}},
          {safety, "two_senders", 2, lossless, 1, "push? push? | push? | pop? pop?", {some}},
          {safety, "odd_capacity", 3, lossless, 2, "push2? push2? | pop2? pop2? | pop?", {some}},
          {safety, "batches", 2, lossless, 1, "push3? push2? | pop2? pop3?", {preemptions(1), some}},
          {safety, "joins", 1, lossless, 1, "push? push? push? | join pop? | pop? pop?", {some}},
          {safety, "joins_alone", 1, lossless, 1, "push? push? push? | join pop? pop?", {preemptions(2), some}},
          {safety, "leaves", 1, lossless, 0, "push? push? | pop? leave | pop? pop?", {some}},
          {safety, "closing", 2, lossless, 0, "push? push? | close | pop? pop? pop?", {some}},
          {safety, "closed_refuses", 2, lossless, 0, "push? close push? | pop? pop?", {preemptions(2)}},
          {safety, "switching_roles", 2, lossless, 0, "pop? push? pop? | pop? push? pop?", {some}},

          {safety, "overtaken", 1, lossy, 0, "push? push? push? | pop? pop?", {preemptions(2)}},
          {safety, "overtaken_by_two", 2, lossy, 1, "push? push? | push? push? | pop? pop?", {some}},
          {safety, "overtaken_in_batches", 2, lossy, 1, "push2? push3? | pop2? pop2?", {preemptions(1), some}},
          {safety, "two_are_overtaken", 2, lossy, 1, "push? push? push? | pop? pop? | pop2?", {some}},
          {safety, "joins_when_overtaken", 1, lossy, 1, "push? push? | join pop? pop?", {preemptions(2)}},
          {safety, "closed_when_overtaken", 1, lossy, 1, "push? push? close | pop? pop? pop?", {preemptions(2)}},

          {safety, "sender_killed", 2, lossless, 1, "mortal push? push? | push? | pop? pop?", {some}},
          {safety, "sender_of_batches_killed", 2, lossless, 1, "mortal push2? | push? push? | pop2? pop?", {some}},
          {safety, "sender_lingers", 2, lossless, 1, "lingering push? | push? push? | pop? pop?", {some}},
          {safety, "receiver_killed", 1, lossless, 1, "mortal pop? pop? | push? push? | pop? pop?", {some}},
          {safety, "only_receiver_killed", 1, lossless, 1, "mortal pop? | push? push? push?", {preemptions(1), some}},
          {safety, "joiner_killed", 1, lossless, 1, "mortal join pop? | push? push? push?", {preemptions(1), some}},
          {safety,
           "receivers_heir",
           1,
           lossless,
           1,
           "mortal pop? heir join pop? | push? push? push?",
           {random_executions(20'000)}},
          {safety, "receivers_heir_sends", 1, lossless, 1, "mortal pop? heir push? | push? push? | pop?", {some}},
          {safety, "senders_heir", 1, lossless, 1, "mortal push? heir join pop? | push? push? | pop?", {some}},
          {safety, "sender_killed_overtaking", 1, lossy, 1, "mortal push? push? | push? | pop? pop?", {some}},
          {safety, "batch_killed_overtaking", 2, lossy, 2, "push2? mortal push2? | push? | pop? pop2?", {some}},

          {liveness, "one_slot", 1, lossless, 0, "push push push | pop pop pop", {preemptions(1), some}},
          {liveness, "two_receivers", 1, lossless, 1, "push push | pop pop | pop pop", {some}},
          {liveness, "two_senders", 1, lossless, 1, "push push | push | pop pop pop", {some}},
          {liveness, "batches", 2, lossless, 0, "push3 push2 close | rest | pop2 rest", {some}},
          {liveness, "joins", 1, lossless, 0, "push push close | join rest", {preemptions(1), some}},
          {liveness, "leaves", 1, lossless, 0, "push push push | pop leave", {preemptions(1), some}},
          {liveness, "closing_wakes_all", 1, lossless, 0, "push push push | pop close", {preemptions(2)}},
          {liveness, "closing_wakes_receivers", 2, lossless, 0, "close | rest | rest", {some}},
          {liveness, "timeouts", 1, lossless, 0, "push~ push~ | pop~ pop~", {preemptions(1), some}},
          {liveness, "stopped", 1, lossy, 0, "stopped push? push? | push~ pop~ close", {preemptions(1), some}},
          {liveness, "overtaken", 1, lossy, 0, "push push push close | rest", {preemptions(1), some}},
          // What its half a batch has spoilt is not offered by the next, shorter one.
          {liveness,
           "half_a_batch",
           2,
           lossy,
           1,
           "mortal push2 | push2 push",
           {preemptions(1), random_executions(40'000)}},
          {liveness, "receiver_killed", 1, lossless, 0, "mortal pop leave | push push push", {preemptions(1), some}},
          {liveness, "one_of_two_receivers_killed", 1, lossless, 0, "mortal pop leave | push push | pop pop", {some}},
          {liveness, "joiner_killed", 1, lossless, 0, "mortal join pop? leave | push push | pop pop", {some}},
          {liveness, "sender_killed", 1, lossless, 0, "mortal push push | push | pop leave", {some}},
          {liveness, "receivers_heir", 1, lossless, 0, "mortal pop leave heir push | push push push", {some}},
      });
  add_all<millrace::stream<ring>>(
      to, "a channel, ",
      {
          {liveness, "ends", 1, lossless, 0, "push push leave | rest", {preemptions(1), some}},
          {liveness, "ends_lossy", 1, lossy, 0, "push push leave | rest | join rest", {some}},
          {liveness, "ends_in_death", 1, lossless, 0, "mortal push push leave | rest", {preemptions(1), some}},
          {liveness, "ends_in_deaths", 1, lossless, 0, "mortal push leave | mortal push leave | rest", {some}},
          {liveness, "receivers_come_and_go", 1, lossless, 0, "push push push leave | pop leave", {some}},
          {safety, "goes_on_without_receivers", 1, lossless, 0, "push? | pop? leave | push?", {some}},
      });
}

}  // namespace verify
