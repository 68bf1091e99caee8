// Tells, step by step, how something here goes wrong.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "tools/command_line.h"
#include "verify/explain/explainable.h"
#include "verify/explain/shortest.h"
#include "verify/explain/tell.h"
#include "verify/explain/trace.h"

namespace verify::explain {
namespace {

constexpr int explained = 0;
constexpr int not_explained = 1;

// What is asked for cannot be done.
struct bad_input : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct request {
  std::string name;
  std::string svg;
  std::string html;
  bool list = false;
};

std::string names() {
  std::string all;
  for (const explainable& e : explainables()) all += (all.empty() ? "" : ", ") + e.name;
  return all;
}

// One of them by its name; a mutant also by a part that no other mutant's name has.
explainable named(const std::string& name) {
  for (const explainable& e : explainables()) {
    if (e.name == name) return e;
  }
  std::vector<const mutant*> fitting;
  std::string their_names;
  for (const mutant& m : header_mutants()) {
    if (m.name() == as_name(name)) return of_mutant(m);
    if (m.name().find(as_name(name)) == std::string::npos) continue;
    fitting.push_back(&m);
    their_names += (their_names.empty() ? "" : ", ") + m.name();
  }
  if (fitting.size() == 1) return of_mutant(*fitting.front());
  if (fitting.empty()) {
    throw bad_input(fmt::format("expected one of {}, or a mutant, got {}; see --list", names(), name));
  }
  throw bad_input(fmt::format("{} is a part of {} names, expected one of {}", name, fitting.size(), their_names));
}

// Bazel runs this elsewhere than where the user is.
std::filesystem::path users(const std::string& path) {
  const char* const directory = std::getenv("BUILD_WORKING_DIRECTORY");
  return directory == nullptr ? std::filesystem::path(path) : directory / std::filesystem::path(path);
}

void save(const std::string& text, const std::string& path) {
  std::ofstream file(users(path), std::ios::binary);
  file << text;
  file.close();
  if (file) return;
  throw bad_input(fmt::format("cannot write {}; is its directory there, and may you write it?", users(path).string()));
}

int explain(const request& r) {
  const explainable e = named(r.name);
  const auto failure = shortest(e);
  if (!failure) {
    fmt::print(stderr, "explain: {}: the model did not fail: nothing to explain\n", e.name);
    return not_explained;
  }
  const trace t = tell(e, *failure);
  fmt::print("{}", as_text(t));
  if (!r.svg.empty()) save(as_svg(t), r.svg);
  if (!r.html.empty()) save(as_html(t), r.html);
  return explained;
}

int run(int argc, char** argv) {
  millrace::command_line line(
      "explain",
      "Runs the model of something broken, looks for the shortest execution that fails, and tells it step by step.",
      "Exit status: 0 if told, 1 if nothing fails, 2 for bad input.");
  request r;
  line.text("NAME", r.name, "TEXT", "what to explain, or of a mutant's name a part that no other has; see --list");
  line.flag("--list", r.list, "list what can be explained");
  line.text("--svg", r.svg, "FILE", "also draw it, for a slide");
  line.text("--html", r.html, "FILE", "also make a page to step through, for a browser");
  if (const auto status = line.parse(argc, argv)) return *status;
  if (r.list) {
    for (const explainable& e : explainables()) fmt::print("{:<18} {}\n", e.name, e.what);
    for (const mutant& m : header_mutants()) {
      fmt::print("{}\n{:<18} {}: {}{}\n", m.name(), "", m.text, m.change, m.reason.empty() ? "" : " (no model fails)");
    }
    return explained;
  }
  if (r.name.empty()) {
    return line.refuse(fmt::format("expected a NAME, one of {}, or a mutant; see --list", names()));
  }
  try {
    return explain(r);
  } catch (const bad_input& e) {
    return line.refuse(e.what());
  }
}

}  // namespace
}  // namespace verify::explain

int main(int argc, char** argv) try { return verify::explain::run(argc, argv); } catch (const std::exception& e) {
  fmt::print(stderr, "explain: {}\n", e.what());
  return 1;
}
