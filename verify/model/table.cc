// Runs all models and writes the table of what they searched into verify/README.md.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

#include "verify/model/models.h"

int main() {
  const char* const workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr) {
    fmt::print(stderr, "run it by: bazel run //verify/model:table\n");
    return 2;
  }
  const std::string path = std::string(workspace) + "/verify/README.md";
  std::ifstream in(path);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  const std::string head =
      "| model | threads and operations | bound | executions | | deep bound | |\n|---|---|---|---|---|---|---|\n";
  const std::size_t from = text.find(head);
  if (from == std::string::npos) {
    fmt::print(stderr, "{} has no table that begins with\n{}", path, head);
    return 1;
  }
  const std::size_t end = text.find("\n\n", from);

  std::string rows;
  const bool watched = isatty(2) != 0;
  for (const verify::model& m : verify::all_models()) {
    if (watched) fmt::print(stderr, "\r\033[K{}", m.title());
    for (const verify::search& s : m.searches) {
      const auto made = m.make();
      const verify::outcome o = verify::simulate(*made, s);
      if (o.what != verify::verdict::clean) {
        fmt::print(stderr, "{} is not clean: no table is written\n", m.title());
        return 1;
      }
      rows += verify::table_row(m, s, o.executions) + "\n";
    }
  }
  if (watched) fmt::print(stderr, "\r\033[K");
  text.replace(from, (end == std::string::npos ? text.size() : end + 1) - from, head + rows);
  std::ofstream out(path);
  out << text;
  return out.flush() ? 0 : 1;
}
