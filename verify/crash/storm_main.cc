// Kills producers and consumers at random, for as long as asked, and says what was lost.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "tools/command_line.h"
#include "verify/crash/storm.h"

namespace millrace::crash {
namespace {

double share(std::vector<double> all, double part) {
  if (all.empty()) return 0;
  std::ranges::sort(all);
  return all[static_cast<std::size_t>(part * static_cast<double>(all.size() - 1))];
}

void print_row(const ring_type& ring, const toll& t) {
  fmt::print("{}: {} kills, {} messages received; {} died in a killed consumer's hands, {} were redelivered\n",
             ring.name, t.kills, t.received, t.sum.in_hands, t.sum.redelivered);
  fmt::print("{}: survivors' stall after a kill: median {:.0f} us, 99% {:.0f} us, longest {:.0f} us\n", ring.name,
             share(t.stalls, 0.5), share(t.stalls, 0.99), share(t.stalls, 1));
  if (!t.sum.even()) fmt::print("{}: {}\n", ring.name, t.sum.describe());
  for (const std::string& who : t.hung) fmt::print("{}: {}\n", ring.name, who);
}

int storm(int argc, char** argv) {
  command_line line(
      "storm",
      "Processes that push and pop are killed at random every few milliseconds, and replaced. Each message that a\n"
      "push has committed must reach one consumer, once.",
      "Exit status: 0 if nothing was lost or duplicated and nobody hung, 1 if not, 2 for bad input.");
  double seconds = 10;
  std::string ring = "all";
  std::optional<std::uint64_t> given_seed;
  std::vector<std::string> names{"all"};
  // A storm's books have one receiver a message.
  for (const ring_type& r : ring_types()) {
    if (!r.broadcasts) names.emplace_back(r.name);
  }
  line.number("--seconds", seconds, 0.1, 86400, "for each ring");
  line.choice("--ring", ring, names, "all that survive, or one; spin_ring and boost_ring do not, and must fail");
  line.number("--seed", given_seed, 0, UINT64_MAX, "of who is killed, and when (default: another one each time)");
  if (const auto status = line.parse(argc, argv)) return *status;
  const std::uint64_t seed = given_seed ? *given_seed : std::random_device()();
  fmt::print("--seed {}\n", seed);
  const bool shown = ::isatty(STDERR_FILENO) == 1;
  toll all;
  for (const ring_type& r : ring_types()) {
    if (ring == "all" ? r.mortal || r.broadcasts : ring != r.name) continue;
    const weather w{&r, std::chrono::duration<double>(seconds), seed};
    const toll t = rage(w, [&](const toll& now) {
      if (shown) fmt::print(stderr, "\r\x1b[K{}: {} kills", r.name, now.kills);
    });
    if (shown) fmt::print(stderr, "\r\x1b[K");
    print_row(r, t);
    std::fflush(stdout);
    all.kills += t.kills;
    all.sum += t.sum;
    all.hung.insert(all.hung.end(), t.hung.begin(), t.hung.end());
  }
  fmt::print("{} kills, {} lost, {} duplicated, {} hung\n", all.kills, all.sum.lost, all.sum.duplicated,
             all.hung.size());
  return all.good() ? 0 : 1;
}

}  // namespace
}  // namespace millrace::crash

int main(int argc, char** argv) try { return millrace::crash::storm(argc, argv); } catch (const std::exception& e) {
  std::fprintf(stderr, "storm: %s\n", e.what());
  return 1;
}
