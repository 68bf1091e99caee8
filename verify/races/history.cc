#include "verify/races/history.h"

#include <algorithm>
#include <cstddef>

namespace millrace::races {
namespace {

// SplitMix64's finaliser (Steele, Lea and Flood, 2014): every input bit reaches
// every output bit.
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

bool known(const history& h, const arrival& a) { return a.producer < h.sent.size() && a.sequence < h.sent[a.producer]; }

}  // namespace

parcel pack(std::uint64_t producer, std::uint64_t sequence, std::uint64_t seed) {
  parcel p{.producer = producer, .sequence = sequence, .payload = {}, .checksum = 0};
  std::uint64_t word = mix(seed ^ mix(producer ^ mix(sequence)));
  for (std::uint64_t& w : p.payload) {
    word = mix(word + 0x9e3779b97f4a7c15u);
    w = word;
    p.checksum = mix(p.checksum ^ w);
  }
  p.checksum = mix(p.checksum ^ mix(producer) ^ sequence);
  return p;
}

bool intact(const parcel& p, std::uint64_t seed) { return p == pack(p.producer, p.sequence, seed); }

std::vector<std::vector<std::uint32_t>> count_arrivals(const history& h) {
  std::vector<std::vector<std::uint32_t>> counts;
  for (const std::uint64_t n : h.sent) counts.emplace_back(n);
  for (const auto& log : h.received) {
    for (const arrival& a : log) {
      if (known(h, a)) ++counts[a.producer][a.sequence];
    }
  }
  return counts;
}

damage judge(const history& h) {
  damage d;
  for (const auto& producer : count_arrivals(h)) {
    for (const std::uint32_t times : producer) {
      if (times == 0) ++d.lost;
      if (times > 1) d.duplicated += times - 1;
    }
  }
  for (const auto& log : h.received) {
    // By producer: which messages this consumer has had, and the latest of them.
    // A second copy of one is a duplicate, not a message out of order.
    std::vector<std::vector<bool>> had;
    for (const std::uint64_t n : h.sent) had.emplace_back(n);
    std::vector<std::uint64_t> next(h.sent.size(), 0);
    for (const arrival& a : log) {
      if (!known(h, a)) {
        ++d.torn;
        continue;
      }
      if (!had[a.producer][a.sequence] && a.sequence < next[a.producer]) ++d.reordered;
      had[a.producer][a.sequence] = true;
      next[a.producer] = std::max<std::uint64_t>(next[a.producer], a.sequence + std::uint64_t{1});
    }
  }
  return d;
}

}  // namespace millrace::races
