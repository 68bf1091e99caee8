// Figures as people read them.
#ifndef MILLRACE_BENCH_TEXT_H_
#define MILLRACE_BENCH_TEXT_H_

#include <fmt/format.h>

#include <string>

namespace millrace::bench {

// Three digits or so.
inline int decimals_of(double v) { return v < 10 ? 2 : v < 100 ? 1 : 0; }
inline std::string number_text(double v) { return fmt::format("{:.{}f}", v, decimals_of(v)); }

inline std::string time_text(double ns) {
  return ns < 1e4   ? fmt::format("{:.0f} ns", ns)
         : ns < 1e7 ? fmt::format("{:.4g} us", 1e-3 * ns)
                    : fmt::format("{:.4g} ms", 1e-6 * ns);
}

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_TEXT_H_
