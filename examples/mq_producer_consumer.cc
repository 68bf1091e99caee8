// The same through a POSIX message queue: ten messages of text, kept by the kernel.
#include <array>
#include <string>

#include "examples/example.h"
#include "millrace/posix_mq.h"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  millrace::command_line command(
      "mq_producer_consumer", "A producer sends ten messages through a POSIX message queue, a consumer receives them.");
  const example::worker one(command, argc, argv);

  using line = std::array<char, 256>;
  using queue = millrace::posix_mq<line>;
  const std::string name = "/millrace-example-" + std::to_string(::getpid());
  example::need(queue::create(name, 10));
  // Both have it open: without a name it goes with them.
  auto out = example::need(queue::attach_sender(name));
  auto in = example::need(queue::attach_receiver(name));
  example::need(millrace::unlink_posix_mq(name));

  example::family family;
  family.start([&] {
    line m;
    for (int i = 0; i != 10 && in.pop(m) == millrace::status::ok; ++i) {
      example::say("received: {}", m.data());
      one.works(2s);
    }
  });

  for (int i = 0; i != 10; ++i) {
    const line m = example::text<256>(fmt::format("message {}", i));
    example::say("sending: {}", m.data());
    if (out.push(m) != millrace::status::ok) return 1;
    one.works(1s);
  }
}
