// Runs all models and writes the table of what they searched into verify/README.md.
//
//   table           the bounds of every test run
//   table --deep    those of --config=deep, into a table of their own: an hour
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tools/command_line.h"
#include "verify/model/models.h"

namespace {

// The rows of one model, each with its newline; what is wrong with it, if it is not clean.
std::string rows_of(const verify::model& m, bool deep) {
  std::string rows;
  for (const verify::search& each : m.searches) {
    const verify::search s = deep ? verify::deeper(each) : verify::sooner(each);
    const auto made = m.make();
    const verify::outcome o = verify::simulate(*made, s);
    if (o.what != verify::verdict::clean) return fmt::format("{} is not clean: no table is written\n", m.title());
    rows += verify::table_row(m, s, o.executions) + "\n";
  }
  return rows;
}

// Of all models, in their order. A checker has one process to itself: so many at once
// as there are cores, each with the next model that nobody has begun.
std::vector<std::string> rows_of_all(const verify::models& all, bool deep) {
  void* const shared =
      mmap(nullptr, sizeof(std::atomic<std::size_t>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) throw std::bad_alloc();
  auto& next = *new (shared) std::atomic<std::size_t>(0);
  std::array<int, 2> ends;
  if (pipe(ends.data()) != 0) throw std::runtime_error("no pipe to the models' processes: too many files are open");
  const unsigned workers = std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i != workers; ++i) {
    const pid_t child = fork();
    if (child < 0) throw std::runtime_error("no process for the models: too many are running");
    if (child != 0) continue;
    std::FILE* const out = fdopen(ends[1], "w");
    for (std::size_t k = next++; k < all.size(); k = next++) {
      // Less than PIPE_BUF in one piece: not mixed with another's.
      fmt::print(out, "{}\n{}\n", k, rows_of(all[k], deep));
      std::fflush(out);
    }
    _exit(0);
  }
  close(ends[1]);
  std::FILE* const in = fdopen(ends[0], "r");
  std::vector<std::string> rows(all.size());
  std::size_t done = 0;
  std::size_t at = all.size();
  std::string text;
  for (int c = std::fgetc(in); c != EOF; c = std::fgetc(in)) {
    text += static_cast<char>(c);
    if (c != '\n') continue;
    if (text == "\n") {
      at = all.size();
      if (isatty(2) != 0) fmt::print(stderr, "\r\033[K{} of {} models", ++done, all.size());
    } else if (at == all.size()) {
      at = std::stoul(text);
    } else {
      rows.at(at) += text;
    }
    text.clear();
  }
  std::fclose(in);
  while (wait(nullptr) > 0) {
  }
  if (isatty(2) != 0) fmt::print(stderr, "\r\033[K");
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  millrace::command_line line("table", "Writes what the models searched into verify/README.md");
  bool deep = false;
  line.flag("--deep", deep, "the table of --config=deep's bounds: an hour");
  if (const auto status = line.parse(argc, argv)) return *status;

  const char* const workspace = std::getenv("BUILD_WORKSPACE_DIRECTORY");
  if (workspace == nullptr) {
    fmt::print(stderr, "run it by: bazel run //verify/model:table\n");
    return 2;
  }
  const std::string path = std::string(workspace) + "/verify/README.md";
  const auto contents = [&] {
    std::ifstream in(path);
    return std::string{std::istreambuf_iterator<char>(in), {}};
  };
  const std::string head = fmt::format(
      "| model | threads and operations | {}bound | executions | |\n|---|---|---|---|---|\n", deep ? "deep " : "");
  if (contents().find(head) == std::string::npos) {
    fmt::print(stderr, "{} has no table that begins with\n{}", path, head);
    return 1;
  }

  std::string table = head;
  for (const std::string& rows : rows_of_all(verify::all_models(), deep)) {
    if (!rows.starts_with("|")) {
      fmt::print(stderr, "{}", rows.empty() ? "a model's process has died: no table is written\n" : rows);
      return 1;
    }
    table += rows;
  }
  std::string text = contents();  // as it is by now
  const std::size_t from = text.find(head);
  const std::size_t end = text.find("\n\n", from);
  text.replace(from, (end == std::string::npos ? text.size() : end + 1) - from, table);
  std::ofstream out(path);
  out << text;
  return out.flush() ? 0 : 1;
}
