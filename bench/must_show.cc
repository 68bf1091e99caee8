#include "bench/must_show.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <optional>
#include <string_view>

namespace millrace::bench {
namespace {

// The least ratio of `ours` to those that `counts` says, over some tables' cells.
class least {
 public:
  least(const results& r, std::string_view ours) : r_(r), ours_(ours) {}

  void over(
      std::string_view key, const std::function<bool(const series&)>& counts,
      const std::function<bool(const work&)>& where = [](const work&) { return true; }) {
    const table* t = r_.find(key);
    if (t == nullptr) return;
    for (const cell& c : t->cells) {
      const series* first = c.of(ours_);
      if (first == nullptr || !where(c.at.job)) continue;
      for (const series& other : c.all) {
        if (counts(other)) add(*t, c, *first, other);
      }
    }
  }

  finding against(std::string promise, double wanted) const {
    if (!found_) return {std::move(promise), {}, false};
    return {std::move(promise), fmt::format("{}{}", text_, below_.empty() ? "" : behind(wanted)), value_ >= wanted};
  }

 private:
  void add(const table& t, const cell& c, const series& first, const series& other) {
    const auto s = r_.ratio(first, other);
    if (!s) return;
    found_ = true;
    const std::string at = fmt::format("{} {}, {}", t.what.key, c.at.label, other.who->name);
    below_.push_back({s->median, fmt::format("{:.2f} ({})", s->median, at)});
    if (s->median >= value_) return;
    value_ = s->median;
    text_ = fmt::format("least {:.2f} ({:.2f} to {:.2f}): {}", s->median, s->low, s->high, at);
  }

  // How many others are too low as well.
  std::string behind(double wanted) const {
    const auto many = std::count_if(below_.begin(), below_.end(), [&](const auto& b) { return b.first < wanted; });
    return many == 0 ? "" : fmt::format("; {} of {} pairs below", many, below_.size());
  }

  const results& r_;
  std::string_view ours_;
  bool found_ = false;
  double value_ = std::numeric_limits<double>::infinity();
  std::string text_{};
  std::vector<std::pair<double, std::string>> below_{};
};

bool is_peer(const series& s) { return s.who->from == origin::peer || s.who->from == origin::kernel; }
bool is_general_fifo(const series& s) { return is_peer(s) && s.who->fifo && !s.who->one_to_one; }

std::function<bool(const series&)> named(std::string_view name) {
  return [name](const series& s) { return s.who->name == name; };
}

finding of_all_topologies(const results& r, std::string promise, const std::function<bool(const series&)>& counts,
                          double wanted) {
  least l(r, "mpmc_ring");
  l.over("threads", counts);
  l.over("processes", counts);
  return l.against(std::move(promise), wanted);
}

// The middle round trip, to that over what is bare.
finding trips(const results& r, std::string promise, std::string_view label, std::string_view limit, double wanted) {
  finding f{std::move(promise), {}, true};
  const table* t = r.find("round-trip");
  if (t == nullptr) return f;
  for (const cell& c : t->cells) {
    if (c.at.label != label) continue;
    for (const std::string_view ours : {"mpmc_ring", "spsc_ring"}) {
      const series* const first = c.of(ours);
      const series* const bare = c.of(limit);
      if (first == nullptr || bare == nullptr) continue;
      const auto s = r.ratio(*first, *bare);
      if (!s) continue;
      f.met = f.met && s->median <= wanted;
      f.measured += fmt::format("{}{} {:.2f} ({:.2f} to {:.2f})", f.measured.empty() ? "" : "; ", ours, s->median,
                                s->low, s->high);
    }
  }
  return f;
}

// No CPU time but what it takes to start, to fall asleep, to look up every ten seconds and to wake at the
// end, in a system call each. The reader of a pipe, whom the kernel puts to sleep at once, is the measure.
finding asleep(const results& r) {
  constexpr double none = 1e-3;
  finding f{"a blocked receiver: no CPU time (in 10 s less than 1 ms more than a pipe's)", {}, true};
  const table* t = r.find("idle");
  const series* const pipe = t == nullptr ? nullptr : t->cells.front().of("pipe");
  if (pipe == nullptr || pipe->runs.empty()) return f;
  const double least = pipe->runs.front().receivers;
  for (const series& s : t->cells.front().all) {
    if (s.who->from != origin::ours || s.runs.empty()) continue;
    const outcome& o = s.runs.front();
    f.met = f.met && o.failed.empty() && !o.stuck && o.receivers < least + none;
    f.measured += fmt::format("{}{} {:.0f} us", f.measured.empty() ? "" : "; ", s.who->name, 1e6 * o.receivers);
  }
  if (!f.measured.empty()) f.measured += fmt::format("; pipe {:.0f} us", 1e6 * least);
  return f;
}

finding spsc_against(const results& r, std::string promise, const std::function<bool(const series&)>& counts) {
  least l(r, "spsc_ring");
  l.over("threads", counts);
  l.over("processes", counts);
  return l.against(std::move(promise), 1.0);
}

std::optional<spread> between_cells(const results& r, std::string_view key, std::string_view first,
                                    std::string_view second, std::string_view name) {
  const table* t = r.find(key);
  if (t == nullptr) return std::nullopt;
  const series* a = nullptr;
  const series* b = nullptr;
  for (const cell& c : t->cells) {
    if (c.at.label == first) a = c.of(name);
    if (c.at.label == second) b = c.of(name);
  }
  if (a == nullptr || b == nullptr) return std::nullopt;
  return r.ratio(*a, *b);
}

finding members(const results& r) {
  least l(r, "mpmc_ring");
  l.over("members", named("mpmc_ring memberless"));
  return l.against("mpmc_ring: at least 0.95 of itself without members and what recovery costs a claim", 0.95);
}

finding batches(const results& r) {
  finding f{"mpmc_ring, batches of 64: at least 3 times single messages", {}, true};
  for (const std::string_view key : {"batches", "batches-2P2C"}) {
    const auto s = between_cells(r, key, "64", "1", "mpmc_ring");
    if (!s) continue;
    f.met = f.met && s->median >= 3;
    f.measured +=
        fmt::format("{}{} {:.2f} ({:.2f} to {:.2f})", f.measured.empty() ? "" : "; ", key, s->median, s->low, s->high);
  }
  return f;
}

finding no_collapse(const results& r) {
  finding f{"mpmc_ring, 16P16C: at least half of 2P2C, and every worker makes progress", {}, true};
  for (const std::string_view key : {"threads", "processes"}) {
    const auto s = between_cells(r, key, "16P16C", "2P2C", "mpmc_ring");
    if (!s) continue;
    double share = 1;
    for (const cell& c : r.find(key)->cells) {
      if (c.at.label != "16P16C") continue;
      for (const outcome& o : c.of("mpmc_ring")->runs) share = std::min(share, o.least_share);
    }
    f.met = f.met && s->median >= 0.5 && (share > 0 || r.spent.realtime);
    f.measured += fmt::format("{}{} {:.2f} ({:.2f} to {:.2f}), {}", f.measured.empty() ? "" : "; ", key, s->median,
                              s->low, s->high,
                              r.spent.realtime ? "progress not judged: --realtime has no time slices"
                                               : fmt::format("slowest worker {:.0f} % of the average", 100 * share));
  }
  return f;
}

}  // namespace

std::vector<finding> judge(const results& r) {
  least sizes(r, "spsc_ring");
  sizes.over("sizes", is_peer, [](const work& w) { return w.bytes >= 256; });
  const finding large = sizes.against("spsc_ring, 1P1C, 256 B to 4 KiB: not behind the best peer", 1.0);
  return {
      of_all_topologies(r, "mpmc_ring, every topology: not behind any FIFO peer", is_general_fifo, 1.0),
      of_all_topologies(r, "mpmc_ring, every topology: at least 0.9 of the plain Vyukov ring", named("plain Vyukov"),
                        0.9),
      of_all_topologies(r, "mpmc_ring, every topology: at least 5 times Boost.Lockfree", named("Boost.Lockfree queue"),
                        5),
      of_all_topologies(r, "mpmc_ring, every topology: at least 4 times Boost.Interprocess",
                        named("Boost.Interprocess"), 4),
      of_all_topologies(r, "mpmc_ring, every topology: at least 20 times POSIX mq", named("POSIX mq"), 20),
      spsc_against(r, "spsc_ring, 1P1C: at least the best peer", is_peer),
      spsc_against(r, "spsc_ring, 1P1C: at least the plain cached-index ring", named("plain cached SPSC")),
      large,
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
