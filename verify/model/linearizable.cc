#include "verify/model/linearizable.h"

#include <fmt/format.h>

#include <algorithm>

namespace verify {
namespace {

using millrace::status;

constexpr std::size_t most_calls = 32;
constexpr std::size_t most_stored = 16;
constexpr std::uint64_t nothing = ~std::uint64_t{0};  // in a place that a dead pusher holds

struct queue {
  std::array<std::uint64_t, most_stored> ids{};
  std::size_t size = 0;
  bool closed = false;
  std::array<std::uint64_t, most_calls> in_dead_hands{};
  std::size_t dead_hands = 0;

  void push(std::uint64_t id) { ids[size++] = id; }
  void pop(std::size_t n) {
    std::copy(ids.begin() + static_cast<std::ptrdiff_t>(n), ids.begin() + static_cast<std::ptrdiff_t>(size),
              ids.begin());
    size -= n;
  }
  void skip() {
    while (size != 0 && ids[0] == nothing) pop(1);
  }
  void skip_all() {
    const auto end = std::remove(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(size), nothing);
    size = static_cast<std::size_t>(end - ids.begin());
  }
  bool redeliver(std::uint64_t id) {
    const auto end = in_dead_hands.begin() + static_cast<std::ptrdiff_t>(dead_hands);
    const auto at = std::find(in_dead_hands.begin(), end, id);
    if (at == end) return false;
    *at = in_dead_hands[--dead_hands];
    return true;
  }
  bool starts_with(std::span<const std::uint64_t> wanted) const {
    return wanted.size() <= size && std::equal(wanted.begin(), wanted.end(), ids.begin());
  }
};

// Which calls come before which, and which overlap.
class call_order {
 public:
  call_order(std::span<const call> calls, enum promise::order o) : size_(calls.size()) {
    for (std::size_t i = 0; i != calls.size(); ++i) {
      for (std::size_t j = 0; j != calls.size(); ++j) {
        if (calls[i].thread == calls[j].thread) {
          if (j < i) before_[i] |= bit(j);
        } else {
          if (comes_before(calls[j], calls[i], o)) before_[i] |= bit(j);
          if (!happens_before(calls[j], calls[i]) && !happens_before(calls[i], calls[j])) overlapped_ |= bit(i);
        }
      }
    }
  }

  static constexpr std::uint32_t bit(std::size_t i) { return std::uint32_t{1} << i; }
  std::uint32_t all() const { return static_cast<std::uint32_t>((std::uint64_t{1} << size_) - 1); }

  // Whether call `i` can be the next.
  bool next(std::size_t i, std::uint32_t done) const { return (done & bit(i)) == 0 && (before_[i] & ~done) == 0; }
  bool overlaps(std::size_t i) const { return (overlapped_ & bit(i)) != 0; }

 private:
  // Of different threads.
  static bool happens_before(const call& a, const call& b) { return a.returned && b.knew[a.thread] >= a.reached; }
  static bool comes_before(const call& a, const call& b, enum promise::order o) {
    return o == promise::order::causal ? happens_before(a, b) : a.returned && a.ended < b.began;
  }

  std::size_t size_;
  std::array<std::uint32_t, most_calls> before_{};
  std::uint32_t overlapped_ = 0;
};

// Depth-first over all orders, as Wing and Gong (1993) do.
class search {
 public:
  search(std::span<const call> calls, std::span<const std::uint64_t> left, std::size_t capacity, promise p)
      : calls_(calls), left_(left), capacity_(capacity), promise_(p), order_(calls, p.order) {}

  bool from(std::uint32_t done, const queue& q) const {
    if (done == order_.all()) {
      queue end = q;
      end.skip_all();
      return end.starts_with(left_) && end.size == left_.size() && (end.dead_hands == 0 || promise_.drops);
    }
    for (std::size_t i = 0; i != calls_.size(); ++i) {
      if (!order_.next(i, done)) continue;
      queue next = q;
      if (happens(i, next) && from(done | bit(i), next)) return true;
      const bool may_keep_a_place = !calls_[i].returned || calls_[i].fate == call::fate::nothing;
      if (may_keep_a_place && cut_short(calls_[i], q, [&](const queue& then) { return from(done | bit(i), then); })) {
        return true;
      }
    }
    return false;
  }

 private:
  static constexpr std::uint32_t bit(std::size_t i) { return call_order::bit(i); }

  // What call `i` says, done to `q`: false if it can't be.
  bool happens(std::size_t i, queue& q) const {
    const call& c = calls_[i];
    const std::span<const std::uint64_t> ids(c.ids.data(), c.count);
    if (!c.returned) return false;
    if (c.said == status::busy) return overlaps(i);
    if (c.said == status::timed_out) return true;
    if (c.said == status::redelivered) return c.count == 1 && q.redeliver(c.ids[0]);
    switch (c.what) {
      case action::close:
        q.closed = true;
        return true;
      case action::push:
        if (c.said == status::closed && c.count == 0) return q.closed;
        if (c.said == status::full && c.count == 0) return (q.size == capacity_ && !q.closed) || excused(i);
        if (q.size + c.count > capacity_) q.skip();
        if ((q.closed && c.count != 0) || q.size + c.count > capacity_) return false;
        for (const std::uint64_t id : ids) q.push(id);
        return c.said != status::full || q.size == capacity_ || overlaps(i);
      case action::pop:
        q.skip();
        if (c.said == status::empty) return (q.size == 0 && !q.closed) || excused(i);
        if (c.said == status::closed) return q.size == 0 && q.closed && (q.dead_hands == 0 || promise_.drops);
        if (!q.starts_with(ids)) return false;
        q.pop(c.count);
        q.skip();
        return c.count >= c.asked || q.size == 0 || overlaps(i);
    }
    return false;
  }

  // Its thread died in it: some of it happened, and of some it had places, or
  // messages, in its hands. Whether `goes_on` with one of the queues that this leaves.
  template <class GoesOn>
  bool cut_short(const call& c, const queue& q, GoesOn goes_on) const {
    if (c.what == action::close) {
      queue closed = q;
      closed.closed = true;
      return goes_on(q) || goes_on(closed);
    }
    const std::size_t least = c.fate == call::fate::happened ? c.asked : 0;
    const std::size_t most = c.fate == call::fate::nothing ? 0 : c.asked;
    // It may have been about to redeliver.
    for (std::size_t i = 0; c.what == action::pop && most != 0 && i != q.dead_hands; ++i) {
      queue then = q;
      then.redeliver(q.in_dead_hands[i]);
      if (goes_on(then)) return true;
    }
    for (std::size_t whole = least; whole <= most; ++whole) {
      for (std::size_t half = 0; whole + half <= c.asked; ++half) {
        queue then = q;
        if (c.what == action::push ? pushed(c, whole, half, then) : popped(whole, half, then)) {
          if (goes_on(then)) return true;
        }
      }
    }
    return false;
  }

  bool pushed(const call& c, std::size_t whole, std::size_t half, queue& q) const {
    if (whole + half == 0) return true;
    if (q.size + whole + half > capacity_) q.skip();
    if (q.closed || q.size + whole + half > capacity_) return false;
    for (std::size_t i = 0; i != whole + half; ++i) q.push(i < whole ? c.ids[i] : nothing);
    return true;
  }

  static bool popped(std::size_t whole, std::size_t half, queue& q) {
    for (std::size_t i = 0; i != whole + half; ++i) {
      q.skip();
      if (q.size == 0) return false;
      if (i >= whole) q.in_dead_hands[q.dead_hands++] = q.ids[0];
      q.pop(1);
    }
    return true;
  }

  bool overlaps(std::size_t i) const { return order_.overlaps(i); }
  bool excused(std::size_t i) const { return promise_.failure == promise::failure::overlapping && overlaps(i); }

  std::span<const call> calls_;
  std::span<const std::uint64_t> left_;
  std::size_t capacity_;
  promise promise_;
  call_order order_;
};

// The same where nothing is stored.
class meeting_search {
 public:
  // What has come to pass: of each call that died, how many of its messages have been met.
  struct point {
    std::uint32_t done = 0;
    std::array<std::uint8_t, most_calls> met{};
    std::size_t offers_met = 0;
    std::size_t asks_left = 0;
    bool closed = false;
    std::array<std::uint64_t, most_calls> in_dead_hands{};
    std::size_t dead_hands = 0;
  };

  meeting_search(std::span<const call> calls, const waiting& before, const waiting& after, promise p)
      : calls_(calls), before_(before), after_(after), promise_(p), order_(calls, p.order) {}

  bool from(const point& now) const {
    if (now.done == order_.all()) {
      return std::ranges::equal(before_.offers.subspan(now.offers_met), after_.offers) &&
             now.asks_left == after_.asks && (now.dead_hands == 0 || promise_.drops);
    }
    for (std::size_t i = 0; i != calls_.size(); ++i) {
      if (order_.next(i, now.done) && (calls_[i].returned ? returned(i, now) : cut_short(i, now))) return true;
    }
    return false;
  }

 private:
  static point with(point p, std::size_t done) {
    p.done |= call_order::bit(done);
    return p;
  }
  // One message of it has been met.
  static point met(const call& c, std::size_t i, point p) {
    if (c.returned) return with(p, i);
    ++p.met[i];
    return p;
  }

  bool returned(std::size_t i, const point& now) const {
    const call& c = calls_[i];
    switch (c.said) {
      case status::busy:
        return order_.overlaps(i) && from(with(now, i));
      case status::timed_out:
        return from(with(now, i));
      case status::closed:
        return now.closed && (c.what == action::push || now.dead_hands == 0 || promise_.drops) && from(with(now, i));
      case status::full:
        return now.asks_left == 0 && !now.closed && from(with(now, i));
      case status::empty:
        if (c.asked == 0 && (now.closed || order_.overlaps(i)) && from(with(now, i))) return true;
        return now.offers_met == before_.offers.size() && !now.closed && from(with(now, i));
      case status::redelivered:
        return !promise_.drops && inherits(i, now);
      default:
        break;
    }
    if (c.what == action::push) return pushes(i, now);
    if (c.what == action::pop) return pops_waiting(i, now);
    point closed = with(now, i);
    closed.closed = true;
    return from(closed);
  }

  bool cut_short(std::size_t i, const point& now) const {
    const call& c = calls_[i];
    const bool all_met = now.met[i] == c.asked;
    if ((c.fate != call::fate::happened || all_met) && (c.fate != call::fate::nothing || now.met[i] == 0) &&
        from(with(now, i))) {
      return true;
    }
    if (c.what == action::close) {
      point closed = with(now, i);
      closed.closed = true;
      return from(closed);
    }
    if (all_met || c.fate == call::fate::nothing) return false;
    return c.what == action::push ? pushes(i, now) : pops_waiting(i, now) || inherits(i, now);
  }

  bool inherits(std::size_t i, const point& now) const {
    for (std::size_t k = 0; k != now.dead_hands; ++k) {
      if (calls_[i].returned && now.in_dead_hands[k] != calls_[i].ids[0]) continue;
      point then = with(now, i);
      then.in_dead_hands[k] = then.in_dead_hands[--then.dead_hands];
      if (from(then)) return true;
    }
    return false;
  }

  bool pops_waiting(std::size_t i, const point& now) const {
    if (now.closed || now.offers_met == before_.offers.size()) return false;
    if (calls_[i].returned && before_.offers[now.offers_met] != calls_[i].ids[0]) return false;
    point then = met(calls_[i], i, now);
    ++then.offers_met;
    return from(then);
  }

  bool pushes(std::size_t i, const point& now) const {
    if (now.closed) return false;
    const call& push = calls_[i];
    if (now.asks_left != 0) {
      point then = met(push, i, now);
      --then.asks_left;
      return from(then);
    }
    const std::uint64_t id = push.ids[now.met[i]];
    for (std::size_t j = 0; j != calls_.size(); ++j) {
      const call& pop = calls_[j];
      if (pop.what != action::pop || pop.thread == push.thread || !order_.next(j, now.done)) continue;
      const point then = met(push, i, now);
      if (pop.returned) {
        if (pop.said != status::ok || pop.ids[0] != id || !behind(push, pop) || !behind(pop, push)) continue;
        if (from(with(then, j))) return true;
        continue;
      }
      if (now.met[j] == pop.asked) continue;
      if (pop.fate != call::fate::nothing && from(met(pop, j, then))) return true;
      if (pop.fate == call::fate::happened) continue;
      point in_hands = with(then, j);
      in_hands.in_dead_hands[in_hands.dead_hands++] = id;
      if (from(in_hands)) return true;
    }
    return false;
  }

  static bool behind(const call& a, const call& b) { return !a.returned || a.learned[b.thread] >= b.started; }

  std::span<const call> calls_;
  waiting before_;
  waiting after_;
  promise promise_;
  call_order order_;
};

}  // namespace

bool linearizable(std::span<const call> calls, std::span<const std::uint64_t> before,
                  std::span<const std::uint64_t> left, std::size_t capacity, promise p) {
  if (calls.size() > most_calls - 1 || before.size() > most_stored || capacity + call::most_messages > most_stored) {
    return false;
  }
  queue q;
  for (const std::uint64_t id : before) q.push(id);
  if (p.failure != promise::failure::each_alone) return search(calls, left, capacity, p).from(0, q);

  std::array<call, most_calls> some;
  const auto failed = [](const call& c) { return c.returned && millrace::would_block(c.said) && c.count == 0; };
  const auto holds_with = [&](const call* one) {
    std::size_t n = 0;
    for (const call& c : calls) {
      if (!failed(c) || &c == one) some[n++] = c;
    }
    return search(std::span(some).first(n), left, capacity, p).from(0, q);
  };
  return holds_with(nullptr) &&
         std::all_of(calls.begin(), calls.end(), [&](const call& c) { return !failed(c) || holds_with(&c); });
}

bool meetings(std::span<const call> calls, const waiting& before, const waiting& after, promise p) {
  if (calls.size() > most_calls - 1 || before.in_dead_hands.size() > most_calls - 1 - calls.size()) return false;
  meeting_search::point start;
  start.asks_left = before.asks;
  start.dead_hands = before.in_dead_hands.size();
  std::ranges::copy(before.in_dead_hands, start.in_dead_hands.begin());
  return meeting_search(calls, before, after, p).from(start);
}

void describe(std::span<const call> calls, std::span<const std::uint64_t> left, std::span<char> text) {
  static constexpr const char* names[] = {"push", "pop", "close"};
  const auto add = [&](const char* format, const auto&... values) {
    const std::size_t room = text.size() - 1;
    const auto [end, wanted] = fmt::format_to_n(text.data(), room, fmt::runtime(format), values...);
    *end = '\0';
    text = text.subspan(std::min(wanted, room));
  };
  const auto add_ids = [&](std::span<const std::uint64_t> ids) {
    for (const std::uint64_t id : ids) add(" {}.{}", id >> 8, id & 0xff);
  };
  for (const call& c : calls) {
    add("  thread {}, {:2} to {:2}: {}", c.thread, c.began, c.ended, names[static_cast<std::size_t>(c.what)]);
    add_ids({c.ids.data(), c.count});
    add(": {}\n", c.returned ? millrace::to_string(c.said) : "killed");
  }
  add("  left in the ring:");
  add_ids(left);
}

}  // namespace verify
