// Runs each ring between real processes, and shows what arrives and what does not.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "verify/races/history.h"
#include "verify/races/naive_ring.h"
#include "verify/races/processes.h"
#include "verify/races/rings.h"
#include "verify/races/segments.h"

namespace millrace::races {
namespace {

constexpr int as_promised = 0;
constexpr int not_as_promised = 1;
constexpr int bad_input = 2;

constexpr std::uint64_t most_messages = 20'000'000;

struct request {
  plan each;
  std::string ring = "all";
  bool list = false;
  bool json = false;
};

struct verdict {
  const contender* ring;
  outcome run;
  damage found;

  bool broken() const { return found.any() || run.hung || !run.died.empty(); }
  double ns_per_message() const {
    const std::uint64_t n = run.notes.total_received();
    return n == 0 ? 0 : std::chrono::duration<double, std::nano>(run.took).count() / static_cast<double>(n);
  }
};

CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  return CLI::Validator(
      [=](std::string& given) -> std::string {
        std::uint64_t value = 0;
        const auto [end, wrong] = std::from_chars(given.data(), given.data() + given.size(), value);
        if (wrong == std::errc{} && end == given.data() + given.size() && value >= least && value <= most) return {};
        return fmt::format("expected a whole number from {} to {}, got {}; see --help", least, most, given);
      },
      fmt::format("{}..{}", least, most));
}

std::string wrong_with_ring(const std::string& name) {
  std::string known = "all";
  for (const contender& c : contenders()) known += fmt::format(", {}", c.name);
  for (const contender& c : contenders()) {
    if (name == c.name) return {};
  }
  return name == "all" ? "" : fmt::format("expected one of {}, got {}; see --list", known, name);
}

std::string wrong_with_name(const std::string& name) {
  constexpr std::size_t longest = 200;
  if (!name.empty() && name.size() <= longest && name != "." && name != ".." && name.find('/') == std::string::npos)
    return {};
  return fmt::format("expected 1 to {} characters without a slash, got '{}'; try --name ticks", longest, name);
}

// The exit status, where there is nothing to run.
std::optional<int> parse(int argc, char** argv, request& r) {
  CLI::App app(
      "Several processes push and pop through one ring in shared memory; the textbook's rings damage what\n"
      "they carry, the library's do not. Exit status: 0 if so, 1 if not, 2 for bad input.");
  double seconds = 5;
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
  app.add_option("--seconds", seconds, "stop sending after this long, for each ring")
      ->check(CLI::Range(0.01, 3600.0))
      ->capture_default_str();
  app.add_option("--capacity", r.each.ends.capacity,
                 "messages a ring holds (default: the naive ones 4, as in the textbook, the others 8)")
      ->check(whole_number(1, 1u << 20));
  app.add_option("--ring", r.ring, "which ring to run, or all")
      ->check(CLI::Validator([](std::string& s) { return wrong_with_ring(s); }, "NAME"))
      ->capture_default_str();
  app.add_option("--name", name,
                 "put the library's rings in POSIX shared memory of this name (default: without a name)")
      ->check(CLI::Validator([](std::string& s) { return wrong_with_name(s); }, "NAME"));
  app.add_option("--seed", r.each.seed, "what payloads and the moments of jostling are derived from")
      ->check(whole_number(0, UINT64_MAX))
      ->capture_default_str();
  app.add_flag("--list", r.list, "list the rings");
  app.add_flag("--json", r.json, "print JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    fmt::print(stderr, "demo: {}\n", e.what());
    return bad_input;
  }
  if (r.each.items * r.each.ends.producers > most_messages) {
    fmt::print(stderr, "demo: --items x --producers: expected at most {}, got {}; ask for fewer --items\n",
               most_messages, r.each.items * r.each.ends.producers);
    return bad_input;
  }
  r.each.most = std::chrono::duration<double>(seconds);
  if (!name.empty()) r.each.name = name;
  return std::nullopt;
}

// One line on a terminal, overwritten as the run goes on.
class progress_line {
 public:
  explicit progress_line(std::string_view ring) : ring_(ring), shown_(isatty(STDERR_FILENO) == 1) {}
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;
  ~progress_line() {
    if (shown_) fmt::print(stderr, "\r\x1b[K");
  }
  void operator()(const notebook& n) const {
    if (shown_) fmt::print(stderr, "\r\x1b[K{}: {} sent, {} received", ring_, n.total_sent(), n.total_received());
  }

 private:
  std::string_view ring_;
  bool shown_;
};

bool crowded(const plan& p) { return p.ends.producers > 1 || p.ends.consumers > 1; }

bool as_expected(const verdict& v, const plan& p) {
  if (v.ring->shipped) return !v.broken();
  return v.broken() || !crowded(p);
}

std::string in_a_word(const verdict& v) {
  if (!v.run.died.empty()) return "BROKEN";
  if (v.run.hung) return "HUNG";
  if (v.found.any()) return "DAMAGED";
  return v.ring->shipped ? "clean" : "appears to work";
}

void print_table_head() {
  fmt::print("{:<15} {:>9} {:>9} {:>8} {:>10} {:>8} {:>9} {:>4} {:>10}  {}\n", "ring", "sent", "received", "lost",
             "duplicated", "torn", "reordered", "hung", "ns/message", "verdict");
}

void print_row(const verdict& v) {
  fmt::print("{:<15} {:>9} {:>9} {:>8} {:>10} {:>8} {:>9} {:>4} {:>10.0f}  {}\n", v.ring->name,
             v.run.notes.total_sent(), v.run.notes.total_received(), v.found.lost, v.found.duplicated, v.found.torn,
             v.found.reordered, v.run.hung ? "yes" : "no", v.ns_per_message(), in_a_word(v));
  if (!v.run.died.empty()) fmt::print("  {}\n", v.run.died);
  std::fflush(stdout);
}

// One concrete stretch of damage, and the line behind it.
struct story {
  std::string text;
  source_line blamed{};
};

struct write_to_slot {
  departure when;
  std::uint64_t producer;
  std::uint64_t sequence;
  bool arrived;
};

// Of two producers' writes to one slot, next to each other, the pair closest in
// time of which only the second arrived.
std::optional<story> find_overwritten(const verdict& v, const history& h) {
  const auto arrivals = count_arrivals(h);
  std::map<std::uint32_t, std::vector<write_to_slot>> by_slot;
  for (std::uint32_t p = 0; p != h.sent.size(); ++p) {
    const auto log = v.run.notes.departures(p);
    for (std::uint64_t s = 0; s != h.sent[p]; ++s) by_slot[log[s].slot].push_back({log[s], p, s, arrivals[p][s] != 0});
  }
  std::uint64_t closest = UINT64_MAX;
  std::optional<story> found;
  for (auto& [slot, writes] : by_slot) {
    std::ranges::sort(writes, {}, [](const write_to_slot& w) { return w.when.at_ns; });
    for (std::size_t i = 0; i + 1 < writes.size(); ++i) {
      const write_to_slot& first = writes[i];
      const write_to_slot& second = writes[i + 1];
      const std::uint64_t apart = second.when.at_ns - first.when.at_ns;
      if (first.producer == second.producer || first.arrived || !second.arrived || apart >= closest) continue;
      closest = apart;
      found = story{fmt::format("slot {}: producer {} wrote {}, producer {} overwrote it with {} (noted {} ns apart); "
                                "producer {}'s {} never arrived",
                                slot, first.producer + 1, first.sequence, second.producer + 1, second.sequence, apart,
                                first.producer + 1, first.sequence),
                    naive_ring<parcel>::blamed_for_in};
    }
  }
  return found;
}

std::string who(const std::vector<std::uint64_t>& consumers) {
  if (consumers[0] == consumers[1]) return fmt::format("consumer {} took it twice", consumers[0] + 1);
  return fmt::format("consumer {} took it, and so did consumer {}", consumers[0] + 1, consumers[1] + 1);
}

std::optional<story> find_duplicated(const verdict& v, const history& h) {
  const auto arrivals = count_arrivals(h);
  for (std::uint32_t p = 0; p != h.sent.size(); ++p) {
    for (std::uint32_t s = 0; s != h.sent[p]; ++s) {
      if (arrivals[p][s] < 2) continue;
      std::vector<std::uint64_t> takers;
      for (std::size_t c = 0; c != h.received.size(); ++c) {
        takers.insert(takers.end(), static_cast<std::size_t>(std::ranges::count(h.received[c], arrival{p, s})), c);
      }
      return story{
          fmt::format("slot {}: producer {} wrote {}; {}", v.run.notes.departures(p)[s].slot, p + 1, s, who(takers)),
          naive_ring<parcel>::blamed_for_out};
    }
  }
  return std::nullopt;
}

std::optional<story> find_lost(const verdict& v, const history& h) {
  const auto arrivals = count_arrivals(h);
  for (std::uint32_t p = 0; p != h.sent.size(); ++p) {
    const auto lost = std::ranges::find(arrivals[p], 0u);
    if (lost == arrivals[p].end()) continue;
    const auto s = static_cast<std::uint64_t>(lost - arrivals[p].begin());
    const bool many_producers = h.sent.size() > 1;
    return story{fmt::format("slot {}: producer {} wrote {}; it never arrived whole", v.run.notes.departures(p)[s].slot,
                             p + 1, s),
                 many_producers ? naive_ring<parcel>::blamed_for_in : naive_ring<parcel>::blamed_for_out};
  }
  return std::nullopt;
}

void print_story(const verdict& v) {
  const history h = v.run.notes.read();
  auto told = find_overwritten(v, h);
  if (!told) told = find_duplicated(v, h);
  if (!told) told = find_lost(v, h);
  if (!told) return;
  fmt::print("\n{}: {}\n  verify/races/naive_ring.h:{}: {}\n", v.ring->name, told->text, told->blamed.number,
             told->blamed.text);
  fmt::print(
      "  to read the index, use the slot and advance the index are three steps; another process gets in between\n");
}

void print_luck() {
  fmt::print(
      "\nWith one producer and one consumer each index has one writer, and the naive rings appear to work. That is\n"
      "luck: nothing orders the message before the index. This compiler and this processor happened to keep the\n"
      "stores in order; another may not (plain and volatile indices), and a second producer or consumer breaks all\n"
      "three: try --producers 2.\n");
}

void print_json(const request& r, const std::vector<verdict>& all, bool good) {
  fmt::print("{{\"producers\": {}, \"consumers\": {}, \"items\": {}, \"seed\": {}, \"as_promised\": {}, \"rings\": [",
             r.each.ends.producers, r.each.ends.consumers, r.each.items, r.each.seed, good);
  const char* comma = "";
  for (const verdict& v : all) {
    fmt::print(
        "{}\n  {{\"ring\": \"{}\", \"shipped\": {}, \"sent\": {}, \"received\": {}, \"lost\": {}, \"duplicated\": {}, "
        "\"torn\": {}, \"reordered\": {}, \"hung\": {}, \"died\": \"{}\", \"ns_per_message\": {:.1f}, \"verdict\": "
        "\"{}\"}}",
        comma, v.ring->name, v.ring->shipped, v.run.notes.total_sent(), v.run.notes.total_received(), v.found.lost,
        v.found.duplicated, v.found.torn, v.found.reordered, v.run.hung, v.run.died, v.ns_per_message(), in_a_word(v));
    comma = ",";
  }
  fmt::print("\n]}}\n");
}

void print_list() {
  for (const contender& c : contenders())
    fmt::print("{:<15} {}{}\n", c.name, c.shipped ? "" : "(wrong on purpose) ", c.about);
}

int report(const request& r, const std::vector<verdict>& all) {
  const bool good = std::ranges::all_of(all, [&](const verdict& v) { return as_expected(v, r.each); });
  if (r.json) {
    print_json(r, all, good);
    return good ? as_promised : not_as_promised;
  }
  bool lucky = false;
  for (const verdict& v : all) {
    if (v.ring->shipped) continue;
    if (v.broken()) print_story(v);
    lucky = lucky || !v.broken();
  }
  if (lucky && !crowded(r.each)) print_luck();
  if (lucky && crowded(r.each)) fmt::print("\nA naive ring got through, by luck: ask for more --items.\n");
  return good ? as_promised : not_as_promised;
}

int demonstrate(const request& r) {
  std::vector<verdict> all;
  for (const contender& c : contenders()) {
    if (r.ring != "all" && r.ring != c.name) continue;
    const progress_line progress(c.name);
    auto done = run(c, r.each, [&](const notebook& n) { progress(n); });
    if (!done) {
      fmt::print(stderr, "demo: {}\n", done.error().message);
      return bad_input;
    }
    // Everything is cleaned up by now; end as the signal would have had it.
    if (done->interrupted != 0) raise(done->interrupted);
    const damage found = judge(done->notes.read());
    all.push_back({&c, *std::move(done), found});
    if (!r.json && all.size() == 1) print_table_head();
    if (!r.json) print_row(all.back());
  }
  return report(r, all);
}

}  // namespace
}  // namespace millrace::races

int main(int argc, char** argv) {
  using namespace millrace::races;
  request r;
  r.each.items = 300'000;
  if (const auto status = parse(argc, argv, r)) return *status;
  if (r.list) {
    print_list();
    return as_promised;
  }
  sweep();
  return demonstrate(r);
}
