// Prints the table bug x tool. Its tests observe every cell of it.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "verify/races/zoo/table.h"

int main(int argc, char** argv) try {
  CLI::App app("What finds which mistake: the table that bazel test //verify/races/zoo/... asserts.");
  bool markdown = false;
  app.add_flag("--markdown", markdown, "as verify/races/README.md has it");
  CLI11_PARSE(app, argc, argv);
  fmt::print("{}", markdown ? millrace::races::as_markdown() : millrace::races::as_text());
} catch (const std::exception& e) {
  std::fprintf(stderr, "zoo: %s\n", e.what());
  return 2;
}
