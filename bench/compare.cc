// Ours beside others', in one run.
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "bench/contender.h"
#include "bench/json.h"
#include "bench/measure.h"
#include "bench/must_show.h"
#include "bench/options.h"
#include "bench/print.h"
#include "bench/users_path.h"

namespace millrace::bench {
namespace {

int compare(int argc, char** argv) {
  request asked;
  if (const auto nothing_to_do = parse(argc, argv, contenders(), asked)) return *nothing_to_do;
  std::ofstream json;
  if (!asked.json.empty()) {
    json.open(users_path(asked.json));
    if (!json) throw std::runtime_error(fmt::format("cannot write to {}: {}", asked.json, std::strerror(errno)));
  }
  const bool watched = ::isatty(STDERR_FILENO) == 1;
  const results r = measure(asked.sections, asked.who, asked.spend, [&](double part, std::string_view next) {
    if (watched) fmt::print(stderr, "\r\x1b[K{:3.0f} % {}", 100 * part, next);
  });
  if (watched) fmt::print(stderr, "\r\x1b[K");
  print(r);
  const std::vector<finding> findings = judge(r);
  print(findings);
  if (json.is_open()) {
    json << to_json(r, findings) << std::flush;
    if (!json) throw std::runtime_error(fmt::format("cannot write to {}", asked.json));
  }
  const std::vector<std::string> wrong = wrongs(r);
  for (const std::string& line : wrong) fmt::print("\nWRONG: {}\n", line);
  return wrong.empty() ? 0 : 1;
}

}  // namespace
}  // namespace millrace::bench

int main(int argc, char** argv) try { return millrace::bench::compare(argc, argv); } catch (const std::exception& e) {
  std::fprintf(stderr, "compare: %s\n", e.what());
  return 2;
}
