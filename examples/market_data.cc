// Market data: one feed, several processes that each see every tick. One is too slow for it
// and is told how many it has missed, one is killed: the feed and the others take no notice.
#include <array>
#include <cstdint>
#include <string_view>

#include "examples/example.h"
#include "millrace/broadcast.h"

using namespace std::chrono_literals;

struct tick {
  std::array<char, 8> symbol;
  std::uint32_t number;
  double price;
};

int main(int argc, char** argv) {
  millrace::command_line command(
      "market_data",
      "A feed of 200 ticks, 10 ms apart, to three processes: a quick one, a slow one, one that is killed.");
  bool lossless = false;
  command.flag("--lossless", lossless, "the feed waits for the slowest that lives");
  const example::worker one(command, argc, argv);

  using ticks = millrace::broadcast<tick>;
  using millrace::fidelity;
  auto feed = example::need(
      ticks::create(millrace::location::anonymous(),
                    {.capacity = 16, .members = 8, .fidelity = lossless ? fidelity::lossless : fidelity::lossy}));
  auto ready = example::need(millrace::channel<pid_t>::create(millrace::location::anonymous(), {.keep_open = true}));

  example::family processes;
  auto out = example::need(feed.attach_sender());
  const auto receive = [&](std::string_view name, std::chrono::milliseconds work, std::uint32_t killed_after) {
    processes.start([&, name, work, killed_after] {
      auto in = example::need(feed.attach_receiver());  // gets all that is sent from here on
      if (example::need(ready.attach_sender()).push(::getpid()) != millrace::status::ok) return;
      std::uint32_t seen = 0;
      double last = 0;
      for (const tick& t : in) {
        last = t.price;
        if (++seen == killed_after) ::raise(SIGKILL);
        one.works(work);
      }
      example::say("{}: {} ticks, {} missed, the last price {:.2f}", name, seen, in.missed(), last);
    });
  };
  receive("quick", 0ms, 0);
  receive("slow", 100ms, 0);
  receive("killed", 0ms, 20);

  {
    auto all = example::need(ready.attach_receiver());
    for (int i = 0; i != 3; ++i) {
      pid_t who = 0;
      if (all.pop(who) != millrace::status::ok) return 1;
    }
  }
  double price = 100;
  for (std::uint32_t i = 0; i != 200; ++i) {
    price += i % 3 == 0 ? 0.25 : -0.1;
    if (out.push({example::text<8>("ACME"), i, price}) != millrace::status::ok) return 1;
    one.works(10ms);
  }
  out.close();
  processes.wait();
  example::say("the feed has sent 200 ticks");
}
