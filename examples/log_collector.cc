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
  millrace::command_line command(
      "log_collector", "Eight processes log at once, and two of them are killed; the lines of all are collected.");
  const example::worker one(command, argc, argv);

  using log = millrace::channel<entry>;
  auto collected = example::need(log::create(millrace::location::anonymous(), {.capacity = 64, .members = 16}));

  example::family collector;
  collector.start([&] {
    auto in = example::need(collected.attach_receiver());
    int lines = 0;
    for (const entry& e : in) {  // until the last sender has left or been killed
      example::say("[{}] {}", e.from, e.text.data());
      ++lines;
    }
    example::say("{} lines; 8 processes logged, 2 of which were killed", lines);
  });

  // As long as this process could send, too, the log has no end: some of the others may be
  // done before the last of them has come.
  const auto until_all_are_done = example::need(collected.attach_sender());
  example::family processes;
  for (int process = 0; process != 8; ++process) {
    processes.start([&, process] {
      auto out = example::need(collected.attach_sender());
      std::minstd_rand random(static_cast<unsigned>(process + 1));
      for (std::uint32_t i = 0; i != 5; ++i) {
        if (process < 2 && i == 3) ::raise(SIGKILL);
        const entry e{::getpid(), i, example::text<120>(fmt::format("process {}, step {}", process, i))};
        if (out.push(e) != millrace::status::ok) return;
        one.works(100ms * static_cast<double>(random() % 10) / 10);
      }
    });
  }
  processes.wait();
}
