#include "verify/mutants/mutants.h"

#include <fmt/format.h>
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
    const std::size_t at = text.find(m.text, text.find(m.anchor));
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

// Which headers a header's mutants show in; its own models first.
std::vector<std::string> shown_by(const std::string& file) {
  const std::string about = file.substr(0, file.rfind('.'));
  if (about == "event_count") return {about, "semaphore", "spsc_ring", "mpmc_ring", "mutex_ring", "semaphore_ring"};
  if (about == "semaphore") return {about, "semaphore_ring"};
  return {about};
}

// What the child says to its parent.
struct kill {
  std::size_t model;
  verdict what;
  std::uint64_t executions;
};

void look_for_a_kill(const mutant& m, const models& candidates, int out) {
  mutation change = m.at_run_time;
  change.file = m.file;
  const mutated_header changed(change, m.in_source);
  // Most die of a few executions of some model: those come first.
  for (const bool brief : {true, false}) {
    for (const std::string& about : shown_by(m.file)) {
      for (std::size_t i = 0; i != candidates.size(); ++i) {
        if (candidates[i].about != about) continue;
        for (const search& s : brief ? std::vector{random_executions(500)} : candidates[i].searches) {
          const outcome o = simulate(*candidates[i].make(), s);
          if (o.what == verdict::clean) continue;
          const kill k{i, o.what, o.executions};
          _exit(write(out, &k, sizeof k) == sizeof k ? 0 : 1);
        }
      }
    }
  }
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

judgement judge(const mutant& m, const models& candidates) {
  using enum judgement::fate;
  std::array<int, 2> ends;
  if (pipe(ends.data()) != 0) throw std::runtime_error("no pipe to a mutant's process: too many files are open");
  const pid_t child = fork();
  if (child < 0) throw std::runtime_error("no process for a mutant: too many are running");
  if (child == 0) {
    close(ends[0]);
    alarm(100);
    look_for_a_kill(m, candidates, ends[1]);
    _exit(0);
  }
  close(ends[1]);
  kill k{};
  const bool killed_it = read(ends[0], &k, sizeof k) == sizeof k;
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM) return {.how = endless};
  if (WIFSIGNALED(status)) return {.how = crashed, .signal = WTERMSIG(status)};
  if (killed_it) return {.how = killed, .killer = &candidates[k.model], .what = k.what, .executions = k.executions};
  return {};
}

}  // namespace verify
