#include "verify/mutants/mutants.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <stdexcept>

#include "verify/mutants/accesses.h"
#include "verify/mutants/reasons.h"
#include "verify/mutants/source_mutants.h"

namespace verify {
namespace {

void add_order_mutants(std::vector<mutant>& all, const std::string& file, const std::string& text) {
  for (const access& a : find_accesses(file, text)) {
    const auto add = [&](const std::string& change, mutation::kind what, std::memory_order to) {
      all.push_back({file, a.first_line, a.text, change, {what, {}, a.first_line, a.last_line, to}});
    };
    if (a.what == access::kind::fence) add("left out", mutation::kind::no_fence, std::memory_order::relaxed);
    for (std::size_t i = 0; i != a.orders.size(); ++i) {
      for (const std::memory_order to : weaker(a.what, a.orders[i])) {
        add(fmt::format("{} -> {}", to_string(a.orders[i]), to_string(to)),
            i == 0 ? mutation::kind::order : mutation::kind::failure_order, to);
      }
    }
  }
}

void add_source_mutants(std::vector<mutant>& all, const std::string& file, const std::string& text) {
  for (std::size_t i = 0; i != std::size(source_mutants); ++i) {
    const source_mutant& m = source_mutants[i];
    if (m.file != file) continue;
    const std::size_t at = place_of(m, text);
    if (at == std::string::npos) continue;
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(at), '\n');
    all.push_back({file,
                   static_cast<unsigned>(line),
                   std::string(m.text),
                   m.change == "-" ? "left out" : std::string(m.change),
                   {},
                   i});
  }
}

std::string_view reason_for(const mutant& m) {
  for (const reason& r : reasons) {
    if (r.file == m.file && m.text.find(r.text) != std::string::npos && r.change == m.change) return r.why;
  }
  return {};
}

constexpr std::uint64_t a_few = 500;

// What the child says to its parent before each search, clean, and of the one that fails.
struct note {
  const model* by;
  verdict what;
  search how_found;
  std::uint64_t executions;
};

// `look` is given a function that runs a search of a model and does not return if that fails.
template <class Look>
judgement in_a_process_of_its_own(Look look) {
  using enum judgement::fate;
  std::array<int, 2> ends;
  if (pipe(ends.data()) != 0) throw std::runtime_error("no pipe to a mutant's process: too many files are open");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no process for a mutant: too many are running");
  if (child == 0) {
    close(ends[0]);
    const rlimit enough{.rlim_cur = 600, .rlim_max = 700};  // seconds of work, however busy the machine is
    setrlimit(RLIMIT_CPU, &enough);
    const auto say = [&](const note& n) {
      if (write(ends[1], &n, sizeof n) != sizeof n) _exit(1);
    };
    look([&](const model& m, const search& s) {
      say({&m, verdict::clean, s, 0});
      const outcome o = simulate(*m.make(), s);
      if (o.what == verdict::clean) return;
      say({&m, o.what, s, o.executions});
      _exit(0);
    });
    _exit(0);
  }
  close(ends[1]);
  note last{};  // the child is a copy of this process: its pointers mean the same here
  for (note n{}; read(ends[0], &n, sizeof n) == sizeof n;) last = n;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  judgement j{.by = last.by, .what = last.what, .how_found = last.how_found, .executions = last.executions};
  if (WIFSIGNALED(status)) {
    j.signal = WTERMSIG(status);
    j.how = j.signal == SIGXCPU ? endless : crashed;
  } else if (last.what != verdict::clean) {
    j.how = killed;
  } else if (WEXITSTATUS(status) != 0) {
    throw std::runtime_error("a mutant's process cannot tell what it found");
  }
  return j;
}

}  // namespace

// An order stands by itself on its line; what else is changed there may not.
std::string mutant::name() const {
  if (in_source == no_mutant) return as_name(fmt::format("{}:{}:{}", file, line, change));
  return as_name(fmt::format("{}:{}:{}:{}", file, line, text, change));
}

std::string as_name(std::string_view text) {
  std::string name;
  bool gap = false;
  for (const char c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.' && c != ':') {
      gap = true;
      continue;
    }
    if (gap && !name.empty() && name.back() != ':' && c != ':') name += '-';
    gap = false;
    name += c;
  }
  return name;
}

std::vector<mutant> mutants_of(const std::string& file, const std::string& text) {
  if (file == "platform.h") return {};  // its concept names orders, and accesses nothing
  std::vector<mutant> all;
  add_order_mutants(all, file, text);
  add_source_mutants(all, file, text);
  for (mutant& m : all) m.reason = reason_for(m);
  return all;
}

std::vector<std::string> misfits(const std::map<std::string, std::string>& headers) {
  std::vector<std::string> all;
  for (const source_mutant& m : source_mutants) {
    const auto header = headers.find(std::string(m.file));
    if (header == headers.end()) {
      all.push_back(fmt::format("{}: no such header was given, and source_mutants.h has mutants of it", m.file));
    } else if (place_of(m, header->second) == std::string::npos) {
      all.push_back(fmt::format("{}: source_mutants.h changes \"{}\" into \"{}\" behind the one \"{}\": there is none",
                                m.file, m.text, m.change, m.anchor));
    }
  }
  return all;
}

std::vector<const model*> shown_by(const std::string& file, const models& candidates) {
  const std::string about = file.substr(0, file.rfind('.'));
  std::vector<std::string> headers{about};
  if (about == "event_count") {
    headers = {about, "semaphore", "robust_mutex", "spsc_ring", "mpmc_ring", "mutex_ring", "semaphore_ring"};
  }
  if (about == "channel") headers = {"attendance", "broadcast_ring"};
  if (about == "semaphore") headers = {about, "semaphore_ring"};
  if (about == "in_place") headers = {"spsc_ring", "mpmc_ring"};
  if (about == "ring") headers = {"select", "spsc_ring", "mpmc_ring"};
  if (about == "mutex_ring" || about == "semaphore_ring") headers = {about, "select"};
  if (about == "robust_mutex") headers = {about, "mutex_ring", "semaphore_ring"};
  if (about == "roster") headers = {"robust_mutex", "mpmc_ring", "mutex_ring", "semaphore_ring"};
  std::vector<const model*> shown;
  for (const std::string& header : headers) {
    for (const model& m : candidates) {
      if (m.about == header) shown.push_back(&m);
    }
  }
  return shown;
}

judgement judge(const mutant& m, const models& candidates) {
  return in_a_process_of_its_own([&](const auto& run) {
    mutation change = m.at_run_time;
    change.file = m.file;
    const mutated_header changed(change, m.in_source);
    const std::vector<const model*> shown = shown_by(m.file, candidates);
    // Most die of a few executions of some model: those come first. Of the others most die at random.
    for (const model* each : shown) run(*each, random_executions(a_few));
    for (const bool at_random : {true, false}) {
      for (const model* each : shown) {
        for (const search& s : each->searches) {
          if ((s.how == search::kind::random) == at_random) run(*each, s);
        }
      }
    }
  });
}

judgement judge_unchanged(const model& m, bool brief) {
  return in_a_process_of_its_own([&](const auto& run) {
    run(m, random_executions(a_few));
    if (brief) return;
    for (const search& s : m.searches) run(m, s);
  });
}

}  // namespace verify
