// Direct communication: a customer and a shop name each other, and have a link that is theirs
// alone. The shop is killed; the next one under that name has a link of its own.
#include "millrace/direct.h"

#include <csignal>

#include "examples/example.h"

using namespace std::chrono_literals;

struct order {
  int number;
};

using direct = millrace::direct<order>;

namespace {

void shop(const millrace::direct_options& street, int orders_until_killed, const example::worker& one) {
  auto me = example::need(direct::enroll("shop", street));
  order o{};
  while (me.receive("customer", o) == millrace::status::ok) {
    if (orders_until_killed-- == 0) ::raise(SIGKILL);
    one.works(500ms);
    if (me.send("customer", o) != millrace::status::ok) break;
  }
  example::say("shop: the customer has gone");
}

void customer(const millrace::direct_options& street, const example::worker& one) {
  example::family shops;  // waited for when we have left
  auto me = example::need(direct::enroll("customer", street));
  shops.start([&] { shop(street, 2, one); });
  for (int i = 1; i <= 4;) {
    example::say("customer: order {}", i);
    if (me.send("shop", {i}) == millrace::status::refused) return;  // waits until there is a shop
    order o{};
    if (me.receive("shop", o) == millrace::status::ok) {
      example::say("customer: order {} is here", o.number);
      ++i;
    } else {
      example::say("customer: the shop has gone, with order {}; another opens", i);
      shops.start([&] { shop(street, 4, one); });
    }
  }
}

volatile pid_t started = 0;
volatile std::sig_atomic_t interrupted = 0;

// With its shop.
void kill_customer() {
  if (started != 0) ::kill(started, SIGKILL);
}

}  // namespace

int main(int argc, char** argv) {
  millrace::command_line command("direct",
                                 "A customer has orders done by a shop, which is killed in the third of them.");
  const example::worker one(command, argc, argv);

  const millrace::direct_options street{.exchange = fmt::format("example-{}", ::getpid())};
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    std::signal(signal, [](int s) {
      interrupted = s;
      kill_customer();
    });
  }
  example::family family;
  started = family.start([&] { customer(street, one); });
  if (interrupted != 0) kill_customer();  // it may have been before we knew whom
  family.wait();
  // Whoever was killed has left something, which goes with the next to enroll and leave.
  for (const char* name : {"customer", "shop"}) {
    for (;;) {
      const auto nobody = direct::enroll(name, street);
      if (nobody || nobody.error().code != millrace::errc::exists) break;
      ::usleep(1000);  // its end is not known yet
    }
  }
  return interrupted != 0 ? 128 + interrupted : 0;
}
