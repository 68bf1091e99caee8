// Runs each ring between real processes, and shows what arrives and what does not.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/command_line.h"
#include "verify/races/history.h"
#include "verify/races/options.h"
#include "verify/races/processes.h"
#include "verify/races/report.h"
#include "verify/races/segments.h"
#include "verify/races/story.h"

namespace millrace::races {
namespace {

// One line on a terminal, overwritten as the run goes on, and gone at its end.
class progress_line {
 public:
  explicit progress_line(std::string_view ring) : ring_(ring), shown_(isatty(STDERR_FILENO) == 1) {}
  progress_line(const progress_line&) = delete;
  progress_line& operator=(const progress_line&) = delete;
  ~progress_line() {
    if (shown_) std::fputs("\r\x1b[K", stderr);
  }
  void operator()(const notebook& n) const {
    if (shown_) fmt::print(stderr, "\r\x1b[K{}: {} sent, {} received", ring_, n.total_sent(), n.total_received());
  }

 private:
  std::string_view ring_;
  bool shown_;
};

result<outcome> run_with_progress(const contender& ring, const plan& p) {
  const progress_line progress(ring.name);
  return run(ring, p, [&](const notebook& n) { progress(n); });
}

verdict judge_run(const contender& ring, outcome done) {
  const history h = done.notes.read();
  verdict v{.ring = &ring,
            .sent = done.notes.total_sent(),
            .received = done.notes.total_received(),
            .found = judge(h),
            .hung = std::move(done.hung),
            .died = std::move(done.died)};
  const std::chrono::duration<double, std::nano> took = done.took;
  if (v.received != 0) v.ns_per_message = took.count() / static_cast<double>(v.received);
  if (!ring.shipped() && v.found.any()) v.example = tell(h, *ring.wrong);
  return v;
}

std::vector<scene> act_out_the_zoo() {
  std::vector<scene> all;
  for (const bug& b : bugs()) {
    all.push_back({&b, perform(b.name, ring_kind::wrong, actors::processes),
                   perform(b.name, ring_kind::repaired, actors::processes)});
  }
  return all;
}

int refuse(const error& e) {
  fmt::print(stderr, "demo: {}\n", e.message);
  return command_line::bad_input;
}

int demonstrate(const request& r) {
  // What cannot be created is said now, not when the rings before it are done.
  for (const contender* c : r.rings) {
    if (const auto possible = rehearse(*c, r.each); !possible) return refuse(possible.error());
  }
  if (!r.json) print_head(r);
  std::vector<verdict> all;
  for (const contender* c : r.rings) {
    auto done = run_with_progress(*c, r.each);
    if (!done) return refuse(done.error());
    if (done->interrupted != 0) {
      raise(done->interrupted);  // everything is cleaned up: end as the signal would have had it
      return 128 + done->interrupted;
    }
    all.push_back(judge_run(*c, *std::move(done)));
    if (!r.json) print_row(all.back());
  }
  if (!r.json) print_end(r, all);
  const std::vector<scene> zoo = r.rings.size() == contenders().size() ? act_out_the_zoo() : std::vector<scene>{};
  r.json ? print_json(r, all, zoo) : print_zoo(zoo);
  const bool good = std::ranges::all_of(all, [&](const verdict& v) { return as_expected(v, r.each); }) &&
                    std::ranges::all_of(zoo, [](const scene& s) { return as_expected(s); });
  return good ? as_promised : not_as_promised;
}

int demo(int argc, char** argv) {
  request r;
  int status = as_promised;
  if (const auto nothing_to_do = parse(argc, argv, r)) {
    status = *nothing_to_do;
  } else if (r.list) {
    print_list(r.json);
  } else {
    sweep();
    status = demonstrate(r);
  }
  if (std::fflush(stdout) == 0) return status;
  fmt::print(stderr, "demo: cannot write the report ({}); point stdout elsewhere\n", std::strerror(errno));
  return command_line::bad_input;
}

}  // namespace
}  // namespace millrace::races

int main(int argc, char** argv) try { return millrace::races::demo(argc, argv); } catch (const std::exception& e) {
  std::fprintf(stderr, "demo: %s; ask for fewer --items, or look at where stdout goes\n", e.what());
  return millrace::command_line::bad_input;
}
