// Makes headers in which every source mutant sleeps, to be woken by its number
// (mutant schemata: Untch, Offutt and Harrold, 1993): one build runs them all.
//
//   schemata OUT_DIRECTORY HEADER...
//
// Lines keep their numbers. A text that is not found, or an anchor that is not
// there just once, is an error: a mutant never vanishes in silence.
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
  return "(" + awake + " ? (" + std::string(m.change) + ") : (" + std::string(m.text) + "))";
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) fail("usage: schemata OUT_DIRECTORY HEADER...");
  std::size_t applied = 0;
  for (int i = 2; i != argc; ++i) {
    const std::string path = argv[i];
    const std::string name = path.substr(path.rfind('/') + 1);
    std::string text = read(path);
    for (std::size_t number = 0; number != std::size(verify::source_mutants); ++number) {
      const verify::source_mutant& m = verify::source_mutants[number];
      if (m.file != name) continue;
      const std::size_t anchor = text.find(m.anchor);
      if (anchor == std::string::npos) fail(name + " has no \"" + std::string(m.anchor) + "\"");
      if (text.find(m.anchor, anchor + 1) != std::string::npos) {
        fail(name + " has \"" + std::string(m.anchor) + "\" twice");
      }
      const std::size_t at = text.find(m.text, anchor);
      if (at == std::string::npos)
        fail(name + " has no \"" + std::string(m.text) + "\" behind \"" + std::string(m.anchor) + "\"");
      text.replace(at, m.text.size(), schema(m, number));
      ++applied;
    }
    // Its first line is a comment.
    text.replace(0, text.find('\n'), "#include \"verify/mutants/selector.h\"");
    std::ofstream out(std::string(argv[1]) + "/" + name);
    out << text;
    if (!out.flush()) fail("cannot write " + name);
  }
  if (applied != std::size(verify::source_mutants)) fail("a mutant names a header that was not given");
}
