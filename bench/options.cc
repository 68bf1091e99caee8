#include "bench/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <string>
#include <vector>

#include "bench/machine.h"
#include "tools/command_line.h"

namespace millrace::bench {

std::optional<int> parse(int argc, const char* const* argv, const std::vector<contender>& all, request& r) {
  command_line line(
      "compare", "The rings beside other queues on the same work, in interleaved runs; every message is checked.",
      "Exit status: 0; 1 if a queue lost, doubled or damaged messages, or one of ours reordered them; 2 for bad "
      "input.\n"
      "A figure that misses what is promised is said so, and is no failure: the machine has its part in it.");
  const std::vector<section> sections = plan();
  bool in_short = false;
  bool realtime = false;
  std::optional<unsigned> passes;
  std::optional<unsigned> window;
  std::vector<std::string> keys;
  for (const section& s : sections) keys.push_back(s.key);
  std::vector<std::string> only;
  std::vector<std::string> names;
  for (const contender& c : all) names.emplace_back(c.name);
  std::vector<std::string> queues;
  line.flag("--quick", in_short, "under a minute, less sure, and not all sections");
  line.number("--passes", passes, 1, 1000,
              fmt::format("runs of each queue at each work; the median counts (default: {}, or {})", thorough.passes,
                          quick.passes));
  line.number("--window", window, 1, 60'000,
              fmt::format("milliseconds of one run, more with many workers (default: {}, or {})",
                          thorough.window.count(), quick.window.count()));
  line.flag("--realtime", realtime, "the rest of a busy machine waits while a run is under way (for root)");
  line.choices("--only", only, keys, "sections to run");
  line.choices("--queues", queues, names, "the only ones to run");
  line.text("--json", r.json, "FILE", "write everything there, too");
  if (const auto status = line.parse(argc, argv)) return status;
  r.spend = in_short ? quick : thorough;
  if (passes) r.spend.passes = *passes;
  if (realtime && !take_rank(1)) return line.refuse("--realtime: not allowed here; run it as root, or leave it out");
  r.spend.realtime = realtime;
  if (window) r.spend.window = std::chrono::milliseconds(*window);
  for (const section& s : sections) {
    const bool named = std::ranges::find(only, s.key) != only.end();
    if (only.empty() ? s.brief || !in_short : named) r.sections.push_back(s);
  }
  std::ranges::copy_if(all, std::back_inserter(r.who), [&](const contender& c) {
    return queues.empty() || std::ranges::find(queues, c.name) != queues.end();
  });
  return std::nullopt;
}

}  // namespace millrace::bench
