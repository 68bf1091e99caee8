// The mutation gate: one change at a time to what the shipped headers say, and the model that notices.
//
//   score              every mutant, those that are justified included
//   score --gate       those that must be killed: seconds each
//
// A change that no model notices needs a written reason. Exit status 0 if nothing
// survives without one.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <future>
#include <iterator>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "verify/model/models.h"
#include "verify/mutants/mutants.h"
#include "verify/mutants/reasons.h"

namespace {

using verify::judgement;
using verify::mutant;

std::string contents(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Who noticed; empty if the mutant survived.
std::string killer(const judgement& j) {
  if (j.how == judgement::fate::crashed) return fmt::format("a crash: signal {}", j.signal);
  if (j.how != judgement::fate::killed) return {};
  return fmt::format("{}: {} in execution {}", j.killer->title(), (std::ostringstream() << j.what).str(), j.executions);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Changes the shipped headers, one mutant at a time, and names the model that notices"};
  bool gate = false;
  std::string only;
  std::vector<std::string> headers;
  app.add_flag("--gate", gate, "only those that have no written reason to survive");
  app.add_option("--only", only, "only those in whose file, text or change this occurs");
  app.add_option("headers", headers, "the shipped headers")->required();
  CLI11_PARSE(app, argc, argv);

  std::vector<mutant> mutants;
  for (const std::string& path : headers) {
    for (const mutant& m : verify::mutants_of(path.substr(path.rfind('/') + 1), contents(path))) mutants.push_back(m);
  }
  std::size_t unused = 0;
  for (const verify::reason& r : verify::reasons) {
    if (std::any_of(mutants.begin(), mutants.end(),
                    [&](const mutant& m) { return m.file == r.file && m.reason == r.why; }))
      continue;
    ++unused;
    fmt::print("{}: \"{}\" ({}): a reason for no mutant\n", r.file, r.text, r.change);
  }
  std::erase_if(mutants, [&](const mutant& m) {
    return (m.file + m.text + m.change).find(only) == std::string::npos || (gate && !m.reason.empty());
  });

  const verify::models models = verify::all_models();
  std::vector<std::promise<judgement>> judgements(mutants.size());
  std::atomic<std::size_t> next{0};
  const bool watched = isatty(2) != 0;
  std::vector<std::thread> workers;
  for (unsigned i = 0; i != std::max(1u, std::thread::hardware_concurrency()); ++i) {
    workers.emplace_back([&] {
      for (std::size_t k = next++; k < mutants.size(); k = next++) {
        judgements[k].set_value(verify::judge(mutants[k], models));
      }
    });
  }

  std::size_t killed = 0;
  std::size_t justified = 0;
  std::size_t surviving = unused;
  for (std::size_t k = 0; k != mutants.size(); ++k) {
    if (watched) fmt::print(stderr, "\r\033[K{} of {} mutants", k, mutants.size());
    const mutant& m = mutants[k];
    const judgement j = judgements[k].get_future().get();
    const std::string by = killer(j);
    if (watched) fmt::print(stderr, "\r\033[K");
    fmt::print("{}:{}: {}: {}\n    ", m.file, m.line, m.text, m.change);
    if (!by.empty() && m.reason.empty()) {
      ++killed;
      fmt::print("killed by {}\n    //verify/races:explain -- {}\n", by, m.name());
    } else if (!by.empty()) {
      ++surviving;
      fmt::print("KILLED by {} AGAINST ITS REASON: {}\n", by, m.reason);
    } else if (!m.reason.empty()) {
      ++justified;
      fmt::print("justified: {}\n", m.reason);
    } else {
      ++surviving;
      fmt::print("SURVIVES: {}\n", j.how == judgement::fate::endless ? "did not end" : "every model is clean");
    }
    std::fflush(stdout);
  }
  for (std::thread& w : workers) w.join();
  fmt::print("{} killed, {} justified, {} surviving\n", killed, justified, surviving);
  return surviving == 0 ? 0 : 1;
}
