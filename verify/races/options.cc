#include "verify/races/options.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tools/command_line.h"

namespace millrace::races {
namespace {

constexpr std::uint64_t most_messages = 20'000'000;
constexpr double longest_run = 3600;

// For each ring: all together are done within a minute, however many of them hang.
constexpr double default_seconds = 5;

std::string wrong_with_name(const std::string& given) {
  constexpr std::size_t longest = 200;
  const bool printable = std::ranges::none_of(given, [](unsigned char c) { return c < 32 || c == 127; });
  if (!given.empty() && given.size() <= longest && given != "." && given != ".." &&
      given.find('/') == std::string::npos && printable) {
    return {};
  }
  return fmt::format(
      "expected 1 to {} printable characters without a slash, found {}; try --name ticks", longest,
      printable && given.size() <= longest ? fmt::format("'{}'", given) : fmt::format("{} characters", given.size()));
}

}  // namespace

std::optional<int> parse(int argc, char** argv, request& r) {
  command_line line(
      "demo",
      "Several processes push and pop through one ring in shared memory; the rings that are broken on purpose\n"
      "damage what they carry, the library's do not.",
      "Exit status: 0 if every broken ring was damaged, every shipped ring is clean, and every mistake of the zoo "
      "shows;\n"
      "1 if not; 2 for bad input.\n"
      "With one producer and one consumer a broken ring may seem to work: that is luck, and does not count.\n"
      "Ended by SIGINT, SIGTERM, SIGHUP or SIGQUIT it leaves no process and no memory; what is left after another\n"
      "signal, such as SIGKILL, the next run removes.");
  r.each.items = 300'000;
  std::optional<double> seconds;
  std::optional<std::uint64_t> capacity;
  std::vector<std::string> names{"all"};
  for (const contender& c : contenders()) names.emplace_back(c.name);
  std::string ring = "all";
  std::string name;
  line.number("--producers", r.each.ends.producers, 1, 64, "processes that push");
  line.number("--consumers", r.each.ends.consumers, 1, 64, "processes that pop");
  line.number("--items", r.each.items, 1, most_messages, "messages for each producer to send");
  line.number("--seconds", seconds, 0.01, longest_run,
              fmt::format("stop sending after this long, for each ring (default: {:g})", default_seconds));
  line.number("--capacity", capacity, 1, 1u << 20,
              "messages a ring holds (default: the broken ones 4, as in the textbook, the others 8)");
  line.choice("--ring", ring, names, "which ring to run, or all");
  line.text("--name", name, "NAME",
            "put the library's rings in POSIX shared memory of this name (default: without a name)", wrong_with_name);
  line.number("--seed", r.each.seed, 0, UINT64_MAX, "what payloads and the moments of jostling are derived from");
  line.flag("--list", r.list, "list the rings, and run none");
  line.flag("--json", r.json, "print JSON and nothing else");
  if (const auto status = line.parse(argc, argv)) return status;
  if (r.each.items * r.each.ends.producers > most_messages) {
    return line.refuse(
        fmt::format("--items x --producers: expected at most {} messages, found {}; ask for fewer --items",
                    most_messages, r.each.items * r.each.ends.producers));
  }
  for (const contender& c : contenders()) {
    if (ring == "all" || ring == c.name) r.rings.push_back(&c);
  }
  if (capacity) r.each.ends.capacity = *capacity;
  r.each.most = std::chrono::duration<double>(seconds.value_or(default_seconds));
  if (!name.empty()) r.each.name = name;
  return std::nullopt;
}

}  // namespace millrace::races
