#include "verify/explain/source.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <stdexcept>

#include "verify/explain/source_text.h"

namespace verify::explain {
namespace {

// Calls visit(number, text) for each line of a file.
template <class Visit>
void each_line(std::string_view file, Visit visit) {
  const std::string_view text = source_of(file);
  unsigned number = 1;
  for (std::size_t at = 0; at < text.size(); ++number) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    visit(number, text.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace

std::vector<std::string_view> library_headers() {
  std::vector<std::string_view> all;
  for (const source_text& s : source_texts) {
    if (s.of_library) all.push_back(s.file);
  }
  return all;
}

std::string_view source_of(std::string_view file) {
  const auto* const found = std::ranges::find(source_texts, file, &source_text::file);
  return found == std::end(source_texts) ? std::string_view() : found->text;
}

std::string source_line(std::string_view file, unsigned number) {
  std::string found;
  each_line(file, [&](unsigned n, std::string_view line) {
    if (n == number) found = line.substr(std::min(line.find_first_not_of(' '), line.size()));
  });
  return found;
}

std::vector<numbered_line> lines_around(std::string_view file, unsigned number, unsigned before, unsigned after) {
  std::vector<numbered_line> found;
  each_line(file, [&](unsigned n, std::string_view line) {
    if (n + before >= number && n <= number + after) found.push_back({n, std::string(line)});
  });
  return found;
}

unsigned line_with(std::string_view file, std::string_view text) {
  unsigned found = 0;
  unsigned times = 0;
  each_line(file, [&](unsigned n, std::string_view line) {
    if (line.find(text) == std::string_view::npos) return;
    found = n;
    ++times;
  });
  if (times == 1) return found;
  throw std::runtime_error(fmt::format("{}: {} lines hold '{}', expected 1; correct the text", file, times, text));
}

}  // namespace verify::explain
