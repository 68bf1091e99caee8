// Indirect communication: processes that know nothing of one another send to a mailbox, and
// receive from it.
#include "millrace/mailbox.h"

#include <string>

#include "examples/example.h"

using namespace std::chrono_literals;

struct letter {
  char from;
  int number;
};

int main(int argc, char** argv) {
  millrace::command_line command("mailbox",
                                 "P and Q send letters to a mailbox and go; R and S come later, and receive them.");
  const example::worker one(command, argc, argv);

  using mailbox = millrace::mailbox<letter>;
  const std::string name = fmt::format("example-{}", ::getpid());
  example::leave_no("/dev/shm/" + millrace::mailbox_location(name).name());
  example::need(mailbox::create(name, {.capacity = 8, .members = 8}));
  for (const millrace::mailbox_info& m : millrace::mailboxes()) {
    if (m.name == name) example::say("there is a mailbox now: {}", m.holds);
  }

  example::family family;
  for (const char sender : {'P', 'Q'}) {
    family.start([&] {
      auto box = example::need(mailbox::open(name));
      auto mine = example::need(box.attach());
      for (int i = 1; i <= 3; ++i) {
        if (mine.push({sender, i}) != millrace::status::ok) return;
        example::say("{} sends letter {}", sender, i);
        one.works(500ms);
      }
    });
  }
  family.wait();
  example::say("P and Q have gone, their letters wait");

  for (const char receiver : {'R', 'S'}) {
    family.start([&] {
      auto box = example::need(mailbox::open(name));
      auto mine = example::need(box.attach());
      letter l{};
      for (int i = 0; i != 3 && mine.pop(l) == millrace::status::ok; ++i) {
        example::say("{} receives letter {} of {}", receiver, l.number, l.from);
        one.works(500ms);
      }
    });
  }
  family.wait();
  example::need(mailbox::remove(name));
  example::say("the mailbox is removed");
}
