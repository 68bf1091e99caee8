#include "verify/model/simulate.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <limits>

#include "verify/relacy_platform.h"

namespace verify {
namespace {

// Relacy makes its test suites itself, by type: this one stands for all scenarios,
// so that a checker is compiled once for each number of threads.
scenario* under_test = nullptr;

template <int Threads>
struct suite : rl::test_suite<suite<Threads>, Threads> {
  void before() {
    registry::forget_all();
    relacy_platform::before_execution();
    auto* const current = static_cast<rl::aligned<rl::thread_info<Threads>>*>(rl::ctx().threadx_);
    auto* const first = current - current->index_;
    for (int i = 0; i != Threads; ++i) relacy_platform::set_thread(first + i);
    if (recorder::installed != nullptr) recorder::installed->execution_begins();
    under_test->before();
    if (recorder::installed != nullptr) recorder::installed->threads_begin();
  }
  void thread(unsigned index) { under_test->thread(index); }
  void after() {
    if (recorder::installed != nullptr) recorder::installed->threads_end();
    under_test->after();
    registry::drop_all();
  }
};

verdict judge(rl::test_result_e result) {
  switch (result) {
    case rl::test_result_success:
      return verdict::clean;
    case rl::test_result_data_race:
      return verdict::data_race;
    case rl::test_result_unitialized_access:
      return verdict::uninitialized;
    case rl::test_result_user_assert_failed:
      return verdict::assertion;
    case rl::test_result_deadlock:
      return verdict::deadlock;
    case rl::test_result_livelock:
      return verdict::livelock;
    default:
      return verdict::other;
  }
}

rl::test_params parameters(const search& how, std::ostream& history, std::ostream& progress) {
  rl::test_params params;  // fresh ones each time: they hold results, too
  params.output_stream = &history;
  params.progress_stream = &progress;
  params.execution_depth_limit = 3000;
  switch (how.how) {
    case search::kind::random:
      params.search_type = rl::sched_random;
      params.iteration_count = how.amount;
      break;
    case search::kind::bounded:
      params.search_type = rl::sched_bound;
      params.context_bound = static_cast<unsigned>(how.amount);
      break;
    case search::kind::exhaustive:
      params.search_type = rl::sched_full;
      break;
  }
  return params;
}

// A bounded search that stops after `most` executions.
template <rl::thread_id_t Threads>
class limited : public rl::context_bound_scheduler<Threads> {
  using bounded = rl::context_bound_scheduler<Threads>;

 public:
  using bounded::bounded;
  bool iteration_end() { return ++done_ == most || bounded::iteration_end(); }

  static inline std::uint64_t most = 0;

 private:
  std::uint64_t done_ = 0;
};

template <class Run>
void with_suite(scenario& s, Run run) {
  under_test = &s;
  switch (s.threads()) {
    case 2:
      return run.template operator()<suite<2>>();
    case 3:
      return run.template operator()<suite<3>>();
    case 4:
      return run.template operator()<suite<4>>();
    default:
      ADD_FAILURE() << "no model has " << s.threads() << " threads";
  }
}

void report(const outcome& o, const search& how, std::chrono::steady_clock::duration took) {
  const double seconds = std::chrono::duration<double>(took).count();
  std::ostringstream what;
  if (how.how == search::kind::random) what << "random";
  if (how.how == search::kind::bounded) what << "up to " << how.amount << " preemptions";
  if (how.how == search::kind::exhaustive) what << "exhaustive";
  std::printf("  %s: %s after %llu executions, %.2f s, %.0f/s\n", what.str().c_str(),
              (std::ostringstream() << o.what).str().c_str(), static_cast<unsigned long long>(o.executions), seconds,
              static_cast<double>(o.executions) / std::max(seconds, 1e-3));
}

outcome simulate_and_report(scenario& s, const search& how) {
  const auto start = std::chrono::steady_clock::now();
  outcome o = simulate(s, how);
  report(o, how, std::chrono::steady_clock::now() - start);
  return o;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, verdict v) {
  constexpr const char* names[] = {"clean",    "data race", "uninitialized access", "failed assertion",
                                   "deadlock", "livelock",  "other failure"};
  return out << names[static_cast<std::size_t>(v)];
}

outcome simulate(scenario& s, const search& how) {
  rl::ostringstream history;
  rl::ostringstream progress;
  rl::test_params params = parameters(how, history, progress);
  with_suite(s, [&]<class Suite>() {
    if (how.how == search::kind::bounded) {
      constexpr int threads = Suite::params::thread_count;
      limited<threads>::most = how.most;
      rl::ostringstream at;
      rl::run_test<Suite, limited<threads>>(params, at, false);
      if (params.test_result == rl::test_result_success) return;
      params = parameters(how, history, progress);  // once more, for its history
    }
    rl::simulate<Suite>(params);
  });
  return {judge(params.test_result), params.stop_iteration, history.str().c_str()};
}

stop run_on(scenario& s, const search& how, const std::string& from) {
  // Relacy would not notice that it starts behind the end.
  if (how.how == search::kind::random && !from.empty() && std::stoull(from) > how.amount) {
    return {verdict::clean, how.amount, {}};
  }
  rl::ostringstream history;
  rl::ostringstream progress;
  rl::test_params params = parameters(how, history, progress);
  params.initial_state = from.c_str();
  rl::ostringstream at;
  with_suite(s, [&]<class Suite>() {
    constexpr int threads = Suite::params::thread_count;
    if (how.how == search::kind::random) rl::run_test<Suite, rl::random_scheduler<threads>>(params, at, false);
    if (how.how == search::kind::bounded) rl::run_test<Suite, rl::context_bound_scheduler<threads>>(params, at, false);
    if (how.how == search::kind::exhaustive) rl::run_test<Suite, rl::full_search_scheduler<threads>>(params, at, false);
  });
  return {judge(params.test_result), params.stop_iteration, at.str().c_str()};
}

// Relacy writes an execution down as its number and, but for random ones, as the
// choices on its way: how many there were, and for each of how many, which, and why.
std::string execution_after(const std::string& at) {
  struct choice {
    unsigned of, taken, why;
  };
  std::istringstream in(at);
  std::uint64_t number = 0;
  in >> number;
  std::ostringstream next;
  next << number + 1 << " ";
  std::size_t count = 0;
  if (!(in >> count)) return next.str();
  std::vector<choice> path(count);
  for (choice& c : path) in >> c.of >> c.taken >> c.why;
  while (!path.empty() && path.back().taken + 1 == path.back().of) path.pop_back();
  if (path.empty()) return {};
  ++path.back().taken;
  next << path.size() << " ";
  for (const choice& c : path) next << c.of << " " << c.taken << " " << c.why << " ";
  return next.str();
}

void expect(bool holds, const char* what) { EXPECT_TRUE(holds) << what; }

outcome expect_clean(scenario& s, const search& how) {
  outcome o = simulate_and_report(s, how);
  EXPECT_EQ(o.what, verdict::clean) << o.history;
  return o;
}

void expect_caught(scenario&& s, const search& how, verdict expected) {
  const outcome o = simulate_and_report(s, how);
  EXPECT_EQ(o.what, expected) << o.history;
}

}  // namespace verify
