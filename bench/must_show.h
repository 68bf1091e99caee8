// What the library promises of its speed, and what a run says about it.
#ifndef MILLRACE_BENCH_MUST_SHOW_H_
#define MILLRACE_BENCH_MUST_SHOW_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/results.h"

namespace millrace::bench {

// Met: by all that it is about. One thing that speaks against a promise is enough.
enum class verdict : std::uint8_t { met, not_met, not_measured };

std::string_view to_string(verdict v) noexcept;

struct finding {
  std::string promise;
  std::string measured{};  // what was seen, and what was not; empty: nothing to compare with
  verdict is = verdict::not_measured;
};

std::vector<finding> judge(const results& r);

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_MUST_SHOW_H_
