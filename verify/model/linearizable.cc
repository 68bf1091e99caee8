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

// Depth-first over all orders, as Wing and Gong (1993) do.
class search {
 public:
  search(std::span<const call> calls, std::span<const std::uint64_t> left, std::size_t capacity, promise p)
      : calls_(calls), left_(left), capacity_(capacity), promise_(p) {
    for (std::size_t i = 0; i != calls.size(); ++i) {
      for (std::size_t j = 0; j != calls.size(); ++j) {
        if (calls[i].thread == calls[j].thread) {
          if (j < i) before_[i] |= bit(j);
        } else {
          if (comes_before(calls[j], calls[i])) before_[i] |= bit(j);
          if (!happens_before(calls[j], calls[i]) && !happens_before(calls[i], calls[j])) overlapped_ |= bit(i);
        }
      }
    }
  }

  bool from(std::uint32_t done, const queue& q) const {
    if (done == all()) {
      queue end = q;
      end.skip_all();
      return end.starts_with(left_) && end.size == left_.size() && (end.dead_hands == 0 || promise_.drops);
    }
    for (std::size_t i = 0; i != calls_.size(); ++i) {
      if ((done & bit(i)) != 0 || (before_[i] & ~done) != 0) continue;
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
  static constexpr std::uint32_t bit(std::size_t i) { return std::uint32_t{1} << i; }
  std::uint32_t all() const { return static_cast<std::uint32_t>((std::uint64_t{1} << calls_.size()) - 1); }

  // Of different threads.
  static bool happens_before(const call& a, const call& b) { return a.returned && b.knew[a.thread] >= a.reached; }
  bool comes_before(const call& a, const call& b) const {
    return promise_.order == promise::order::causal ? happens_before(a, b) : a.returned && a.ended < b.began;
  }

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
        if (c.said == status::closed) return q.size == 0 && q.closed;
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

  bool overlaps(std::size_t i) const { return (overlapped_ & bit(i)) != 0; }
  bool excused(std::size_t i) const { return promise_.failure == promise::failure::overlapping && overlaps(i); }

  std::span<const call> calls_;
  std::span<const std::uint64_t> left_;
  std::size_t capacity_;
  promise promise_;
  std::array<std::uint32_t, most_calls> before_{};
  std::uint32_t overlapped_ = 0;
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
