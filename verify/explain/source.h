// The text of the code under test, as it was when this was built.
#ifndef MILLRACE_VERIFY_EXPLAIN_SOURCE_H_
#define MILLRACE_VERIFY_EXPLAIN_SOURCE_H_

#include <string>
#include <string_view>
#include <vector>

namespace verify::explain {

// Those of include/millrace, named without directories.
std::vector<std::string_view> library_headers();

// The text of a file; empty if there is none.
std::string_view source_of(std::string_view file);

// Line `number` of that file (named without directories), without its
// indentation; empty if there is none.
std::string source_line(std::string_view file, unsigned number);

// That line and up to `before` and `after` lines around it, as they are.
struct numbered_line {
  unsigned number;
  std::string text;
};
std::vector<numbered_line> lines_around(std::string_view file, unsigned number, unsigned before, unsigned after);

// The number of the one line of `file` that holds `text`. Throws a
// std::runtime_error that says so if none or several do.
unsigned line_with(std::string_view file, std::string_view text);

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_SOURCE_H_
