// Kills, or stops, a process before each instruction of each operation on each
// ring, and prints what becomes of the others.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tools/command_line.h"
#include "verify/crash/campaign.h"

namespace millrace::crash {
namespace {

struct wish {
  std::string ring = "all";
  std::string operation = "all";
  std::string state = "all";
  std::string blow = "both";
};

std::vector<std::string> names_of(std::vector<std::string> names, const auto& table, auto name) {
  for (const auto& row : table) names.emplace_back(name(row));
  return names;
}

std::vector<cell> cells_for(const wish& w) {
  std::vector<cell> all;
  for (const blow how : {blow::kill, blow::stop}) {
    if (w.blow == (how == blow::kill ? "stop" : "kill")) continue;
    for (const ring_type& ring : ring_types()) {
      if (w.ring == "all" ? ring.mortal : w.ring != ring.name) continue;
      for (const operation& what : operations()) {
        if (w.operation != "all" && w.operation != what.name) continue;
        for (std::size_t s = 0; s != state_names.size(); ++s) {
          if (w.state != "all" && w.state != state_names[s]) continue;
          const cell c{&ring, &what, static_cast<state>(s), how};
          if (possible(c)) all.push_back(c);
        }
      }
    }
  }
  return all;
}

// What is to be tried, and how. Or the exit status, where there is nothing to do.
std::optional<int> parse(int argc, char** argv, std::vector<cell>& cells, request& how) {
  command_line line(
      "matrix",
      "Runs each operation on each ring again and again, and strikes the process that performs it before another\n"
      "instruction each time: by SIGKILL, or by SIGSTOP and later SIGCONT. The others must go on, and no message\n"
      "may be lost or duplicated. What others cannot see of an instruction cannot harm them: there, the strike before\n"
      "the next one that they can see stands for it.",
      "Exit status: 0 if nothing failed, 1 if something did, 2 for bad input.");
  wish w;
  std::string point;
  bool quick = false;
  line.choice("--ring", w.ring, names_of({"all"}, ring_types(), [](const ring_type& r) { return r.name; }),
              "all that survive, or one; spin_ring and boost_ring do not, and must fail");
  line.choice("--operation", w.operation, names_of({"all"}, operations(), [](const operation& o) { return o.name; }),
              "that the victim performs");
  line.choice("--state", w.state, names_of({"all"}, state_names, [](std::string_view s) { return s; }),
              "that the ring is in before");
  line.choice("--signal", w.blow, {"kill", "stop", "both"}, "how the victim is struck");
  line.text("--kill-at", point, "POINT", "strike at this point only, as named where one failed",
            [](const std::string& given) {
              return read_point(given) ? std::string()
                                       : fmt::format("expected a point such as 57, 57s or 12/57, found '{}'", given);
            });
  line.number("--jobs", how.jobs, 1, 64, "cells to try at once");
  line.flag("--quick", quick, "strike at every 7th of these points only");
  line.flag("--each", how.each, "strike before each instruction, whether others can see it or not: for one operation");
  if (const auto status = line.parse(argc, argv)) return status;
  if (!point.empty()) how.only = read_point(point);
  if (quick) how.stride = 7;
  cells = cells_for(w);
  if (cells.empty()) return line.refuse("there is no such cell: nobody sleeps there; choose another --state");
  return std::nullopt;
}

std::string in_table(const outcome& o) {
  if (!o.broken.empty()) return "BROKEN";

  if (o.failures.empty()) return std::to_string(o.points);
  return fmt::format("{} ({} FAIL)", o.points, o.failures.size());
}

void print_table(const std::vector<outcome>& all) {
  for (const blow how : {blow::kill, blow::stop}) {
    // By ring and operation, in the order in which they were tried.
    std::vector<std::pair<std::string, std::map<state, std::string>>> rows;
    for (const outcome& o : all) {
      if (o.what.how != how) continue;
      const std::string name = fmt::format("{:<15} {:<15}", o.what.ring->name, o.what.what->name);
      if (rows.empty() || rows.back().first != name) rows.push_back({name, {}});
      rows.back().second[o.what.from] = in_table(o);
    }
    if (rows.empty()) continue;
    fmt::print("{:<31}", how == blow::kill ? "SIGKILL before" : "SIGSTOP before, then SIGCONT");
    for (const std::string_view name : state_names) fmt::print(" {:>16}", name);
    fmt::print("\n");
    for (const auto& [name, row] : rows) {
      fmt::print("{}", name);
      for (std::size_t s = 0; s != state_names.size(); ++s) {
        const auto at = row.find(static_cast<state>(s));
        fmt::print(" {:>16}", at == row.end() ? "-" : at->second);
      }
      fmt::print("\n");
    }
    fmt::print("\n");
  }
}

std::string command(const cell& c, const std::string& point) {
  return fmt::format("bazel run //verify/crash:matrix -- --ring {} --operation {} --state {} --signal {} --kill-at {}",
                     c.ring->name, c.what->name, state_names[static_cast<std::size_t>(c.from)],
                     c.how == blow::kill ? "kill" : "stop", point);
}

// What went wrong in a cell, once each, with the points at which it did.
void print_failures(const outcome& o) {
  const std::string name =
      fmt::format("{}, {}, {}, {}", o.what.ring->name, o.what.what->name,
                  state_names[static_cast<std::size_t>(o.what.from)], o.what.how == blow::kill ? "SIGKILL" : "SIGSTOP");
  if (!o.broken.empty()) fmt::print("{}: could not be tried: {}\n", name, o.broken);
  std::map<std::string, std::vector<const failed_point*>> by_kind;
  for (const failed_point& f : o.failures) by_kind[f.wrong].push_back(&f);
  for (const auto& [wrong, points] : by_kind) {
    fmt::print("{}: {}\n", name, wrong);
    for (auto p = points.begin(); p != points.end();) {
      const auto next = std::find_if(p, points.end(), [&](const failed_point* q) { return q->where != (*p)->where; });
      const std::string last = next - p > 1 ? " to " + (*(next - 1))->point.name() : "";
      fmt::print("    at {}{}: {}\n", (*p)->point.name(), last, (*p)->where);
      p = next;
    }
    fmt::print("    {}\n", command(o.what, points.front()->point.name()));
  }
  std::fflush(stdout);
}

int matrix(int argc, char** argv) {
  std::vector<cell> cells;
  request how;
  if (const auto nothing_to_do = parse(argc, argv, cells, how)) return *nothing_to_do;
  const bool shown = ::isatty(STDERR_FILENO) == 1;
  const auto wipe = [&] {
    if (shown) fmt::print(stderr, "\r\x1b[K");
  };
  const auto all = run(cells, how, [&](const progress& now) {
    wipe();
    if (now.just_done != nullptr) print_failures(*now.just_done);
    if (shown) fmt::print(stderr, "{} of {} cells, {} kill points", now.cells, cells.size(), now.points);
  });
  wipe();

  print_table(all);
  std::uint64_t points = 0, failures = 0, elsewhere = 0, instructions = 0;
  for (const outcome& o : all) {
    points += o.points;
    failures += o.failures.size() + (o.broken.empty() ? 0 : 1);
    elsewhere += o.elsewhere;
    instructions += o.instructions;
  }
  fmt::print("{} cells of {} instructions; at {} points the operation took another way than when it was recorded\n",
             all.size(), instructions, elsewhere);
  fmt::print("{} kill points, {} failures\n", points, failures);
  return failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace millrace::crash

int main(int argc, char** argv) try { return millrace::crash::matrix(argc, argv); } catch (const std::exception& e) {
  std::fprintf(stderr, "matrix: %s\n", e.what());
  return 1;
}
