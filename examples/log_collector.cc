// Many processes log, one writes it down. Some are killed in the middle: what they had
// logged is there, whole, and the others go on.
#include <array>
#include <cstdint>
#include <random>

#include "examples/example.h"
#include "millrace/channel.h"

using namespace std::chrono_literals;

struct entry {
  pid_t from;
  std::uint32_t number;
  std::array<char, 120> text;
};

int main(int argc, char** argv) {
  CLI::App app("Eight processes log at once, and two of them are killed; the lines of all are collected.");
  example::worker one;
  one.add_to(app);
  CLI11_PARSE(app, argc, argv);

  using log = millrace::channel<entry>;
  auto collected = example::need(log::create(millrace::location::anonymous(), {.capacity = 64, .members = 16}));
  auto in = example::need(collected.attach_receiver());

  example::family family;
  for (int process = 0; process != 8; ++process) {
    family.start([&, process] {
      auto out = example::need(collected.attach_sender());
      std::minstd_rand random(static_cast<unsigned>(process + 1));
      for (std::uint32_t i = 0; i != 5; ++i) {
        if (process < 2 && i == 3) ::raise(SIGKILL);
        entry e{::getpid(), i, {}};
        fmt::format_to_n(e.text.data(), e.text.size() - 1, "process {}, step {}", process, i);
        if (out.push(e) != millrace::status::ok) return;
        one.works(100ms * static_cast<double>(random() % 10) / 10);
      }
    });
  }

  int lines = 0;
  for (const entry& e : in) {  // until the last sender has left or been killed
    example::say("[{}] {}", e.from, e.text.data());
    ++lines;
  }
  example::say("{} lines; {} processes logged, 2 of which were killed", lines, 8);
}
