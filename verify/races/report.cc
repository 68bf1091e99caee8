#include "verify/races/report.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

namespace millrace::races {
namespace {

bool crowded(const plan& p) { return p.ends.producers > 1 || p.ends.consumers > 1; }

bool all_as_expected(const request& r, const std::vector<verdict>& all) {
  return std::ranges::all_of(all, [&](const verdict& v) { return as_expected(v, r.each); });
}

std::string_view in_a_word(const verdict& v) {
  if (!v.died.empty()) return "BROKEN";
  if (!v.hung.empty()) return "HUNG";
  if (v.found.any()) return "DAMAGED";
  return v.ring->shipped() ? "clean" : "appears to work";
}

bool got_through(const verdict& v) { return !v.ring->shipped() && !v.damaged() && v.died.empty(); }

void print_example(const verdict& v) {
  fmt::print("\n{}: {}\n", v.ring->name, v.example->text);
  const source_line& blamed = v.example->blamed;
  fmt::print("  {}:{}: {}\n  {}\n", blamed.file, blamed.number, blamed.text, v.ring->wrong->why);
}

void print_why_alone(const std::vector<verdict>& all) {
  fmt::print("\nWith one producer and one consumer each index has a single writer.\n");
  for (const verdict& v : all) {
    if (got_through(v)) fmt::print("{} appears to work. {}\n", v.ring->name, v.ring->wrong->alone);
  }
  fmt::print("A second producer or consumer is all it takes to break it: try --producers 2.\n");
}

std::string counted(std::size_t part, std::size_t whole, std::string_view what, std::string_view are) {
  return fmt::format("{} of {} {} {}", part, whole, what, are);
}

void print_summary(const request& r, const std::vector<verdict>& all) {
  const auto count = [&](auto which) { return static_cast<std::size_t>(std::ranges::count_if(all, which)); };
  const std::size_t shipped = count([](const verdict& v) { return v.ring->shipped(); });
  const std::size_t clean = count([](const verdict& v) { return v.ring->shipped() && !v.damaged() && v.died.empty(); });
  const std::size_t caught = count([](const verdict& v) { return !v.ring->shipped() && v.damaged(); });
  std::string line;
  if (shipped != all.size()) line += counted(caught, all.size() - shipped, "broken rings", "caught");
  if (shipped != 0) line += (line.empty() ? "" : ", ") + counted(clean, shipped, "shipped rings", "clean");
  fmt::print("\n{}: {}\n", line, all_as_expected(r, all) ? "as promised" : "NOT as promised");
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string json_of(const std::optional<story>& told) {
  if (!told) return "null";
  return fmt::format("{{\"what\": {}, \"file\": {}, \"line\": {}, \"code\": {}}}", quoted(told->text),
                     quoted(told->blamed.file), told->blamed.number, quoted(told->blamed.text));
}

}  // namespace

bool as_expected(const verdict& v, const plan& p) {
  if (!v.died.empty()) return false;  // of something else
  if (v.ring->shipped()) return !v.damaged();
  return v.damaged() || !crowded(p);
}

bool as_expected(const scene& s) {
  if (s.repaired.what != fate::fine) return false;
  switch (s.shown->by(tool::processes).what) {
    case finding::damage:
      return s.wrong.what == fate::damaged;
    case finding::hang:
      return s.wrong.what == fate::hung;
    default:  // what works on this machine is promised nowhere
      return s.wrong.what != fate::stuck;
  }
}

void print_list(bool json) {
  std::string_view comma = "[";
  for (const contender& c : contenders()) {
    if (json) {
      fmt::print("{}\n  {{\"ring\": {}, \"shipped\": {}, \"about\": {}}}", comma, quoted(c.name), c.shipped(),
                 quoted(c.about));
      comma = ",";
    } else {
      fmt::print("{:<15} {:<8} {}\n", c.name, c.shipped() ? "shipped" : "broken", c.about);
    }
  }
  if (json) fmt::print("\n]\n");
}

void print_head(const request& r) {
  const auto several = [](std::uint64_t n, std::string_view what) {
    return fmt::format("{} {}{}", n, what, n == 1 ? "" : "s");
  };
  fmt::print("{} and {}, each a process, on {}; {} of {} bytes from each producer, or {:g} s of them\n\n",
             several(r.each.ends.producers, "producer"), several(r.each.ends.consumers, "consumer"),
             several(static_cast<std::uint64_t>(sysconf(_SC_NPROCESSORS_ONLN)), "core"),
             several(r.each.items, "message"), sizeof(parcel), r.each.most.count());
  fmt::print("{:<15} {:>9} {:>9} {:>8} {:>10} {:>8} {:>9} {:>4} {:>10}  {}\n", "ring", "sent", "received", "lost",
             "duplicated", "torn", "reordered", "hung", "ns/message", "verdict");
  std::fflush(stdout);
}

void print_row(const verdict& v) {
  fmt::print("{:<15} {:>9} {:>9} {:>8} {:>10} {:>8} {:>9} {:>4} {:>10.0f}  {}\n", v.ring->name, v.sent, v.received,
             v.found.lost, v.found.duplicated, v.found.torn, v.found.reordered, v.hung.empty() ? "no" : "yes",
             v.ns_per_message, in_a_word(v));
  if (!v.died.empty()) fmt::print("  {}\n", v.died);
  if (!v.hung.empty()) fmt::print("  {}\n", v.hung);
  std::fflush(stdout);
}

void print_end(const request& r, const std::vector<verdict>& all) {
  fmt::print(
      "(ns/message is no benchmark: but for boost_ring's, processes give up the core in mid-copy now and then)\n");
  for (const verdict& v : all) {
    if (v.example) print_example(v);
  }
  const bool lucky = std::ranges::any_of(all, got_through);
  if (lucky && !crowded(r.each)) print_why_alone(all);
  if (lucky && crowded(r.each)) fmt::print("\nA broken ring got through, by luck: ask for more --items.\n");
  print_summary(r, all);
}

void print_zoo(const std::vector<scene>& zoo) {
  if (zoo.empty()) return;
  fmt::print(
      "\nThe zoo: a mistake a row, acted out once between processes, and once on the shipped ring that repairs it.\n"
      "verify/races/README.md has which tool sees it.\n\n");
  for (const scene& s : zoo) {
    const std::string_view why = s.shown->by(tool::processes).why;
    fmt::print("{} ({})\n  {}{}{}; {}: {}{}\n", s.shown->name, s.shown->what, to_string(s.wrong),
               why.empty() ? "" : ", ", why, s.shown->repaired, to_string(s.repaired),
               as_expected(s) ? "" : "  NOT as promised");
  }
  const auto promised =
      static_cast<std::size_t>(std::ranges::count_if(zoo, [](const scene& s) { return as_expected(s); }));
  fmt::print("\n{}\n", counted(promised, zoo.size(), "mistakes and repairs", "as promised"));
}

void print_json(const request& r, const std::vector<verdict>& all, const std::vector<scene>& zoo) {
  fmt::print("{{\"producers\": {}, \"consumers\": {}, \"items\": {}, \"seed\": {}, \"as_promised\": {}, \"rings\": [",
             r.each.ends.producers, r.each.ends.consumers, r.each.items, r.each.seed,
             all_as_expected(r, all) && std::ranges::all_of(zoo, [](const scene& s) { return as_expected(s); }));
  std::string_view comma = "";
  for (const verdict& v : all) {
    fmt::print(
        "{}\n  {{\"ring\": {}, \"shipped\": {}, \"sent\": {}, \"received\": {}, \"lost\": {}, \"duplicated\": {}, "
        "\"torn\": {}, \"reordered\": {}, \"hung\": {}, \"died\": {}, \"ns_per_message\": {:.1f}, \"verdict\": {}, "
        "\"example\": {}}}",
        comma, quoted(v.ring->name), v.ring->shipped(), v.sent, v.received, v.found.lost, v.found.duplicated,
        v.found.torn, v.found.reordered, v.hung.empty() ? "null" : quoted(v.hung),
        v.died.empty() ? "null" : quoted(v.died), v.ns_per_message, quoted(in_a_word(v)), json_of(v.example));
    comma = ",";
  }
  fmt::print("\n], \"zoo\": [");
  comma = "";
  for (const scene& s : zoo) {
    fmt::print("{}\n  {{\"bug\": {}, \"wrong\": {}, \"repaired\": {}, \"as_promised\": {}}}", comma,
               quoted(s.shown->name), quoted(to_string(s.wrong)), quoted(to_string(s.repaired)), as_expected(s));
    comma = ",";
  }
  fmt::print("\n]}}\n");
}

}  // namespace millrace::races
