#include "bench/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <string>

#include "bench/machine.h"
#include "tools/command_line.h"

namespace millrace::bench {
namespace {

using command_line::refuse;
using command_line::whole_number;

CLI::Validator known_section(const std::vector<section>& all) {
  return CLI::Validator(
      [&all](const std::string& given) -> std::string {
        std::string known;
        for (const section& s : all) {
          if (s.key == given) return {};
          known += (known.empty() ? "" : ", ") + s.key;
        }
        return fmt::format("expected one of {}; found '{}'", known, given);
      },
      "SECTION");
}

}  // namespace

std::optional<int> parse(int argc, const char* const* argv, request& r) {
  CLI::App app("The rings beside other queues on the same work, in interleaved runs; every message is checked.",
               "compare");
  app.footer(
      "Exit status: 0; 1 if a queue lost, doubled or damaged messages; 2 for bad input.\n"
      "A figure that misses what is promised is said so, and is no failure: the machine has its part in it.");
  const std::vector<section> all = plan();
  bool in_short = false;
  bool realtime = false;
  unsigned passes = 0;
  unsigned window = 0;
  std::vector<std::string> only;
  app.add_flag("--quick", in_short, "about a minute, less sure, and not all sections");
  app.add_option("--passes", passes,
                 fmt::format("runs of each queue at each work; the median counts (default: {}, or {})", thorough.passes,
                             quick.passes))
      ->check(whole_number(1, 1000));
  app.add_option("--window", window,
                 fmt::format("milliseconds of one run, more with many workers (default: {}, or {})",
                             thorough.window.count(), quick.window.count()))
      ->check(whole_number(1, 60'000));
  app.add_flag("--realtime", realtime, "the rest of a busy machine waits while a run is under way (for root)");
  app.add_option("--only", only, "sections to run")->check(known_section(all))->delimiter(',');
  app.add_option("--json", r.json, "write everything there, too")->type_name("FILE");
  if (const auto status = command_line::parse(app, argc, argv)) return status;
  r.spend = in_short ? quick : thorough;
  if (passes != 0) r.spend.passes = passes;
  if (realtime && !take_rank(1)) return refuse(app, "--realtime: not allowed here; run it as root, or leave it out");
  r.spend.realtime = realtime;
  if (window != 0) r.spend.window = std::chrono::milliseconds(window);
  for (const section& s : all) {
    const bool named = std::ranges::find(only, s.key) != only.end();
    if (only.empty() ? s.brief || !in_short : named) r.sections.push_back(s);
  }
  return std::nullopt;
}

}  // namespace millrace::bench
