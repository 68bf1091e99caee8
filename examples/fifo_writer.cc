// Sends what is typed, a line a message, through a named pipe to fifo_reader.
#include <iostream>
#include <string>

#include "examples/example.h"
#include "examples/fifo_line.h"
#include "millrace/pipe.h"

// Whoever ends this by Ctrl-C finds no pipe left.
std::string path = example::fifo_path;

void on_interrupt(int signal) {
  ::unlink(path.c_str());
  ::_exit(128 + signal);
}

int main(int argc, char** argv) {
  CLI::App app("Sends each line that is typed to fifo_reader, which runs in another terminal.");
  app.add_option("path", path, "of the named pipe")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  example::need(millrace::create_fifo(path));
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) std::signal(signal, on_interrupt);
  struct unlinked {
    ~unlinked() { (void)millrace::unlink_fifo(path); }
  } at_the_end;

  example::say("waiting for a reader: fifo_reader {}", path);
  auto out = millrace::fifo<example::fifo_line>::attach_sender(path);
  if (!out) return fmt::print(stderr, "{}\n", out.error().message), 2;
  example::say("type a line, or exit");
  for (std::string typed; std::getline(std::cin, typed) && typed != "exit";) {
    if (out->push(example::text<256>(typed)) == millrace::status::ok) continue;
    example::say("the reader has gone");
    return 1;
  }
  example::say("done");
}
