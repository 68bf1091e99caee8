// The mutation gate: one change at a time to what the shipped headers say, and the model that notices.
//
//   score              every mutant, those that are justified included
//   score --gate       those that must be killed: seconds each
//
// A change that no model notices needs a written reason. Exit status 0 if nothing
// survives without one.
#include <fmt/format.h>
#include <sys/wait.h>
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
#include <string_view>
#include <thread>
#include <vector>

#include "verify/model/models.h"
#include "verify/mutants/accesses.h"
#include "verify/mutants/reasons.h"
#include "verify/mutants/selector.h"
#include "verify/mutants/source_mutants.h"
#include "verify/site.h"

namespace {

using verify::access;
using verify::model;
using verify::mutation;

struct mutant {
  std::string file;
  unsigned line;
  std::string text;    // what it changes
  std::string change;  // into what
  mutation at_run_time{};
  std::size_t in_source = verify::no_mutant;
  std::string_view reason{};  // why it may survive
};

struct verdict {
  std::string killer;  // empty: survived
  std::string how;
};

std::string contents(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::vector<mutant> order_mutants(const std::string& file, const std::string& text) {
  std::vector<mutant> all;
  for (const access& a : verify::find_accesses(file, text)) {
    if (a.what == access::kind::fence) {
      all.push_back({file,
                     a.first_line,
                     a.text,
                     "left out",
                     {mutation::kind::no_fence, {}, a.first_line, a.last_line, std::memory_order::relaxed}});
    }
    for (std::size_t i = 0; i != a.orders.size(); ++i) {
      for (const std::memory_order to : verify::weaker(a.what, a.orders[i])) {
        all.push_back(
            {file,
             a.first_line,
             a.text,
             fmt::format("{} -> {}", verify::to_string(a.orders[i]), verify::to_string(to)),
             {i == 0 ? mutation::kind::order : mutation::kind::failure_order, {}, a.first_line, a.last_line, to}});
      }
    }
  }
  return all;
}

std::vector<mutant> source_mutants_of(const std::string& file, const std::string& text) {
  std::vector<mutant> all;
  for (std::size_t i = 0; i != std::size(verify::source_mutants); ++i) {
    const verify::source_mutant& m = verify::source_mutants[i];
    if (m.file != file) continue;
    const std::size_t at = text.find(m.text, text.find(m.anchor));
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    all.push_back({file,
                   static_cast<unsigned>(line),
                   std::string(m.text),
                   m.change == "-" ? "left out" : std::string(m.change),
                   {},
                   i});
  }
  return all;
}

// Which headers a header's mutants show in; its own models first.
std::vector<std::string> shown_by(const std::string& file) {
  const std::string about = file.substr(0, file.rfind('.'));
  if (about == "event_count") return {about, "semaphore", "spsc_ring", "mpmc_ring", "mutex_ring", "semaphore_ring"};
  if (about == "semaphore") return {about, "semaphore_ring"};
  return {about};
}

// In a process of its own: a mutant may crash it.
verdict judge(const mutant& m, const verify::models& models) {
  int out[2];
  if (pipe(out) != 0) return {"", "no pipe"};
  const pid_t child = fork();
  if (child == 0) {
    close(out[0]);
    alarm(100);
    verify::active_mutation = m.at_run_time;
    verify::active_mutation.file = m.file;
    verify::active_source_mutant = m.in_source;
    // Most die of a few executions of some model: those come first.
    for (const bool brief : {true, false}) {
      for (const std::string& about : shown_by(m.file)) {
        for (const model& candidate : models) {
          if (candidate.about != about) continue;
          for (const verify::search& s : brief ? std::vector{verify::random_executions(500)} : candidate.searches) {
            const auto made = candidate.make();
            const verify::outcome o = verify::simulate(*made, s);
            if (o.what == verify::verdict::clean) continue;
            std::ostringstream what;
            what << o.what;
            const std::string line = fmt::format("{}\n{} in execution {}", candidate.title(), what.str(), o.executions);
            _exit(write(out[1], line.data(), line.size()) < 0 ? 1 : 0);
          }
        }
      }
    }
    _exit(0);
  }
  close(out[1]);
  std::string said;
  char some[512];
  for (ssize_t n = read(out[0], some, sizeof(some)); n > 0; n = read(out[0], some, sizeof(some)))
    said.append(some, static_cast<std::size_t>(n));
  close(out[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return {"", "did not end"};
  if (WIFSIGNALED(status)) return {"a crash", fmt::format("signal {}", WTERMSIG(status))};
  const std::size_t end = said.find('\n');
  if (end == std::string::npos) return {"", "every model is clean"};
  return {said.substr(0, end), said.substr(end + 1)};
}

std::string_view reason_for(const mutant& m) {
  for (const verify::reason& r : verify::reasons) {
    if (r.file == m.file && m.text.find(r.text) != std::string::npos && r.change == m.change) return r.why;
  }
  return {};
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
    const std::string file = path.substr(path.rfind('/') + 1);
    const std::string text = contents(path);
    if (file == "platform.h") continue;  // its concept names orders, and accesses nothing
    for (const auto& some : {order_mutants(file, text), source_mutants_of(file, text)}) {
      for (const mutant& m : some) {
        mutants.push_back(m);
        mutants.back().reason = reason_for(m);
      }
    }
  }
  std::size_t unused = 0;
  for (const verify::reason& r : verify::reasons) {
    if (std::any_of(mutants.begin(), mutants.end(), [&](const mutant& m) { return m.reason.data() == r.why.data(); }))
      continue;
    ++unused;
    fmt::print("{}: \"{}\" ({}): a reason for no mutant\n", r.file, r.text, r.change);
  }
  std::erase_if(mutants, [&](const mutant& m) {
    return (m.file + m.text + m.change).find(only) == std::string::npos || (gate && !m.reason.empty());
  });

  const verify::models models = verify::all_models();
  std::vector<std::promise<verdict>> verdicts(mutants.size());
  std::atomic<std::size_t> next{0};
  const bool watched = isatty(2) != 0;
  std::vector<std::thread> workers;
  for (unsigned i = 0; i != std::max(1u, std::thread::hardware_concurrency()); ++i) {
    workers.emplace_back([&] {
      for (std::size_t k = next++; k < mutants.size(); k = next++) verdicts[k].set_value(judge(mutants[k], models));
    });
  }

  std::size_t killed = 0;
  std::size_t justified = 0;
  std::size_t surviving = unused;
  for (std::size_t k = 0; k != mutants.size(); ++k) {
    if (watched) fmt::print(stderr, "\r\033[K{} of {} mutants", k, mutants.size());
    const mutant& m = mutants[k];
    const verdict v = verdicts[k].get_future().get();
    if (watched) fmt::print(stderr, "\r\033[K");
    fmt::print("{}:{}: {}: {}\n    ", m.file, m.line, m.text, m.change);
    if (!v.killer.empty() && m.reason.empty()) {
      ++killed;
      fmt::print("killed by {}: {}\n", v.killer, v.how);
    } else if (!v.killer.empty()) {
      ++surviving;
      fmt::print("KILLED by {} ({}) AGAINST ITS REASON: {}\n", v.killer, v.how, m.reason);
    } else if (!m.reason.empty()) {
      ++justified;
      fmt::print("justified: {}\n", m.reason);
    } else {
      ++surviving;
      fmt::print("SURVIVES: {}\n", v.how);
    }
    std::fflush(stdout);
  }
  for (std::thread& w : workers) w.join();
  fmt::print("{} killed, {} justified, {} surviving\n", killed, justified, surviving);
  return surviving == 0 ? 0 : 1;
}
