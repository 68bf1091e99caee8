// Runs a scenario under the model checker.
#ifndef MILLRACE_VERIFY_MODEL_SIMULATE_H_
#define MILLRACE_VERIFY_MODEL_SIMULATE_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>

namespace verify {

// Something that up to four threads do to shared memory. The checker calls
// before, every thread's body in some interleaving, and after: once an execution,
// each time on the same object, which keeps nothing from the last one.
class scenario {
 public:
  explicit scenario(unsigned threads) noexcept : threads_(threads) {}
  virtual ~scenario() = default;

  virtual void before() = 0;
  virtual void thread(unsigned index) = 0;
  virtual void after() = 0;

  unsigned threads() const noexcept { return threads_; }

 private:
  unsigned threads_;
};

// How to choose executions: so many at random, all with at most so many
// preemptions, or all that the memory model has; in any case no more than `most`.
struct search {
  enum class kind { random, bounded, exhaustive } how;
  std::uint64_t amount;
  std::uint64_t most = ~std::uint64_t{0};
  std::uint64_t deep = 0;  // at random: at least so many in a deep search
};
inline search random_executions(std::uint64_t count, std::uint64_t deep = 0) {
  return {.how = search::kind::random, .amount = count, .deep = deep};
}
inline search preemptions(unsigned most) { return {search::kind::bounded, most}; }
inline search exhaustive() { return {search::kind::exhaustive, 0}; }

// What a plain `bazel test` does of it: a part of what the mutation gate searches with.
inline search sooner(search s) {
  if (s.how == search::kind::random) s.amount /= 4;
  return s;
}

// What --config=deep does instead: minutes for seconds.
inline search deeper(search s) {
  if (s.how == search::kind::random) s.amount = std::max(5 * s.amount, s.deep);
  if (s.how == search::kind::bounded) s.amount += 1, s.most = 15'000'000;
  return s;
}

enum class verdict { clean, data_race, uninitialized, assertion, deadlock, livelock, other };
std::ostream& operator<<(std::ostream& out, verdict v);

struct outcome {
  verdict what;
  std::uint64_t executions;  // run, the failing one included
  std::string history;       // of the failing execution
};

outcome simulate(scenario& s, const search& how);

// For a recorder (verify/recorder.h), which wants more than one failing execution.
struct stop {
  verdict what;
  std::uint64_t executions;  // since the search's first
  std::string at;            // the failing one; none if clean
};

// Runs from execution `from` of the search (none: its first) to the first that
// fails. With what that one is `at`, exactly that one is run again.
stop run_on(scenario& s, const search& how, const std::string& from);

// The execution that the search comes to next; none if this is its last. Of a
// failure that came early, all executions that begin in the same way are skipped.
std::string execution_after(const std::string& at);

// For GoogleTest, which is no part of what every model compiles. Those of a search leave
// the number of its executions in the test's output.
void expect(bool holds, const char* what);
outcome expect_clean(scenario& s, const search& how);
inline outcome expect_clean(scenario&& s, const search& how) { return expect_clean(s, how); }
void expect_caught(scenario&& s, const search& how, verdict expected);

}  // namespace verify

#endif  // MILLRACE_VERIFY_MODEL_SIMULATE_H_
