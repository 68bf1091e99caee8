// Mutants of the shipped headers: the model that kills one is the scenario that explains it.
#include <fmt/format.h>

#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "verify/explain/explainable.h"
#include "verify/explain/source.h"
#include "verify/model/models.h"

namespace verify::explain {

namespace {

std::optional<layout> of_bare_ring(std::string_view kind, std::size_t capacity, std::size_t members) {
  if (kind == "mpmc_ring") return mpmc_layout(capacity, members);
  if (kind == "spsc_ring") return spsc_layout(capacity);
  if (kind == "mutex_ring") return mutex_ring_layout(capacity);
  if (kind == "growing_ring") return growing_ring_layout(capacity);
  if (kind == "semaphore_ring") return semaphore_ring_layout(capacity);
  if (kind == "rendezvous_ring") return rendezvous_ring_layout(members);
  if (kind == "broadcast_ring") return broadcast_ring_layout(capacity, members);
  return {};
}

// Of a ring, or a channel of one, and its members' roster; none if there is no such kind.
std::optional<layout> of_ring(std::string_view kind, std::size_t capacity, std::size_t members) {
  constexpr std::string_view channel = " channel";
  const bool is_channel = kind.ends_with(channel);
  if (is_channel) kind.remove_suffix(channel.size());
  std::optional<layout> ring = of_bare_ring(kind, capacity, members);
  if (!ring) return {};
  return with_roster(is_channel ? with_attendance(*std::move(ring), members) : *std::move(ring), members);
}

}  // namespace

layout layout_of(const model& m, std::size_t threads) {
  const std::map<std::string, layout> by_title{
      {"spsc_ring.safety.large", with_roster(spsc_layout(2, 1), 2)},
      {"spsc_ring.safety.large_producer_replaced", with_roster(spsc_layout(3, 1), 2)},
      {"event_count.liveness.sleeps", event_layout({})},
      {"event_count.liveness.gives_up", event_layout({})},
      {"event_count.liveness.to_and_fro", event_layout({{"turn", number}})},
      {"pollable.liveness.finds_nothing", lookout_words(event_layout({}))},
      {"pollable.liveness.stops", lookout_words(event_layout({}))},
      {"pollable.liveness.ends", lookout_words(of_ring("mpmc_ring channel", 1, 2).value())},
  };
  if (const auto its_own = by_title.find(m.title()); its_own != by_title.end()) return its_own->second;
  const std::size_t members = threads + m.held;
  const std::string& kind = m.kind.empty() ? m.about : m.kind;
  if (std::optional<layout> ring = of_ring(kind, m.capacity, members)) {
    return m.about == "select" ? two_of(*ring) : *std::move(ring);
  }
  if (m.about == "attendance" && m.capacity != 0) return of_ring("mpmc_ring channel", m.capacity, members).value();
  if (m.about == "attendance") return with_roster(attendance_words(members), members);
  if (m.about == "robust_mutex") return with_roster(robust_mutex_words(), members);
  if (m.about == "semaphore") return semaphore_words();
  if (m.about == "event_count") return event_layout({{"ready", number}, {"datum", number}});
  if (m.about == "pollable") return lookout_words(boxes_of_coins());
  throw std::runtime_error(fmt::format("{}: where its variables lie is not known: add it to layout_of", m.title()));
}

const std::vector<mutant>& header_mutants() {
  static const std::vector<mutant> all = [] {
    std::vector<mutant> some;
    for (const std::string_view file : library_headers()) {
      for (mutant& m : mutants_of(std::string(file), std::string(source_of(file)))) some.push_back(std::move(m));
    }
    return some;
  }();
  return all;
}

explainable of_mutant(const mutant& m) {
  if (!m.reason.empty()) {
    throw std::runtime_error(fmt::format("{}: no model fails, and none has to: {}", m.name(), m.reason));
  }
  static const models all = all_models();
  const judgement j = judge(m, all);
  switch (j.how) {
    case judgement::fate::killed:
      break;
    case judgement::fate::crashed:
      throw std::runtime_error(
          fmt::format("{}: it crashes {} (signal {}): no execution to tell", m.name(), j.by->title(), j.signal));
    case judgement::fate::endless:
      throw std::runtime_error(fmt::format("{}: {} does not end: no execution to tell", m.name(), j.by->title()));
    case judgement::fate::survived:
      throw std::runtime_error(fmt::format("{}: no model fails: run //verify/mutants:score", m.name()));
  }
  const std::size_t threads = j.by->make()->threads();
  explainable e{.name = m.name(),
                .what = fmt::format("{}:{}: {}, under {} ({})", m.file, m.line, m.change, j.by->title(), j.by->does),
                .expected = j.what,
                .make = j.by->make,
                .fails_in = j.how_found,
                .change = m.at_run_time,
                .change_in_source = m.in_source,
                .memory = layout_of(*j.by, threads),
                .why = fmt::format("In {}, line {}, “{}”: {}.", m.file, m.line, m.text, m.change)};
  e.change.file = m.file;
  for (std::size_t i = 0; i != threads; ++i) e.threads.emplace_back(1, static_cast<char>('A' + i));
  e.threads.emplace_back("afterwards");
  return e;
}

}  // namespace verify::explain
