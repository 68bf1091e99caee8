// Direct communication: two processes that name each other, and a link that is theirs alone.
#ifndef MILLRACE_DIRECT_H_
#define MILLRACE_DIRECT_H_

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/layout.h"
#include "millrace/platform.h"
#include "millrace/process.h"
#include "millrace/result.h"
#include "millrace/ring.h"
#include "millrace/roster.h"
#include "millrace/shared_memory.h"
#include "millrace/spsc_ring.h"
#include "millrace/status.h"

namespace millrace {

struct direct_options {
  std::string exchange = "default";  // where names count: those of two exchanges know nothing of each other
  std::uint64_t capacity = 64;       // messages each way of a link
  std::uint32_t members = 64;        // names that may be held at once
  mode_t mode = 0600;                // of the exchange and of its links, whatever the umask
};

// Who holds which name, and the links between them; for messages of a type that it
// does not know. A segment in /dev/shm, gone with the last who holds a name:
//
//   millrace.direct.EXCHANGE              [ header | roster | keepers' part | lock | seat x members ]
//   millrace.direct.EXCHANGE:P:1f:Q:20    [ header | ring from P to Q | ring from Q to P ]
//
//  D1 A seat belongs to a member's place in the roster, and says its holder's name and
//     number. A number is given once: a link is between two numbers, so that a successor
//     under a name is somebody else.
//  D2 Seats are written, and links made, found and swept, under the lock, a
//     robust_mutex. What a holder that was killed left half-done is its own seat, whose
//     place is dead; a link appears whole or not at all.
//  D3 Whoever leaves ends its links. For whoever was killed the living do, by their
//     keepers, each for those that it has open; and whoever takes its place over, for
//     all that have a name, before anybody is enrolled there.
//  D4 A link keeps its name until the survivor has been told of its end, or both are gone.
class exchange {
 public:
  // What goes through the links.
  struct traffic {
    ring_description link;
    std::size_t bytes;                     // of the rings
    std::function<void(void*)> construct;  // given the place of the rings
    std::function<void(void*)> cut_off;    // likewise, for a link that somebody truncates
    std::function<void(void*)> end;        // closes both, and wakes who sleeps there
  };

  // One end of a link, held by this process.
  struct link {
    shared_memory memory;
    void* rings;
    std::uint64_t peer;  // the other's number
    bool first;          // whether we send through the first ring
  };

  // ok and a link; or empty: nobody of that name is there; or timed_out, corrupt, or
  // refused with an error.
  struct answer {
    status why;
    link* to = nullptr;
    std::optional<error> refusal = std::nullopt;
  };

  static result<std::unique_ptr<exchange>> enroll(std::string_view name, const direct_options& options,
                                                  traffic carried);
  ~exchange();
  exchange(const exchange&) = delete;
  exchange& operator=(const exchange&) = delete;

  // The oldest link with somebody of that name; where there is none, one that is made with
  // whoever holds it. Waits for the lock only.
  answer find(std::string_view peer, deadline until);
  // Waits for somebody of that name, too.
  answer await_link(std::string_view peer, deadline until);
  // For a link that has ended.
  void forget(link* ended);

 private:
  struct state;
  explicit exchange(std::unique_ptr<state> s) noexcept;
  std::unique_ptr<state> state_;
};

// The textbook's direct communication: send(P, m), receive(Q, m).
//
//   auto me = direct<order>::enroll("P");               // in another process: "Q"
//   me->send("Q", {100, 5});                            // receive("P", o)
//
// A name is held by one living process at a time. The link between two appears when either
// first names the other: it is theirs alone, there is one for the pair, and it carries
// messages both ways, in order, `capacity` of them each way. A send returns when
// the message is in it. Whoever names somebody who has not come yet waits for that one to
// come (`try_send` says full, `try_receive` empty).
//
// A link ends when either of the two leaves or is killed, which the other hears of within
// milliseconds. The survivor receives what had been sent, also if it had not named the other
// before; then a receive says `closed`, once, and what names the other next is about
// a link with a successor under that name. Sends say `closed` until a receive has.
// Nobody is told of the end of one that it never had a link with.
//
// The first call that names somebody takes the exchange's lock, and a call that takes it
// waits for another that has it, a stopped one too. All later calls are those of an
// spsc_ring. `refused`: no link can be made; `link` says why. `corrupt`: somebody has
// scribbled over the link, or truncated it or the exchange. A process killed in any call
// has sent (received) its message or not, and its name is free.
//
// A handle belongs to one thread at a time; not to a child of fork, which enrolls under a
// name of its own: there, and of one that was moved from, all calls say `closed`. What says that it is P is P for the
// others: whoever may write to the exchange is trusted.
template <message T>
class direct {
  using ring = spsc_ring<T>;

 public:
  using value_type = T;

  // errc::exists if a living process holds the name, and says which; errc::incompatible if
  // the exchange is for other messages or of another shape; errc::limit if all its
  // seats are taken by the living.
  static result<direct> enroll(std::string_view name, const direct_options& options = {}) {
    const geometry g{.capacity = options.capacity, .members = 0};  // members of the exchange use it
    if (const std::string why = ring::refuse(g); !why.empty()) {
      return error{errc::bad_argument, 0, "direct", "direct: " + why};
    }
    const std::size_t step = bytes(g);
    ring_description link = ring_description::of<ring>(g);
    link.kind = "direct link";
    auto made = exchange::enroll(name, options,
                                 {.link = link,
                                  .bytes = 2 * step,
                                  .construct =
                                      [g, step](void* at) {
                                        ring::construct(at, g);
                                        ring::construct(static_cast<std::byte*>(at) + step, g);
                                      },
                                  .cut_off =
                                      [g, step](void* at) {
                                        ring::construct_cut_off(at, g);
                                        ring::construct_cut_off(static_cast<std::byte*>(at) + step, g);
                                      },
                                  .end =
                                      [g](void* at) {
                                        for (const bool first : {true, false}) {
                                          ring r = ring_in(at, g, first);
                                          r.close();
                                          r.alarm();
                                        }
                                      }});
    if (!made) return made.error();
    return direct(*std::move(made), g);
  }

  // Makes the link now, if somebody of that name is there; else errc::not_found. There is
  // no need to: for whoever wants to know why sends are refused.
  result<done> link(std::string_view peer) {
    if (!usable()) {
      return error{errc::bad_argument, 0, "direct",
                   "direct: this handle was inherited by fork, or moved from; enroll again, under another name"};
    }
    if (lines_.contains(peer)) return done{};
    exchange::answer a = exchange_->find(peer, deadline::never());
    if (a.why == status::ok) {
      keep(peer, a.to);
      return done{};
    }
    if (a.refusal) return *std::move(a.refusal);
    return error{errc::not_found, 0, "direct", "direct: nobody of that name is enrolled; start it first"};
  }

  status try_send(std::string_view to, const T& m) {
    const auto [why, l] = reach(to);
    return l != nullptr ? l->out.try_push(m) : why == status::empty ? status::full : why;
  }
  status send(std::string_view to, const T& m) { return send_until(to, m, deadline::never()); }
  template <class Rep, class Period>
  status send_for(std::string_view to, const T& m, std::chrono::duration<Rep, Period> wait) {
    return send_until(to, m, deadline::after(wait));
  }
  status send_until(std::string_view to, const T& m, deadline until) {
    const auto [why, l] = reach(to, until);
    return l != nullptr ? l->out.push_until(m, until) : why;
  }

  status try_receive(std::string_view from, T& m) {
    const auto [why, l] = reach(from);
    return l != nullptr ? received(from, l->in.try_pop(m)) : why;
  }
  status receive(std::string_view from, T& m) { return receive_until(from, m, deadline::never()); }
  template <class Rep, class Period>
  status receive_for(std::string_view from, T& m, std::chrono::duration<Rep, Period> wait) {
    return receive_until(from, m, deadline::after(wait));
  }
  status receive_until(std::string_view from, T& m, deadline until) {
    const auto [why, l] = reach(from, until);
    return l != nullptr ? received(from, l->in.pop_until(m, until)) : why;
  }

 private:
  struct line {
    exchange::link* link;
    ring out;
    ring in;
  };

  direct(std::unique_ptr<exchange> of, const geometry& g) : exchange_(std::move(of)), shape_(g) {}

  static std::size_t bytes(const geometry& g) noexcept {
    return (ring::bytes(g) + line_bytes - 1) / line_bytes * line_bytes;
  }

  // An spsc_ring has no use for its member's place.
  static ring ring_in(void* rings, const geometry& g, bool first) noexcept {
    return ring(static_cast<std::byte*>(rings) + (first ? 0 : bytes(g)), g, {roster<native>(rings, 0), 0});
  }

  line* keep(std::string_view peer, exchange::link* l) {
    return &lines_
                .emplace(std::string(peer),
                         line{l, ring_in(l->rings, shape_, l->first), ring_in(l->rings, shape_, !l->first)})
                .first->second;
  }

  bool usable() const noexcept { return exchange_ != nullptr && made_in_ == forks(); }

  std::pair<status, line*> known(std::string_view peer, const std::function<exchange::answer()>& look) {
    if (!usable()) return {status::closed, nullptr};
    if (const auto at = lines_.find(peer); at != lines_.end()) return {status::ok, &at->second};
    const exchange::answer a = look();
    return {a.why, a.why == status::ok ? keep(peer, a.to) : nullptr};
  }
  std::pair<status, line*> reach(std::string_view peer) {
    const auto [why, l] = known(peer, [&] { return exchange_->find(peer, deadline::at({})); });
    return {why == status::timed_out ? status::empty : why, l};
  }
  std::pair<status, line*> reach(std::string_view peer, deadline until) {
    return known(peer, [&] { return exchange_->await_link(peer, until); });
  }

  status received(std::string_view from, status s) {
    if (s != status::closed) return s;
    const auto at = lines_.find(from);
    exchange_->forget(at->second.link);
    lines_.erase(at);
    return s;
  }

  std::unique_ptr<exchange> exchange_;
  geometry shape_;
  std::uint32_t made_in_ = forks();  // a child has none of it
  std::map<std::string, line, std::less<>> lines_;
};

}  // namespace millrace

#endif  // MILLRACE_DIRECT_H_
