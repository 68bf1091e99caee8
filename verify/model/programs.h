// Threads that call a ring by a written program, and what must then be true: the same for every ring.
#ifndef MILLRACE_VERIFY_MODEL_PROGRAMS_H_
#define MILLRACE_VERIFY_MODEL_PROGRAMS_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/in_place.h"
#include "millrace/ring.h"
#include "millrace/status.h"
#include "verify/model/linearizable.h"
#include "verify/model/scenario.h"
#include "verify/relacy_platform.h"

namespace verify {

// What a thread does, one word an operation:
//
//   push    pop     waits                     push3   pop3    so many at once, waiting
//   push?   pop?    tries once                push3?  pop3?   so many at once, once
//   push~   pop~    waits until a deadline    push~3  pop~3   likewise
//   push*   pop*    tries until it succeeds   close
//
// and in place, in the same manners: `reserve` commits, `withdraw` reserves and does not,
// `peek` releases.
//
// Threads are set apart by |. A thread whose program starts with `mortal` may be
// killed before any of its steps. What follows `heir` is then done by the next
// member in its place. One that starts with `lingering` is mortal, too, and runs on for
// some steps when the kernel has marked it. One that starts with `stopped` may stop for
// ever before any of its steps, alive: then it is only asked that the others end.
struct operation {
  enum class manner : std::uint8_t { waits, once, timed, retries };
  action what;
  manner how;
  std::size_t count;
  bool batch;
  bool in_place = false;
  bool withdraws = false;
};

struct thread_program {
  enum class fate : std::uint8_t { lives, mortal, lingering, stopped } fate = fate::lives;
  std::vector<operation> operations;
  std::vector<operation> heirs;
};

std::vector<thread_program> parse_programs(std::string_view text);

// The calls of one execution.
class journal {
 public:
  void clear() noexcept { size_ = 0, clock_ = 0; }

  call& begin(action what, unsigned thread, std::size_t threads) {
    call& c = calls_[size_++];
    c = {.what = what, .thread = thread};
    c.began = ++clock_;
    mortality::begin_call();
    for (unsigned i = 0; i != threads; ++i) c.knew[i] = relacy_platform::known_of(i);
    if (thread < threads) c.started = c.knew[thread];
    return c;
  }

  void end(call& c, status said) {
    c.said = said;
    c.returned = true;
    c.ended = ++clock_;
    c.reached = relacy_platform::known_of(c.thread);
    for (unsigned i = 0; i != static_cast<unsigned>(rl::ctx().get_thread_count()); ++i)
      c.learned[i] = relacy_platform::known_of(i);
  }

  // A push of several that waits is as many pushes of one: others may come between. At a
  // rendezvous each batch is so many calls.
  void end_in_turn(call& c, millrace::batch_result moved) {
    const call whole = c;
    end(c, moved.count == 0 || moved.why == status::redelivered ? moved.why : status::ok);
    c.count = std::min<std::size_t>(moved.count, 1);
    for (std::size_t i = 1; i < moved.count; ++i) {
      calls_[size_] = c;
      calls_[size_++].ids[0] = whole.ids[i];
    }
    if (whole.what == action::pop && moved.why == status::ok && moved.count < whole.asked) {
      calls_[size_] = c;
      calls_[size_].count = calls_[size_].asked = 0;
      calls_[size_++].said = status::empty;
    }
    if (millrace::delivered(moved.why) || moved.count == 0) return;
    calls_[size_] = c;
    calls_[size_].count = 0;
    calls_[size_++].said = moved.why;
  }

  // The calling thread has been killed in its last call. Of a batch it is not said
  // how much of it had happened, nor of a push that others may commit.
  void cut_short(unsigned thread, bool batch, bool others_commit) {
    for (std::size_t i = size_; i != 0; --i) {
      call& c = calls_[i - 1];
      if (c.thread != thread) continue;
      if (c.returned || batch) return;
      if (mortality::commits() != 0) {
        c.fate = call::fate::happened;
      } else if (!(others_commit && c.what == action::push)) {
        c.fate = call::fate::nothing;
      }
      return;
    }
  }

  std::span<const call> calls() const noexcept { return {calls_.data(), size_}; }

 private:
  std::array<call, 31> calls_;
  std::size_t size_ = 0;
  std::uint64_t clock_ = 0;
};

// Before: `laps` times a message has gone through, and `stored` are in the ring. At a
// rendezvous they are offered by members that wait for ever, and those held were passed.
// After: whoever was not killed has finished, and the calls are linearizable.
template <class Ring>
class programs : public scenario {
 public:
  struct setting {
    std::uint64_t capacity;
    unsigned laps = 0;
    unsigned stored = 0;
    bool bereft = false;  // somebody has died before, and is settled
    bool drops = false;   // delivery::drop
    unsigned held = 0;    // of those stored, by as many members that were killed popping
    unsigned asking = 0;  // members that wait in a pop for ever
    unsigned begun = 0;   // slots behind them, likewise by members that were killed pushing
    bool late = false;    // the first of all those is killed only when the threads have ended
  };

  programs(const setting& s, std::string_view text, promise p) : programs(s, parse_programs(text), p) {}

  void before() override {
    memory_.construct(setting_.bereft);
    journal_.clear();
    Ring ring = memory_.attach(witness_);
    for (unsigned i = 0; i != setting_.laps; ++i) {
      message m = message::of(threads(), i);
      check(ring.try_push(m) == status::ok && ring.try_pop(m) == status::ok, "an idle ring moves messages");
    }
    if (rendezvous()) return before_meetings(ring);
    for (unsigned i = 0; i != setting_.stored; ++i) {
      check(ring.try_push(message::of(threads(), i)) == status::ok, "an idle ring has room");
    }
    for (unsigned i = 0; i != setting_.held; ++i) {
      mortality::run_to_payload([&] {
        Ring its_own = memory_.attach(threads() + i);
        pop(its_own, {action::pop, operation::manner::once, 1, false}, threads() + i);
      });
    }
    for (unsigned i = setting_.held; i != dead_before(); ++i) {
      mortality::run_to_payload([&] {
        Ring its_own = memory_.attach(threads() + i);
        (void)its_own.try_push(message::of(threads() + i, 0));
      });
    }
    for (unsigned i = setting_.late ? 1 : 0; i != dead_before(); ++i) memory_.bury(threads() + i);
  }

  void thread(unsigned index) override {
    const thread_program& mine = programs_[index];
    unsigned sent = 0;
    const auto body = [&] { run(index, mine.operations, sent); };
    switch (mine.fate) {
      case thread_program::fate::lives:
        return body();
      case thread_program::fate::stopped:
        (void)mortality::run(most_steps, body);
        return;
      case thread_program::fate::mortal:
        if (!mortality::run(most_steps, body)) bury(index);
        break;
      case thread_program::fate::lingering:
        if (!mortality::run_lingering(
                most_steps, most_last_steps, [this, index] { memory_.mark(index); }, body)) {
          bury(index);
        }
        break;
    }
    sent = most_sent;  // whatever it had sent
    run(index, mine.heirs, sent);
  }

  void after() override {
    if (has(thread_program::fate::stopped)) return;
    if (setting_.late) memory_.bury(threads());
    std::array<std::uint64_t, 16> before{};
    for (unsigned i = 0; i != setting_.stored + setting_.held; ++i) before[i] = message::of(threads(), i).id;
    std::array<std::uint64_t, 16> left{};
    const std::uint64_t size = memory_.attach(witness_).size_approx();
    const std::size_t count = drain(left);
    if (rendezvous()) {
      const std::span all(before);
      return after_meetings({all.first(setting_.stored), setting_.asking, all.subspan(setting_.stored, setting_.held)},
                            std::span(left).first(count));
    }
    check(size <= setting_.capacity, "a ring holds at most its capacity");
    check(size == count || leaves_places(), "what an idle ring holds is known");
    if (linearizable(journal_.calls(), std::span(before).first(setting_.stored), std::span(left).first(count),
                     setting_.capacity, promise_)) {
      return check_room();
    }
    explain(std::span(left).first(count));
    check(false, "the calls, in some order, are those of a bounded queue");
  }

 private:
  static constexpr unsigned most_steps = 40;
  static constexpr unsigned most_last_steps = 3;
  static constexpr unsigned most_sent = 16;  // by one thread, or its heir

  programs(const setting& s, std::vector<thread_program> text, promise p)
      : scenario(static_cast<unsigned>(text.size())),
        setting_(s),
        promise_(p),
        programs_(std::move(text)),
        witness_(static_cast<unsigned>(
            std::ranges::find(programs_, thread_program::fate::lives, &thread_program::fate) - programs_.begin())),
        memory_(s.capacity, threads() + dead_before() + s.asking + (s.capacity == 0 ? s.stored : 0),
                s.drops ? millrace::delivery::drop : millrace::delivery::redeliver) {
    expect(witness_ < threads(), "somebody lives");
    promise_.drops = s.drops;
  }

  bool has(enum thread_program::fate f) const {
    return std::ranges::find(programs_, f, &thread_program::fate) != programs_.end();
  }
  unsigned dead_before() const { return setting_.held + setting_.begun; }
  bool somebody_dies() const {
    return dead_before() != 0 || has(thread_program::fate::mortal) || has(thread_program::fate::lingering);
  }

  // Of claims that are neither published nor to be.
  bool leaves_places() const {
    return somebody_dies() || std::any_of(programs_.begin(), programs_.end(), [](const thread_program& p) {
             return std::any_of(p.operations.begin(), p.operations.end(),
                                [](const operation& o) { return o.withdraws; });
           });
  }

  bool rendezvous() const { return setting_.capacity == 0; }

  void before_meetings(Ring& ring) {
    unsigned place = threads();
    message m;
    for (unsigned i = 0; i != setting_.stored; ++i, ++place) {
      mortality::run_to_wait([&] { (void)memory_.attach(place).push(message::of(threads(), i)); });
    }
    for (unsigned i = 0; i != setting_.held; ++i) {
      mortality::run_to_wait([&] { (void)memory_.attach(place + i).pop(m); });
    }
    for (unsigned i = 0; i != setting_.held; ++i) {
      check(ring.try_push(message::of(threads(), setting_.stored + i)) == status::ok, "who asks is served");
    }
    for (unsigned i = 0; i != setting_.held; ++i) memory_.bury(place++);
    for (unsigned i = 0; i != setting_.asking; ++i, ++place) {
      mortality::run_to_wait([&] { (void)memory_.attach(place).pop(m); });
    }
  }

  void after_meetings(const waiting& before, std::span<const std::uint64_t> left) {
    Ring ring = memory_.attach(witness_);
    std::size_t asks = 0;
    status last = ring.try_push({});
    for (; last == status::ok; last = ring.try_push({})) ++asks;
    check(last == status::full || last == status::closed, "nobody waits any more");
    if (meetings(journal_.calls(), before, {left, asks, {}}, promise_)) return;
    explain(left);
    check(false, "the calls are of pushes and pops that meet");
  }

  void bury(unsigned index) {
    const thread_program& its = programs_[index];
    journal_.cut_short(
        index, std::any_of(its.operations.begin(), its.operations.end(), [](const operation& o) { return o.batch; }),
        rendezvous());
    memory_.bury(index, !its.heirs.empty());
  }

  void run(unsigned index, const std::vector<operation>& operations, unsigned& sent) {
    if (operations.empty()) return;
    Ring ring = memory_.attach(index);
    for (const operation& o : operations) {
      switch (o.what) {
        case action::push:
          push(ring, o, index, sent);
          break;
        case action::pop:
          pop(ring, o, index);
          break;
        case action::close: {
          call& c = journal_.begin(action::close, index, threads());
          ring.close();
          journal_.end(c, status::ok);
        }
      }
    }
  }

  void push(Ring& ring, const operation& o, unsigned index, unsigned& sent) {
    std::array<message, call::most_messages> some;
    call& c = journal_.begin(action::push, index, threads());
    c.asked = o.count;
    for (; c.count != o.count; ++c.count) {
      some[c.count] = message::of(index, sent++);
      c.ids[c.count] = some[c.count].id;
    }
    const std::span<const message> all(some.data(), o.count);
    millrace::batch_result moved{};
    if (o.in_place) {
      moved = reserve(ring, o, some[0]);
      if (o.withdraws && moved.why == status::ok) return withdrawn(c);
    } else if (o.batch) {
      moved = o.how == operation::manner::once    ? ring.try_push_n(all)
              : o.how == operation::manner::timed ? ring.push_n_for(all, some_time)
                                                  : ring.push_n(all);
    } else {
      moved.why = o.how == operation::manner::waits   ? ring.push(some[0])
                  : o.how == operation::manner::timed ? ring.push_for(some[0], some_time)
                                                      : ring.try_push(some[0]);
      while (o.how == operation::manner::retries && millrace::would_block(moved.why)) {
        relacy_platform::relax(0);
        moved.why = ring.try_push(some[0]);
      }
      moved.count = moved.why == status::ok ? 1 : 0;
    }
    check_answer(o, moved, status::empty);
    check((moved.why == status::ok) == (moved.count == o.count), "a push that says ok pushed everything");
    if (o.batch && (rendezvous() || o.how != operation::manner::once)) return journal_.end_in_turn(c, moved);
    c.count = moved.count;
    journal_.end(c, moved.why);
  }

  void pop(Ring& ring, const operation& o, unsigned index) {
    std::array<message, call::most_messages> some;
    call& c = journal_.begin(action::pop, index, threads());
    c.asked = o.count;
    const std::span<message> all(some.data(), o.count);
    millrace::batch_result moved{};
    if (o.in_place) {
      moved = peek(ring, o, some[0]);
    } else if (o.batch) {
      moved = o.how == operation::manner::once    ? ring.try_pop_n(all)
              : o.how == operation::manner::timed ? ring.pop_n_for(all, some_time)
                                                  : ring.pop_n(all);
    } else {
      moved.why = o.how == operation::manner::waits   ? ring.pop(some[0])
                  : o.how == operation::manner::timed ? ring.pop_for(some[0], some_time)
                                                      : ring.try_pop(some[0]);
      while (o.how == operation::manner::retries && millrace::would_block(moved.why)) {
        relacy_platform::relax(0);
        moved.why = ring.try_pop(some[0]);
      }
      moved.count = millrace::delivered(moved.why) ? 1 : 0;
    }
    check_answer(o, moved, status::full);
    check(millrace::delivered(moved.why) == (moved.count != 0), "a pop that says ok popped something");
    for (c.count = 0; c.count != moved.count; ++c.count) {
      check(some[c.count].intact(), "a message is delivered whole");
      c.ids[c.count] = some[c.count].id;
    }
    if (o.batch && rendezvous()) return journal_.end_in_turn(c, moved);
    journal_.end(c, moved.why);
  }

  static millrace::batch_result reserve(Ring& ring, const operation& o, const message& m) {
    if constexpr (millrace::writes_in_place<Ring>) {
      for (;;) {
        auto slot = o.how == operation::manner::waits   ? ring.reserve()
                    : o.how == operation::manner::timed ? ring.reserve_for(some_time)
                                                        : ring.try_reserve();
        if (slot) {
          *slot = m;
          if (o.withdraws) {
            // Steps enough for another to find the place taken, look again, and sleep: a full search lets us do
            // one whenever it waits.
            for (int step = 0; step != 2; ++step) relacy_platform::light_fence();
          } else {
            slot.commit();
          }
          return {slot.why(), 1};
        }
        if (o.how != operation::manner::retries || !millrace::would_block(slot.why())) return {slot.why(), 0};
        relacy_platform::relax(0);
      }
    }
    return {status::corrupt, 0};  // no model asks for it
  }

  // It has moved nothing; a place may have been taken, as by one who was killed in it.
  void withdrawn(call& c) {
    c.count = 0;
    c.fate = call::fate::nothing;
    journal_.end(c, status::ok);
  }

  static millrace::batch_result peek(Ring& ring, const operation& o, message& m) {
    if constexpr (millrace::reads_in_place<Ring>) {
      for (;;) {
        auto found = o.how == operation::manner::waits   ? ring.peek()
                     : o.how == operation::manner::timed ? ring.peek_for(some_time)
                                                         : ring.try_peek();
        if (found) {
          m = *found;
          return {found.why(), 1};
        }
        if (o.how != operation::manner::retries || !millrace::would_block(found.why())) return {found.why(), 0};
        relacy_platform::relax(0);
      }
    }
    return {status::corrupt, 0};
  }

  // Each manner of call has answers of its own, and a push never says `empty`.
  static void check_answer(const operation& o, const millrace::batch_result& got, status never) {
    const bool waited = o.how == operation::manner::waits || o.how == operation::manner::timed;
    check(got.why != never, "push never says empty, pop never full");
    check(got.why != status::corrupt, "members who follow the protocol never make it corrupt");
    check(!waited || !millrace::would_block(got.why), "a call that waits never says full, empty or busy");
    check(o.how == operation::manner::timed || got.why != status::timed_out, "only a deadline times out");
    check(got.count <= o.count, "no more is moved than was asked for");
  }

  // Of redelivered ones it is only noted that they came out.
  std::size_t drain(std::span<std::uint64_t> left) {
    Ring ring = memory_.attach(witness_);
    std::size_t count = 0;
    message m;
    for (status s = ring.try_pop(m); millrace::delivered(s); s = ring.try_pop(m)) {
      check(m.intact(), "a message is delivered whole");
      if (s == status::redelivered) {
        call& c = journal_.begin(action::pop, threads(), threads());
        c.ids[c.count++] = m.id;
        journal_.end(c, s);
        continue;
      }
      check(count != left.size(), "a ring holds no more than was pushed");
      left[count++] = m.id;
    }
    return count;
  }

  // An idle ring has all its room: no call has kept a slot, or a permit.
  void check_room() {
    Ring ring = memory_.attach(witness_);
    const status first = ring.try_push(message::of(threads(), 0));
    if (first == status::closed) return;
    check(first == status::ok, "an emptied ring has room");
    for (unsigned i = 1; i != setting_.capacity; ++i) {
      check(ring.try_push(message::of(threads(), i)) == status::ok, "an emptied ring has all its room");
    }
    check(ring.try_push(message::of(threads(), 0)) == status::full, "and no more");
  }

  // The history keeps the address only: the text outlives the execution.
  void explain(std::span<const std::uint64_t> left) {
    if (!rl::ctx().collecting_history() && recorder::installed == nullptr) return;
    static constexpr std::string_view heading = "no order of these calls is a bounded queue's:\n";
    static char text[4096];
    heading.copy(text, heading.size());
    describe(journal_.calls(), left, std::span(text).subspan(heading.size()));
    log(site::here(), text);
  }

  setting setting_;
  promise promise_;
  std::vector<thread_program> programs_;
  unsigned witness_;  // in the place of the first who lives: all places are taken by those who take part
  ring_memory<Ring> memory_;
  journal journal_;
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_PROGRAMS_H_
