#include "verify/races/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string>

#include "tools/command_line.h"

namespace millrace::races {
namespace {

constexpr std::uint64_t most_messages = 20'000'000;
constexpr double longest_run = 3600;

// By default all rings together are done within a minute, however many there
// are, and however many of them hang.
double default_seconds(std::size_t rings) { return std::min(5.0, 40.0 / static_cast<double>(rings)); }

using command_line::reads_as;
using command_line::refuse;
using command_line::whole_number;

CLI::Validator duration() {
  return CLI::Validator(
      [](const std::string& given) -> std::string {
        double value = 0;
        if (reads_as(given, value) && value >= 0.01 && value <= longest_run) return {};
        return fmt::format("expected a number of seconds from 0.01 to {}, found '{}'", longest_run, given);
      },
      fmt::format("0.01..{}", longest_run));
}

CLI::Validator known_ring() {
  return CLI::Validator(
      [](const std::string& given) -> std::string {
        std::string known = "all";
        for (const contender& c : contenders()) known += fmt::format(", {}", c.name);
        if (given == "all" || std::ranges::any_of(contenders(), [&](const contender& c) { return c.name == given; })) {
          return {};
        }
        return fmt::format("expected one of {}; found '{}'", known, given);
      },
      "NAME");
}

CLI::Validator segment_name() {
  return CLI::Validator(
      [](const std::string& given) -> std::string {
        constexpr std::size_t longest = 200;
        const bool printable = std::ranges::none_of(given, [](unsigned char c) { return c < 32 || c == 127; });
        if (!given.empty() && given.size() <= longest && given != "." && given != ".." &&
            given.find('/') == std::string::npos && printable) {
          return {};
        }
        return fmt::format("expected 1 to {} printable characters without a slash, found {}; try --name ticks", longest,
                           printable && given.size() <= longest ? fmt::format("'{}'", given)
                                                                : fmt::format("{} characters", given.size()));
      },
      "NAME");
}

}  // namespace

std::optional<int> parse(int argc, char** argv, request& r) {
  CLI::App app(
      "Several processes push and pop through one ring in shared memory; the rings that are broken on purpose\n"
      "damage what they carry, the library's do not.",
      "demo");
  app.footer(
      "Exit status: 0 if every broken ring was damaged and every shipped ring is clean; 1 if not; 2 for bad input.\n"
      "With one producer and one consumer a broken ring may seem to work: that is luck, and does not count.\n"
      "Ended by SIGINT, SIGTERM, SIGHUP or SIGQUIT it leaves no process and no memory; what is left after another\n"
      "signal, such as SIGKILL, the next run removes.");
  r.each.items = 300'000;
  double seconds = 0;
  std::string ring = "all";
  std::string name;
  app.add_option("--producers", r.each.ends.producers, "processes that push")
      ->check(whole_number(1, 64))
      ->capture_default_str();
  app.add_option("--consumers", r.each.ends.consumers, "processes that pop")
      ->check(whole_number(1, 64))
      ->capture_default_str();
  app.add_option("--items", r.each.items, "messages for each producer to send")
      ->check(whole_number(1, most_messages))
      ->capture_default_str();
  app.add_option("--seconds", seconds,
                 fmt::format("stop sending after this long, for each ring (default: {:g}, less with more rings)",
                             default_seconds(1)))
      ->check(duration());
  app.add_option("--capacity", r.each.ends.capacity,
                 "messages a ring holds (default: the broken ones 4, as in the textbook, the others 8)")
      ->check(whole_number(1, 1u << 20));
  app.add_option("--ring", ring, "which ring to run, or all")->check(known_ring())->capture_default_str();
  app.add_option("--name", name,
                 "put the library's rings in POSIX shared memory of this name (default: without a name)")
      ->check(segment_name());
  app.add_option("--seed", r.each.seed, "what payloads and the moments of jostling are derived from")
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str();
  app.add_flag("--list", r.list, "list the rings, and run none");
  app.add_flag("--json", r.json, "print JSON and nothing else");
  if (const auto status = command_line::parse(app, argc, argv)) return status;
  if (r.each.items * r.each.ends.producers > most_messages) {
    return refuse(app,
                  fmt::format("--items x --producers: expected at most {} messages, found {}; ask for fewer --items",
                              most_messages, r.each.items * r.each.ends.producers));
  }
  for (const contender& c : contenders()) {
    if (ring == "all" || ring == c.name) r.rings.push_back(&c);
  }
  r.each.most = std::chrono::duration<double>(seconds > 0 ? seconds : default_seconds(r.rings.size()));
  if (!name.empty()) r.each.name = name;
  return std::nullopt;
}

}  // namespace millrace::races
