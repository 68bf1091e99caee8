// What the drawing and the page have in common.
#ifndef MILLRACE_VERIFY_EXPLAIN_MARKUP_H_
#define MILLRACE_VERIFY_EXPLAIN_MARKUP_H_

#include <string>
#include <string_view>
#include <vector>

#include "verify/explain/trace.h"

namespace verify::explain {

std::string escaped(std::string_view text);

// In characters, not bytes.
std::size_t width_of(std::string_view text);

// Broken at spaces into lines of at most `width` characters.
std::vector<std::string> wrapped(std::string_view text, std::size_t width);

// An SVG group with its left upper corner at (x, y), 270 by 44; its style is the
// classes slot, held, fresh, name and value.
std::string drawn(const picture& p, double x, double y);

// What the signs mean, those that this trace has.
std::string legend(const trace& t);

// Which columns do something.
std::vector<bool> columns_in_use(const trace& t);

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_MARKUP_H_
