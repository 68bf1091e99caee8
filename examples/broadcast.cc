// Broadcast: each receiver gets every message. (Through a queue, or a pipe, one of them would
// take it away from the others.)
#include "millrace/broadcast.h"

#include <array>

#include "examples/example.h"
#include "millrace/pipe.h"

using namespace std::chrono_literals;

using line = std::array<char, 32>;

int main(int argc, char** argv) {
  millrace::command_line command("broadcast", "Three listeners each hear all that is announced.");
  const example::worker one(command, argc, argv);

  auto air =
      example::need(millrace::broadcast<line>::create(millrace::location::anonymous(), {.capacity = 4, .members = 4}));
  auto present = example::need(millrace::pipe<char>::create());

  example::family family;
  for (const char listener : {'A', 'B', 'C'}) {
    family.start([&] {
      auto in = example::need(air.attach_receiver());  // gets what is sent from here on
      if (present.out.push(listener) != millrace::status::ok) return;
      int heard = 0;
      for (const line& l : in) {
        example::say("{} hears: {}", listener, l.data());
        ++heard;
      }
      example::say("{} has heard {} announcements", listener, heard);
    });
  }
  for (int i = 0; i != 3; ++i) {
    char who{};
    if (present.in.pop(who) != millrace::status::ok) return 1;
  }

  auto out = example::need(air.attach_sender());
  for (const char* text : {"doors open", "next stop: harbour", "doors close"}) {
    example::say("announced: {}", text);
    if (out.push(example::text<32>(text)) != millrace::status::ok) return 1;
    one.works(500ms);
  }
}
