#include "verify/races/story.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

namespace millrace::races {
namespace {

using counts = std::vector<std::vector<std::uint32_t>>;

struct push_note {
  departure where;
  std::uint32_t producer;
  std::uint64_t sequence;
};

std::vector<push_note> all_pushes(const history& h) {
  std::vector<push_note> all;
  for (std::uint32_t p = 0; p != h.sent.size(); ++p) {
    for (std::uint64_t s = 0; s != h.sent[p]; ++s) all.push_back({h.pushed[p][s], p, s});
  }
  std::ranges::sort(all, {}, [](const push_note& n) { return std::tuple(n.where.at_ns, n.producer, n.sequence); });
  return all;
}

// Two producers' pushes, next to each other in time, into one slot, of which only
// the second arrived. In a ring of more than one slot the next push goes to the
// next slot: these two had read the same index. Of all such, the closest pair.
std::optional<story> find_overwritten(const history& h, const counts& arrivals, const flaw& wrong) {
  const std::vector<push_note> all = all_pushes(h);
  const push_note* found = nullptr;
  std::uint64_t closest = UINT64_MAX;
  for (std::size_t i = 0; i + 1 < all.size(); ++i) {
    const push_note& first = all[i];
    const push_note& second = all[i + 1];
    const std::uint64_t apart = second.where.at_ns - first.where.at_ns;
    if (first.where.slot != second.where.slot || first.producer == second.producer || apart >= closest) continue;
    if (arrivals[first.producer][first.sequence] != 0 || arrivals[second.producer][second.sequence] == 0) continue;
    closest = apart;
    found = &first;
  }
  if (found == nullptr) return std::nullopt;
  const push_note& first = found[0];
  const push_note& second = found[1];
  return story{fmt::format("slot {}: producer {} wrote {}, producer {} overwrote it with {}; {} never arrived\n"
                           "  (noted {} ns apart, with no push to another slot between them)",
                           first.where.slot, first.producer + 1, first.sequence, second.producer + 1, second.sequence,
                           first.sequence, closest),
               wrong.in_push};
}

std::string takers(const std::vector<std::size_t>& consumers) {
  if (consumers[0] == consumers[1]) return fmt::format("consumer {} took it twice", consumers[0] + 1);
  return fmt::format("consumer {} took it, and so did consumer {}", consumers[0] + 1, consumers[1] + 1);
}

std::optional<story> find_duplicated(const history& h, const counts& arrivals, const flaw& wrong) {
  for (std::uint32_t p = 0; p != h.sent.size(); ++p) {
    for (std::uint32_t s = 0; s != h.sent[p]; ++s) {
      if (arrivals[p][s] < 2) continue;
      std::vector<std::size_t> who;
      for (std::size_t c = 0; c != h.received.size(); ++c) {
        who.insert(who.end(), static_cast<std::size_t>(std::ranges::count(h.received[c], arrival{p, s})), c);
      }
      return story{fmt::format("slot {}: producer {} wrote {}; {}", h.pushed[p][s].slot, p + 1, s, takers(who)),
                   wrong.in_pop};
    }
  }
  return std::nullopt;
}

std::optional<story> find_lost(const history& h, const counts& arrivals, const flaw& wrong) {
  for (std::uint32_t p = 0; p != h.sent.size(); ++p) {
    const auto lost = std::ranges::find(arrivals[p], 0u);
    if (lost == arrivals[p].end()) continue;
    const auto s = static_cast<std::size_t>(lost - arrivals[p].begin());
    return story{fmt::format("slot {}: producer {} wrote {}; it never arrived whole", h.pushed[p][s].slot, p + 1, s),
                 h.sent.size() > 1 ? wrong.in_push : wrong.in_pop};
  }
  return std::nullopt;
}

}  // namespace

std::optional<story> tell(const history& h, const flaw& wrong) {
  const counts arrivals = count_arrivals(h);
  if (auto told = find_overwritten(h, arrivals, wrong)) return told;
  if (auto told = find_duplicated(h, arrivals, wrong)) return told;
  return find_lost(h, arrivals, wrong);
}

}  // namespace millrace::races
