// An unbounded buffer, as far as there are such: the sender never waits, and a limit that it
// does not reach takes no memory.
#include <array>
#include <cstdint>

#include "examples/example.h"
#include "millrace/channel.h"
#include "millrace/growing_ring.h"

struct note {
  std::uint64_t number;
  std::array<char, 248> text;
};

int main(int argc, char** argv) {
  millrace::command_line command("backlog", "One process sends as fast as it can; another comes later, and receives.");
  if (const auto status = command.parse(argc, argv)) return *status;

  using notes = millrace::channel<note, millrace::growing_ring<note>>;
  auto channel = example::need(notes::create(millrace::location::anonymous(), {.capacity = 10'000'000, .members = 2}));
  auto in = example::need(channel.attach_receiver());
  const auto tell = [&](const char* when) { example::say("{}: {} KiB", when, in.committed_bytes() / 1024); };
  constexpr std::uint64_t many = 100'000;
  tell("nothing is sent yet");

  example::family family;
  family.start([&] {
    auto out = example::need(channel.attach_sender());
    for (std::uint64_t i = 0; i != many && out.try_push({i, {}}) == millrace::status::ok; ++i) {
    }
  });
  family.wait();
  tell("100000 notes wait");

  std::uint64_t received = 0;
  for (const note& n : in) {
    if (n.number != received++) return 1;
    if (received == many / 2) tell("half of them are received");
  }
  tell("all are received");
  return received == many ? 0 : 1;
}
