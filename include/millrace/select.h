// Waits until one of several pushes and pops can be done, and does exactly that one.
#ifndef MILLRACE_SELECT_H_
#define MILLRACE_SELECT_H_

#include <algorithm>
#include <array>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "millrace/deadline.h"
#include "millrace/event_count.h"
#include "millrace/platform.h"
#include "millrace/result.h"
#include "millrace/status.h"

namespace millrace {

// One operation of those to choose from: a push or a pop by a handle of a ring or an end of a
// channel, each of any kind, message type and segment; but no rendezvous, where who only looks
// meets nobody, and no push to a broadcast. It refers to the handle and the message, which have to stay
// where they are (of a byte_channel, to the span or the buffer, and to the bytes).
template <class Platform>
struct alternative {
  void* port;
  void* message;
  status (*attempt)(void* port, void* message) noexcept;
  event_count<Platform>& (*event)(void* port, status why) noexcept;  // see ring_calls
};

// A pop into `m`, which is written when the operation is done.
template <class Port>
requires requires(Port p, typename Port::value_type& m, status why) { p.try_pop(m), p.pop_event(why); }
alternative<typename Port::platform_type> on_pop(Port& from, typename Port::value_type& m) noexcept {
  using T = typename Port::value_type;
  using event = event_count<typename Port::platform_type>;
  return {&from, &m,
          [](void* port, void* to) noexcept { return static_cast<Port*>(port)->try_pop(*static_cast<T*>(to)); },
          [](void* port, status why) noexcept -> event& { return static_cast<Port*>(port)->pop_event(why); }};
}

// A push of what `m` holds then.
template <class Port>
requires requires(Port p, const typename Port::value_type& m, status why) { p.try_push(m), p.push_event(why); }
alternative<typename Port::platform_type> on_push(Port& to, const typename Port::value_type& m) noexcept {
  using T = typename Port::value_type;
  using event = event_count<typename Port::platform_type>;
  return {
      &to, const_cast<T*>(&m),
      [](void* port, void* from) noexcept { return static_cast<Port*>(port)->try_push(*static_cast<const T*>(from)); },
      [](void* port, status why) noexcept -> event& { return static_cast<Port*>(port)->push_event(why); }};
}

// Not of a message that would be gone before the push.
template <class Port>
void on_push(Port& to, const typename Port::value_type&& m) = delete;

// Which was done, and what it said: ok, redelivered, closed or corrupt (of a byte_channel
// also too_long). Or none was.
struct [[nodiscard]] selection {
  static constexpr std::size_t none = ~std::size_t{0};

  std::size_t which;
  status why;

  friend bool operator==(const selection&, const selection&) = default;
};

// Guarded commands (Dijkstra, 1975; Hoare's CSP, 1978), as `select` is in Go.
//
//   tick t; order o;
//   selector next(on_pop(ticks, t), on_pop(orders, o));        // number 0 and number 1
//   for (selection s = next.select(); next.size() != 0; s = next.select()) {
//     if (s.why == status::closed) next.drop(s.which);
//     else s.which == 0 ? show(t) : fill(o);
//   }
//
//  S1 Exactly one is done: an alternative is a *try*, which does all or nothing, and the first
//     that does not fail ends the call. Killed inside one, its process has done that one or
//     nothing (the ring says what becomes of it); between them, nothing.
//  S2 No wake-up is lost. Before it sleeps it announces itself on an event of each alternative, and
//     then looks at all again, behind one heavy fence: with each event this is what
//     event_count.h's `prepare` is (E2). It sleeps on all these words at once. Which
//     event is to tell of a cure depends on why the try failed, and so does whether a
//     second look is one: if it fails for another reason it begins again.
//  S3 Fair: looks begin behind the one that was done last. Of those that can always be done
//     each is, within as many calls as there are alternatives.
//  S4 An announcement stays where the call ended by another alternative. It costs the next
//     notifier there one needless wake. Whoever moves messages where nobody selects pays
//     nothing, and so does a select that finds something ready.
//
// Closed is ready: a pop from a ring that is closed and drained, or a push into one that is
// closed, is done at once and says so, each time, until it is dropped. So a death, or a
// close, ends the wait as it does in `pop`. Neither fullness nor emptiness nor `busy` is
// reported: they are waited out, a stopped holder of a lock or slot included, asleep.
//
// One thread at a time. Allocates nothing.
template <class Platform>
class basic_selector {
 public:
  // Alternatives at once: 127, one fewer than the words that the kernel takes.
  static constexpr std::size_t most = most_awaited - 1;

  // These, with numbers from 0 on.
  template <std::same_as<alternative<Platform>>... Some>
  requires(sizeof...(Some) <= most) explicit basic_selector(const Some&... some) noexcept { (put(size_, some), ...); }

  // Its number: the lowest that is free. errc::limit where there are as many as can be.
  result<std::size_t> add(const alternative<Platform>& one) {
    for (std::size_t i = 0; i != most; ++i) {
      if (!cases_[i].free()) continue;
      put(i, one);
      return i;
    }
    return error{errc::limit, 0, "select", "a selector has at most " + std::to_string(most) + " alternatives"};
  }

  // It is looked at no more, and its number is free. The others keep theirs.
  void drop(std::size_t which) noexcept {
    if (which >= end_ || cases_[which].free()) return;
    cases_[which] = {};
    --size_;
    ++changes_;
  }

  std::size_t size() const noexcept { return size_; }

  // How often it has been added to or dropped from.
  std::uint64_t changes() const noexcept { return changes_; }

  // Does the first that can be done now; else none, with `busy`. Never blocks.
  selection try_select() noexcept {
    for (std::size_t n = 0; n != end_; ++n) {
      const std::size_t i = begin_ + n < end_ ? begin_ + n : begin_ + n - end_;
      entry& e = cases_[i];
      if (e.free()) continue;
      e.said = e.what.attempt(e.what.port, e.what.message);
      if (would_block(e.said)) continue;
      begin_ = i + 1;
      return {i, e.said};
    }
    return {selection::none, size_ == 0 ? status::closed : status::busy};
  }

  // Polls for some tens of microseconds, then sleeps, until one can be done. None is, with
  // `closed`, where there are no alternatives; the timed forms also say timed_out, and look
  // once where the deadline has passed.
  selection select() noexcept { return select_until(deadline::never()); }

  template <class Rep, class Period>
  selection select_for(std::chrono::duration<Rep, Period> wait) noexcept {
    return select_until(deadline::after(wait));
  }

  selection select_until(deadline until) noexcept {
    for (;;) {
      unsigned turn = 0;
      do {
        if (const selection s = try_select(); !would_block(s.why)) return s;
      } while (polls_on<Platform>(turn++, Platform::spins / static_cast<unsigned>(size_), until));
      if (until.within(deadline::clock::duration::zero())) return {selection::none, status::timed_out};
      std::array<typename Platform::awaited, most> words;
      if (const selection s = try_select_or_prepare(words); !would_block(s.why)) return s;
      if (Platform::wait_any(std::span(words).first(size_), until) == wait_result::timed_out) {
        const selection last = try_select();
        return would_block(last.why) ? selection{selection::none, status::timed_out} : last;
      }
    }
  }

  // Behind a try that has done none: announces a sleeper, and tries once more. If that does
  // none, either, then until one can be done, each of `words`, `size()` of them, stays as is: for
  // one who sleeps by other means than `select`.
  selection try_select_or_prepare(std::span<typename Platform::awaited, most> words) noexcept {
    do {
      std::size_t announced = 0;
      for (entry& e : used()) {
        if (e.free()) continue;
        e.told_by = &e.cure();
        words[announced++] = e.told_by->announce();
      }
      Platform::heavy_fence();  // S2
      if (const selection s = try_select(); !would_block(s.why)) return s;
    } while (!will_be_told());
    return {selection::none, status::busy};
  }

 private:
  struct entry {
    alternative<Platform> what{};              // or none
    status said = status::busy;                // why it failed last
    event_count<Platform>* told_by = nullptr;  // on which we have announced ourselves

    bool free() const noexcept { return what.attempt == nullptr; }
    event_count<Platform>& cure() const noexcept { return what.event(what.port, said); }
  };

  void put(std::size_t i, const alternative<Platform>& one) noexcept {
    cases_[i].what = one;
    end_ = std::max(end_, i + 1);
    ++size_;
    ++changes_;
  }

  std::span<entry> used() noexcept { return std::span(cases_).first(end_); }

  // Whether we have announced ourselves wherever a cure would be told (S2).
  bool will_be_told() noexcept {
    return std::ranges::all_of(used(), [](const entry& e) { return e.free() || &e.cure() == e.told_by; });
  }

  std::array<entry, most> cases_{};
  std::size_t end_ = 0;  // none is used from here on
  std::size_t size_ = 0;
  std::uint64_t changes_ = 0;
  std::size_t begin_ = 0;  // S3
};

using selector = basic_selector<native>;

}  // namespace millrace

#endif  // MILLRACE_SELECT_H_
