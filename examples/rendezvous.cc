// A buffer of no capacity: sender and receiver meet. A send returns when the receiver has the
// message, which is the textbook's blocking send.
#include "examples/example.h"
#include "millrace/channel.h"

using namespace std::chrono_literals;

struct parcel {
  int number;
};

int main(int argc, char** argv) {
  millrace::command_line command("rendezvous", "A hands three parcels over to B, who takes its time.");
  const example::worker one(command, argc, argv);

  using door = millrace::rendezvous<parcel>;
  auto between = example::need(door::create(millrace::location::anonymous(), {.capacity = 0, .members = 2}));

  example::family family;
  auto out = example::need(between.attach_sender());
  if (out.try_push({1}) == millrace::status::full) example::say("A: nobody is at the door");

  family.start([&] {
    auto in = example::need(between.attach_receiver());
    parcel p{};
    for (one.works(500ms); in.pop(p) == millrace::status::ok; one.works(500ms)) {
      example::say("B: takes parcel {}", p.number);
    }
    example::say("B: A has gone");
  });

  for (int i = 1; i <= 3; ++i) {
    example::say("A: offers parcel {}", i);
    if (out.push({i}) != millrace::status::ok) return 1;
    example::say("A: B has parcel {}", i);
  }
}
