// The bounded buffer of the textbook: five slots in shared memory, ten items, a producer
// that needs a second for each and a consumer that needs two.
#include "examples/example.h"
#include "millrace/channel.h"
#include "millrace/spsc_ring.h"

using namespace std::chrono_literals;

int main(int argc, char** argv) {
  millrace::command_line command("shm_producer_consumer",
                                 "A producer fills five slots in shared memory, a consumer empties them.");
  const example::worker one(command, argc, argv);

  using buffer = millrace::channel<int, millrace::spsc_ring<int>>;
  auto slots = example::need(buffer::create(millrace::location::anonymous(), {.capacity = 5, .members = 2}));

  example::family family;
  family.start([&] {
    auto in = example::need(slots.attach_receiver());
    for (const int item : in) {
      example::say("consumed {}", item);
      one.works(2s);
    }
    example::say("nothing more to consume");
  });

  auto out = example::need(slots.attach_sender());
  for (int item = 0; item != 10; ++item) {
    if (out.push(item) != millrace::status::ok) return 1;  // waits while all five are full
    example::say("produced {}, {} of 5 slots full", item, out.size_approx());
    one.works(1s);
  }
}
