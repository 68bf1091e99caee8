// The mutation gate: one change at a time to what the shipped headers say, and the model that notices.
//
//   score              every mutant, those that are justified included
//   score --gate       those that must be killed: seconds each
//   score --every N    of those, or of all, one in N
//
// A change that no model notices needs a written reason. Exit status 0 if nothing
// survives without one. With a model that is not clean to begin with, no mutant is judged.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "tools/command_line.h"
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

// Who noticed, and what; empty if nobody did.
std::string killer(const judgement& j) {
  if (j.how == judgement::fate::crashed) return fmt::format("{}: a crash by signal {}", j.by->title(), j.signal);
  if (j.how != judgement::fate::killed) return {};
  return fmt::format("{}: {} in execution {}", j.by->title(), (std::ostringstream() << j.what).str(), j.executions);
}

std::string survival(const judgement& j) {
  return j.how == judgement::fate::endless ? j.by->title() + " did not end" : "every model is clean";
}

// `judge_one(k)` for each k, on all cores; `tell(k, judgement)` in their order.
template <class Judge, class Tell>
void judge_all(std::size_t count, Judge judge_one, Tell tell) {
  std::vector<std::promise<judgement>> judgements(count);
  std::atomic<std::size_t> next{0};
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i != std::max(1u, std::thread::hardware_concurrency()); ++i) {
    workers.emplace_back([&] {
      for (std::size_t k = next++; k < count; k = next++) judgements[k].set_value(judge_one(k));
    });
  }
  for (std::size_t k = 0; k != count; ++k) tell(k, judgements[k].get_future().get());
}

// Whether the models that are to convict the mutants acquit what is shipped: one
// that does not would kill them all, and show nothing.
bool green_unchanged(const std::vector<mutant>& mutants, const verify::models& models, bool brief) {
  std::set<const verify::model*> needed;
  for (const mutant& m : mutants) {
    for (const verify::model* shown : verify::shown_by(m.file, models)) needed.insert(shown);
  }
  const std::vector<const verify::model*> all(needed.begin(), needed.end());
  bool green = true;
  judge_all(
      all.size(), [&](std::size_t k) { return verify::judge_unchanged(*all[k], brief); },
      [&](std::size_t, const judgement& j) {
        if (j.how == judgement::fate::survived) return;
        green = false;
        const std::string why = j.how == judgement::fate::endless ? survival(j) : killer(j);
        fmt::print("the headers as they are: {}\n    //verify/model:{}_{}_test\n", why, j.by->about,
                   j.by->shows == verify::property::safety ? "safety" : "liveness");
      });
  return green;
}

}  // namespace

int main(int argc, char** argv) {
  millrace::command_line line("score",
                              "Changes the shipped headers, one mutant at a time, and names the model that notices");
  bool gate = false;
  std::size_t every = 1;
  std::string only;
  std::vector<std::string> headers;
  line.flag("--gate", gate, "only those that have no written reason to survive");
  line.number("--every", every, 1, 1000, "one in so many");
  line.text("--only", only, "TEXT", "only those in whose file, text or change this occurs");
  line.required("headers", headers, "FILE", "the shipped headers");
  if (const auto status = line.parse(argc, argv)) return *status;

  std::map<std::string, std::string> shipped;
  for (const std::string& path : headers) shipped[path.substr(path.rfind('/') + 1)] = contents(path);
  std::vector<mutant> mutants;
  for (const auto& [name, text] : shipped) {
    for (const mutant& m : verify::mutants_of(name, text)) mutants.push_back(m);
  }
  const std::vector<std::string> misfits = verify::misfits(shipped);
  for (const std::string& misfit : misfits) fmt::print("{}\n", misfit);
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

  std::size_t seen = 0;
  std::erase_if(mutants, [&](const mutant&) { return seen++ % every != 0; });

  const verify::models models = verify::all_models();
  const bool watched = isatty(2) != 0;
  if (watched) fmt::print(stderr, "\r\033[Kno mutant yet: the headers as they are");
  const bool green = green_unchanged(mutants, models, gate);
  if (watched) fmt::print(stderr, "\r\033[K");
  if (!green) {
    fmt::print("no mutant is judged until the models are clean on the headers as they are\n");
    return 1;
  }

  std::size_t killed = 0;
  std::size_t justified = 0;
  std::size_t surviving = unused + misfits.size();
  const auto judge_one = [&](std::size_t k) { return verify::judge(mutants[k], models); };
  judge_all(mutants.size(), judge_one, [&](std::size_t k, const judgement& j) {
    const mutant& m = mutants[k];
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
      fmt::print("SURVIVES: {}\n", survival(j));
    }
    std::fflush(stdout);
    if (watched) fmt::print(stderr, "{} of {} mutants", k + 1, mutants.size());
  });
  if (watched) fmt::print(stderr, "\r\033[K");
  fmt::print("{} killed, {} justified, {} surviving\n", killed, justified, surviving);
  return surviving == 0 ? 0 : 1;
}
