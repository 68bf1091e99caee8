#include "bench/must_show.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string_view>
#include <utility>

namespace millrace::bench {
namespace {

// Of one promise.
class evidence {
 public:
  explicit evidence(std::string promise) : all_{std::move(promise)} {}

  void add(bool speaks_for, std::string_view what) {
    (speaks_for ? some_ : against_) = true;
    mention(what);
  }
  // Without which nothing can be said to be met.
  void lacks(std::string_view what) {
    gaps_ = true;
    mention(what);
  }
  // Each thing once.
  void mention(std::string_view what) {
    if (all_.measured.find(what) != std::string::npos) return;
    all_.measured += fmt::format("{}{}", all_.measured.empty() ? "" : "; ", what);
  }

  finding judged() const {
    finding f = all_;
    f.is = against_ ? verdict::not_met : some_ && !gaps_ ? verdict::met : verdict::not_measured;
    return f;
  }

 private:
  finding all_;
  bool some_ = false;
  bool against_ = false;
  bool gaps_ = false;
};

std::string text_of(const spread& s) { return fmt::format("{:.2f} ({:.2f} to {:.2f})", s.median, s.low, s.high); }

bool asked_for(const results& r, std::string_view name) {
  return std::ranges::find(r.who, name, &contender::name) != r.who.end();
}

// One of ours that is fit to be compared. One that should be there and is not, or did not do its work, speaks
// against `e`.
const series* fit(const results& r, const cell& c, std::string_view key, std::string_view name, evidence& e) {
  if (!asked_for(r, name)) {
    e.lacks(fmt::format("{} was not asked for", name));
    return nullptr;
  }
  const series* const s = c.of(name);
  const std::string_view fault = s == nullptr || s->runs.empty() ? "missing" : s->fault();
  if (fault.empty()) return s;
  e.add(false, fmt::format("{} {} at {} {}", name, fault, key, c.at.label));
  return nullptr;
}

const cell* find(const table* t, std::string_view label) {
  if (t == nullptr) return nullptr;
  const auto it = std::ranges::find_if(t->cells, [&](const cell& c) { return c.at.label == label; });
  return it == t->cells.end() ? nullptr : &*it;
}

// The least ratio of `ours` to those that `counts` says, over some tables' cells.
class least {
 public:
  least(const results& r, std::string promise, std::string_view ours) : r_(r), ours_(ours), all_(std::move(promise)) {}

  void over(
      std::string_view key, const std::function<bool(const series&)>& counts,
      const std::function<bool(const work&)>& where = [](const work&) { return true; }) {
    const table* const t = r_.find(key);
    if (t == nullptr) return all_.lacks(fmt::format("{} not run", key));
    for (const cell& c : t->cells) {
      if (!where(c.at.job)) continue;
      const series* const first = fit(r_, c, key, ours_, all_);
      if (first == nullptr) continue;
      for (const series& other : c.all) {
        if (counts(other)) add(key, c, *first, other);
      }
    }
  }

  finding against(double wanted) {
    if (!compared_.empty()) {
      const auto& [s, at] = *std::ranges::min_element(compared_, {}, [](const auto& p) { return p.first.median; });
      all_.add(s.median >= wanted, fmt::format("least {}: {}", text_of(s), at));
      const auto below = std::ranges::count_if(compared_, [&](const auto& p) { return p.first.median < wanted; });
      if (below > 0) all_.mention(fmt::format("{} of {} pairs below", below, compared_.size()));
    }
    if (compared_.size() < pairs_) all_.mention(fmt::format("{} of {} pairs compared", compared_.size(), pairs_));
    return all_.judged();
  }

 private:
  void add(std::string_view key, const cell& c, const series& first, const series& other) {
    ++pairs_;
    const auto s = r_.ratio(first, other);
    if (s) compared_.push_back({*s, fmt::format("{} {}, {}", key, c.at.label, other.who->name)});
  }

  const results& r_;
  std::string_view ours_;
  evidence all_;
  std::size_t pairs_ = 0;
  std::vector<std::pair<spread, std::string>> compared_{};
};

bool is_peer(const series& s) { return s.who->from == origin::peer || s.who->from == origin::kernel; }
bool is_general_fifo(const series& s) { return is_peer(s) && s.who->fifo && !s.who->one_to_one; }

std::function<bool(const series&)> named(std::string_view name) {
  return [name](const series& s) { return s.who->name == name; };
}

bool one_to_one(const work& w) { return w.producers == 1 && w.consumers == 1; }

finding of_all_topologies(const results& r, std::string promise, const std::function<bool(const series&)>& counts,
                          double wanted) {
  least l(r, std::move(promise), "mpmc_ring");
  for (const std::string_view key : {"threads", "processes", "threads-mixed", "processes-mixed"}) l.over(key, counts);
  return l.against(wanted);
}

finding spsc_against(const results& r, std::string promise, const std::function<bool(const series&)>& counts) {
  least l(r, std::move(promise), "spsc_ring");
  for (const std::string_view key : {"threads", "processes"}) l.over(key, counts, one_to_one);
  return l.against(1.0);
}

finding large_messages(const results& r) {
  least l(r, "spsc_ring, 1P1C, 256 B to 4 KiB: not behind the best peer", "spsc_ring");
  l.over("sizes", is_peer, [](const work& w) { return w.bytes >= 256; });
  return l.against(1.0);
}

finding members(const results& r) {
  least l(r, "mpmc_ring: at least 0.95 of itself without members and what recovery costs a claim", "mpmc_ring");
  l.over("members", named("mpmc_ring memberless"));
  return l.against(0.95);
}

// The middle round trip, to that over what is bare.
finding trips(const results& r, std::string promise, std::string_view label, std::string_view limit, double wanted) {
  evidence e(std::move(promise));
  const cell* const c = find(r.find("round-trip"), label);
  if (c == nullptr) {
    e.lacks("round-trip not run");
    return e.judged();
  }
  const series* const bare = c->of(limit);
  for (const std::string_view ours : {"mpmc_ring", "spsc_ring"}) {
    const series* const first = fit(r, *c, "round-trip", ours, e);
    if (first == nullptr) continue;
    const auto s = bare == nullptr ? std::nullopt : r.ratio(*first, *bare);
    if (s) {
      e.add(s->median <= wanted, fmt::format("{} {}", ours, text_of(*s)));
    } else {
      e.lacks(fmt::format("{} not compared", ours));
    }
  }
  return e.judged();
}

// No CPU time but what it takes to start, to fall asleep, to look up every ten seconds and to wake at the
// end, in a system call each. The reader of a pipe, whom the kernel puts to sleep at once, is the measure.
finding asleep(const results& r) {
  constexpr double none = 1e-3;
  constexpr double long_enough = 9.5;
  evidence e("a blocked receiver: no CPU time (in 10 s less than 1 ms more than a pipe's)");
  const cell* const c = find(r.find("idle"), "blocked");
  if (c == nullptr) {
    e.lacks("idle not run");
    return e.judged();
  }
  const series* const pipe = c->of("pipe");
  const bool known = pipe != nullptr && !pipe->runs.empty() && pipe->fault().empty();
  double seconds = known ? pipe->runs.front().seconds : 0;
  for (const contender& who : r.who) {
    if (who.from != origin::ours || who.apart) continue;
    const series* const s = fit(r, *c, "idle", who.name, e);
    if (s == nullptr || !known) continue;
    const outcome& o = s->runs.front();
    seconds = std::min(seconds, o.seconds);
    e.add(o.receivers < pipe->runs.front().receivers + none, fmt::format("{} {:.0f} us", who.name, 1e6 * o.receivers));
  }
  if (known) e.mention(fmt::format("pipe {:.0f} us; in {:.1f} s", 1e6 * pipe->runs.front().receivers, seconds));
  if (seconds < long_enough) e.lacks("too short to tell");
  return e.judged();
}

// The ratio of one of ours in one cell to itself in another; what is not there goes into `e`.
std::optional<spread> between_cells(const results& r, std::string_view key, std::string_view first,
                                    std::string_view second, std::string_view name, evidence& e) {
  const cell* const a = find(r.find(key), first);
  const cell* const b = find(r.find(key), second);
  if (a == nullptr || b == nullptr) {
    e.lacks(fmt::format("{} not run", key));
    return std::nullopt;
  }
  const series* const one = fit(r, *a, key, name, e);
  const series* const other = fit(r, *b, key, name, e);
  if (one == nullptr || other == nullptr) return std::nullopt;
  const auto s = r.ratio(*one, *other);
  if (!s) e.lacks(fmt::format("{} not compared", key));
  return s;
}

finding batches(const results& r) {
  evidence e("mpmc_ring, batches of 64: at least 3 times single messages");
  for (const std::string_view key : {"batches", "batches-2P2C"}) {
    const auto s = between_cells(r, key, "64", "1", "mpmc_ring", e);
    if (s) e.add(s->median >= 3, fmt::format("{} {}", key, text_of(*s)));
  }
  return e.judged();
}

finding no_collapse(const results& r) {
  evidence e("mpmc_ring, 16P16C: at least half of 2P2C, and every worker makes progress");
  for (const std::string_view key : {"threads", "processes"}) {
    const auto s = between_cells(r, key, "16P16C", "2P2C", "mpmc_ring", e);
    if (!s) continue;
    double share = 1;
    for (const outcome& o : find(r.find(key), "16P16C")->of("mpmc_ring")->runs) share = std::min(share, o.least_share);
    e.add(s->median >= 0.5 && (share > 0 || r.spent.realtime),
          fmt::format("{} {}, {}", key, text_of(*s),
                      r.spent.realtime ? "progress not judged: --realtime has no time slices"
                                       : fmt::format("slowest worker {:.0f} % of the average", 100 * share)));
  }
  return e.judged();
}

}  // namespace

std::string_view to_string(verdict v) noexcept {
  return v == verdict::met ? "met" : v == verdict::not_met ? "not met" : "not measured";
}

std::vector<finding> judge(const results& r) {
  return {
      of_all_topologies(r, "mpmc_ring, every topology: not behind any FIFO peer for many", is_general_fifo, 1.0),
      of_all_topologies(r, "mpmc_ring, every topology: at least 0.9 of the plain Vyukov ring", named("plain Vyukov"),
                        0.9),
      of_all_topologies(r, "mpmc_ring, every topology: at least 5 times Boost.Lockfree", named("Boost.Lockfree queue"),
                        5),
      of_all_topologies(r, "mpmc_ring, every topology: at least 4 times Boost.Interprocess",
                        named("Boost.Interprocess"), 4),
      of_all_topologies(r, "mpmc_ring, every topology: at least 20 times POSIX mq", named("POSIX mq"), 20),
      spsc_against(r, "spsc_ring, 1P1C: at least the best peer", is_peer),
      spsc_against(r, "spsc_ring, 1P1C: at least the plain cached-index ring", named("plain cached SPSC")),
      large_messages(r),
      members(r),
      batches(r),
      trips(r, "round trip, spinning: within 1.25 times two bare lines", "tries, spinning", "limit: bare lines", 1.25),
      trips(r, "round trip, sleeping: within 1.2 times two bare futexes", "blocking calls, the other asleep",
            "limit: bare futexes", 1.2),
      asleep(r),
      no_collapse(r),
  };
}

}  // namespace millrace::bench
