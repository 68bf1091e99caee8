// Sends what is typed, a line a message, through a named pipe to fifo_reader.
#include <iostream>
#include <string>

#include "examples/example.h"
#include "examples/fifo_line.h"
#include "millrace/pipe.h"

int main(int argc, char** argv) {
  millrace::command_line command("fifo_writer",
                                 "Sends each line that is typed to fifo_reader, which runs in another terminal.");
  std::string path = example::fifo_path;
  command.text("path", path, "FILE", "the named pipe");
  if (const auto status = command.parse(argc, argv)) return *status;

  example::need(millrace::create_fifo(path));
  example::leave_no(path);

  example::say("waiting for a reader: fifo_reader {}", path);
  auto out = example::need(millrace::fifo<example::fifo_line>::attach_sender(path));
  example::say("type a line, or exit");
  for (std::string typed; std::getline(std::cin, typed) && typed != "exit";) {
    if (out.push(example::text<256>(typed)) == millrace::status::ok) continue;
    example::say("the reader has gone");
    return 1;
  }
  example::say("done");
}
