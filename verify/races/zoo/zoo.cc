// Prints the table bug x tool. Its tests observe every cell of it.
#include <fmt/format.h>

#include <cstdio>
#include <exception>

#include "tools/command_line.h"
#include "verify/races/zoo/table.h"

int main(int argc, char** argv) try {
  millrace::command_line line("zoo",
                              "What finds which mistake: the table that bazel test //verify/races/zoo/... asserts.");
  bool markdown = false;
  line.flag("--markdown", markdown, "as verify/races/README.md has it");
  if (const auto status = line.parse(argc, argv)) return *status;
  fmt::print("{}", markdown ? millrace::races::as_markdown() : millrace::races::as_text());
} catch (const std::exception& e) {
  std::fprintf(stderr, "zoo: %s\n", e.what());
  return 2;
}
