// Makes headers in which every source mutant sleeps, to be woken by its number
// (mutant schemata: Untch, Offutt and Harrold, 1993): one build runs them all.
//
//   schemata OUT_DIRECTORY HEADER...
//
// Lines keep their numbers. A header in which a mutant has no place is made without it,
// so that the models of a changed header still run: gate_test fails then.
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <string_view>

#include "verify/mutants/source_mutants.h"

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::cerr << "schemata: " << what << "\n";
  std::exit(1);
}

std::string read(const std::string& path) {
  std::ifstream in(path);
  if (!in) fail("cannot read " + path);
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string schema(const verify::source_mutant& m, std::size_t number) {
  const std::string awake = "::verify::mutated(" + std::to_string(number) + ")";
  if (m.change == "-") return "if (!" + awake + ") " + std::string(m.text);
  // What is shipped comes first: there the next mutant of the same text finds its place, not in the change.
  return "(!" + awake + " ? (" + std::string(m.text) + ") : (" + std::string(m.change) + "))";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) fail("usage: schemata OUT_DIRECTORY HEADER...");
  for (int i = 2; i != argc; ++i) {
    const std::string path = argv[i];
    const std::string name = path.substr(path.rfind('/') + 1);
    std::string text = read(path);
    for (std::size_t number = 0; number != std::size(verify::source_mutants); ++number) {
      const verify::source_mutant& m = verify::source_mutants[number];
      if (m.file != name) continue;
      const std::size_t at = verify::place_of(m, text);
      if (at == std::string::npos) {
        std::cerr << "schemata: " << name << " is made without the mutant of \"" << m.text << "\"\n";
        continue;
      }
      text.replace(at, m.text.size(), schema(m, number));
    }
    // Its first line is a comment.
    text.replace(0, text.find('\n'), "#include \"verify/mutants/selector.h\"");
    std::ofstream out(std::string(argv[1]) + "/" + name);
    out << text;
    if (!out.flush()) fail("cannot write " + name);
  }
}
