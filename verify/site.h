// Where in the shipped code an operation was written, and what a mutant changes there.
#ifndef MILLRACE_VERIFY_SITE_H_
#define MILLRACE_VERIFY_SITE_H_

#include <atomic>
#include <string_view>

namespace verify {

// Taken by a default argument, so that histories and mutants name lines of the
// shipped header. Built-ins: clang 14 has no std::source_location.
struct site {
  const char* path;
  const char* function;
  unsigned line;

  static constexpr site here(const char* path = __builtin_FILE(), const char* function = __builtin_FUNCTION(),
                             unsigned line = __builtin_LINE()) noexcept {
    return {path, function, line};
  }

  // The path without its directories.
  constexpr const char* file() const noexcept {
    const char* name = path;
    for (const char* c = path; *c != '\0'; ++c) {
      if (*c == '/') name = c + 1;
    }
    return name;
  }
};

// A change to what one statement of the shipped code asks of the platform, made
// while it runs: a memory order weakened, or a fence left out.
struct mutation {
  enum class kind { none, order, failure_order, no_fence } what = kind::none;
  std::string_view file;
  unsigned first_line = 0;  // of the statement
  unsigned last_line = 0;
  std::memory_order weakened = std::memory_order::relaxed;

  bool at(kind k, const site& s) const noexcept {
    return what == k && s.line >= first_line && s.line <= last_line && file == s.file();
  }
};

// One at a time, for all that runs in this process.
inline mutation active_mutation;

}  // namespace verify

#endif  // MILLRACE_VERIFY_SITE_H_
