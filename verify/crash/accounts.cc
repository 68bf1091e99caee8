#include "verify/crash/accounts.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace millrace::crash {
namespace {

// By producer and sequence.
template <class T>
class tally {
 public:
  explicit tally(const std::vector<sender>& senders) {
    for (const sender& s : senders) all_.emplace_back(s.begun);
  }

  bool knows(const receipt& r) const { return r.producer < all_.size() && r.sequence < all_[r.producer].size(); }
  auto operator[](const receipt& r) { return all_[r.producer].begin() + r.sequence; }
  const std::vector<T>& of(std::size_t producer) const { return all_[producer]; }

 private:
  std::vector<std::vector<T>> all_;
};

std::uint64_t out_of_order(const std::vector<receipt>& log, const std::vector<sender>& senders,
                           const tally<std::uint8_t>& sent) {
  std::uint64_t found = 0;
  std::vector<std::uint64_t> next(senders.size(), 0);
  for (const receipt& r : log) {
    // A redelivered message had its turn when the dead consumer took it.
    if (!sent.knows(r) || r.redelivered != 0) continue;
    if (r.sequence + std::uint64_t{1} < next[r.producer]) ++found;  // the same one again is a duplicate
    next[r.producer] = std::max<std::uint64_t>(next[r.producer], r.sequence + std::uint64_t{1});
  }
  return found;
}

}  // namespace

receipt receipt_of(const races::parcel& m, bool redelivered, std::uint64_t seed) {
  receipt r;
  r.producer = receipt::nobody;
  if (!races::intact(m, seed)) return r;
  r.producer = static_cast<std::uint32_t>(m.producer);
  r.sequence = static_cast<std::uint32_t>(m.sequence) & 0x7fffffffu;
  r.redelivered = redelivered ? 1 : 0;
  return r;
}

balance& balance::operator+=(const balance& other) {
  lost += other.lost;
  duplicated += other.duplicated;
  torn += other.torn;
  reordered += other.reordered;
  in_hands += other.in_hands;
  redelivered += other.redelivered;
  return *this;
}

std::string balance::describe() const {
  std::string text;
  const auto add = [&](std::uint64_t n, std::string_view what) {
    if (n != 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, what);
  };
  add(lost, "lost");
  add(duplicated, "duplicated");
  add(torn, "torn");
  add(reordered, "reordered");
  return text;
}

balance settle(const books& b) {
  balance sum;
  tally<std::uint8_t> times(b.senders);  // how often received, up to 255
  tally<bool> held(b.senders);
  for (const receipt& r : b.in_hands) {
    if (times.knows(r)) *held[r] = true;  // a half-copied one is nothing yet
  }
  for (const auto& log : b.received) {
    for (const receipt& r : log) {
      if (!times.knows(r)) {
        ++sum.torn;
        continue;
      }
      sum.redelivered += r.redelivered;
      std::uint8_t& n = *times[r];
      if (n != 0) ++sum.duplicated;
      if (n != 0xff) ++n;
    }
    sum.reordered += out_of_order(log, b.senders, times);
  }
  for (std::size_t p = 0; p != b.senders.size(); ++p) {
    // Whatever comes before the last of those that arrived must have arrived.
    std::uint64_t due = b.senders[p].committed;
    for (std::uint64_t s = b.senders[p].begun; s > due; --s) {
      if (times.of(p)[s - 1] != 0 || held.of(p)[s - 1]) due = s;
    }
    for (std::uint64_t s = 0; s != due; ++s) {
      if (times.of(p)[s] != 0) continue;
      ++(held.of(p)[s] ? sum.in_hands : sum.lost);
    }
  }
  return sum;
}

}  // namespace millrace::crash
