// A file descriptor that becomes readable when one of several pushes and pops may be done.
#ifndef MILLRACE_POLLABLE_H_
#define MILLRACE_POLLABLE_H_

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "millrace/platform.h"
#include "millrace/result.h"
#include "millrace/select.h"
#include "millrace/status.h"

namespace millrace {

// A thread that *looks* and another that *watches* for it. Whoever looks tries, and if
// nothing can be done hands over the words that will then change; the watcher sleeps on them,
// rings a bell, once, and rests.
//
//   state   resting -> watched -> resting, and the bell rings
//                      watched -> called_back -> resting
//           any -> ended
//
//  L1 The words are handed over behind the second look of the selector (S2), with what they
//     held before it: what has changed since then keeps the watcher from sleeping.
//  L2 The bell is silenced before they are handed over. So a ring that is for them is not
//     undone; one that comes late, of those before, calls for a look too many.
//  L3 The words are the watcher's while it is not resting. It only passes them to the
//     kernel, which looks at them: the segment may have been unmapped.
//  L4 Each wake rings, whatever has changed: a word, or nothing, if it was an alarm or the
//     longest sleep is over.
//
// `Bell` has ring() and silence(). One thread looks, one runs.
template <class Platform, class Bell>
class lookout {
 public:
  lookout(basic_selector<Platform>& of, Bell bell) noexcept : of_(of), bell_(std::move(bell)) {}

  selection try_select() noexcept {
    std::array<awaited, basic_selector<Platform>::most> words;
    selection s = of_.try_select();
    if (would_block(s.why)) s = of_.try_select_or_prepare(words);
    if (would_block(s.why)) hand_over(std::span(words).first(of_.size()));
    return s;
  }

  // Lets the watcher go.
  void end() noexcept {
    state_.store(ended, std::memory_order_relaxed);
    Platform::wake_all(state_);
  }

  // The watcher's part, until the end.
  void run() noexcept {
    for (;;) {
      switch (look_at_state()) {
        case resting:
          Platform::wait(state_, resting, deadline::never());
          break;
        case watched:
          sleep_and_ring();
          break;
        case called_back:
          state_.store(resting, std::memory_order_release);  // pairs with look_at_state
          Platform::wake_all(state_);
          break;
        default:
          return;
      }
    }
  }

  const Bell& bell() const noexcept { return bell_; }

 private:
  using awaited = typename Platform::awaited;

  enum state : std::uint32_t { resting, watched, called_back, ended };

  struct request {
    std::array<awaited, most_awaited> words{};  // the first is `state`
    std::size_t count = 0;
  };

  // An update finds the latest, where a load might find the same old one after each wait.
  // acquire: pairs with hand_over, with run and with sleep_and_ring.
  std::uint32_t look_at_state() noexcept { return state_.fetch_or(0, std::memory_order_acquire); }

  void hand_over(std::span<const awaited> words) noexcept {
    call_back();
    bell_.silence();  // L2
    request& r = request_.begin_write();
    r.words[0] = {&state_, watched};
    std::ranges::copy(words, r.words.begin() + 1);
    r.count = 1 + words.size();
    request_.end_write();
    state_.store(watched, std::memory_order_release);  // pairs with look_at_state
    Platform::wake_all(state_);
  }

  // Has the watcher rest (L3).
  void call_back() noexcept {
    std::uint32_t now = watched;
    if (!state_.compare_exchange_strong(now, called_back, std::memory_order_relaxed, std::memory_order_relaxed)) {
      (void)look_at_state();  // the watcher rests already, and has done with the words
      return;
    }
    Platform::wake_all(state_);
    while (look_at_state() != resting) {
      Platform::wait(state_, called_back, deadline::never());
    }
  }

  void sleep_and_ring() noexcept {
    const request& r = request_.begin_read();
    Platform::wait_any(std::span(r.words).first(r.count), deadline::never());
    request_.end_read();
    std::uint32_t now = watched;
    // release: pairs with call_back.
    if (state_.compare_exchange_strong(now, resting, std::memory_order_release, std::memory_order_relaxed)) {
      bell_.ring();
    }
  }

  basic_selector<Platform>& of_;
  Bell bell_;
  typename Platform::template atomic<std::uint32_t> state_{resting};
  typename Platform::template plain<request> request_;
};

// For loops that wait with poll, epoll or the like for other descriptors, too:
//
//   tick t; order o;
//   selector next(on_pop(ticks, t), on_pop(orders, o));
//   auto ready = pollable::create(next);        // its descriptor() goes into the loop, for POLLIN
//
//   // whenever it is readable:
//   for (selection s = ready->try_select(); s.which != selection::none; s = ready->try_select()) {
//     if (s.why == status::closed) next.drop(s.which);     // and leave, when none is left
//     else s.which == 0 ? show(t) : fill(o);
//   }
//
// The rule: call `try_select` until it says `none`, and then wait for the descriptor. It is
// readable, until that call, from the moment at which something may be done: a message or
// room has come, a channel has ended, or whoever was in the way has been killed. It may be
// readable for no reason; that is so before the first call, and every ten seconds. Never read it.
// After an alternative has been added or dropped, call `try_select` again, too.
//
// No wake-up is lost, by the death of others neither; see select.h and L1 to L4. Where nobody
// asks for a descriptor none of this is paid for. Who does has one thread, asleep, for
// each; and each time that the loop is woken costs two switches of threads more than `select`.
//
// One thread at a time, that of the selector, which stays where it is meanwhile, as do the
// handles in it. Not for a child of fork, whose handles these are not: there, and of one that was
// moved from, `try_select` says `closed`, with none. Killed, its process leaves nothing.
class pollable {
 public:
  // errc::limit where there is no descriptor left, or no thread.
  static result<pollable> create(selector& of);

  pollable(pollable&& other) noexcept;
  pollable& operator=(pollable&&) = delete;
  ~pollable();  // ends the thread, at once

  // Close-on-exec, and closed at the end. -1 of one that was moved from.
  int descriptor() const noexcept;

  // Does the first that can be done now, as `selector::try_select` does; else none, with
  // `busy`, and the descriptor is not readable until one may be. `closed`, with none, where there
  // is no alternative. Never blocks for longer than the thread takes to wake up.
  selection try_select() noexcept;

 private:
  struct state;

  explicit pollable(std::unique_ptr<state> s) noexcept;
  bool usable() const noexcept;

  std::unique_ptr<state> state_;
};

}  // namespace millrace

#endif  // MILLRACE_POLLABLE_H_
