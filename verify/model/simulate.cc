#include "verify/model/simulate.h"

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
    under_test->before();
  }
  void thread(unsigned index) { under_test->thread(index); }
  void after() {
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
  rl::test_params params;  // a fresh one each time: it holds results, too
  rl::ostringstream history;
  rl::ostringstream progress;
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
  under_test = &s;
  switch (s.threads()) {
    case 2:
      rl::simulate<suite<2>>(params);
      break;
    case 3:
      rl::simulate<suite<3>>(params);
      break;
    case 4:
      rl::simulate<suite<4>>(params);
      break;
    default:
      ADD_FAILURE() << "no model has " << s.threads() << " threads";
  }
  return {judge(params.test_result), params.stop_iteration, history.str().c_str()};
}

void expect_clean(scenario& s, const search& how) {
  const outcome o = simulate_and_report(s, how);
  EXPECT_EQ(o.what, verdict::clean) << o.history;
}

void expect_caught(scenario&& s, const search& how, verdict expected) {
  const outcome o = simulate_and_report(s, how);
  EXPECT_EQ(o.what, expected) << o.history;
}

}  // namespace verify
