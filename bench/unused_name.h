// A name for what has to have one.
#ifndef MILLRACE_BENCH_UNUSED_NAME_H_
#define MILLRACE_BENCH_UNUSED_NAME_H_

#include <random>
#include <string>

namespace millrace::bench {

inline std::string unused_name() {
  std::random_device random;
  return "millrace-bench-" + std::to_string(random()) + std::to_string(random());
}

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_UNUSED_NAME_H_
