// Shows what fifo_writer sends through a named pipe, until it ends.
#include <string>

#include "examples/example.h"
#include "examples/fifo_line.h"
#include "millrace/pipe.h"

int main(int argc, char** argv) {
  millrace::command_line command("fifo_reader", "Shows what fifo_writer sends.");
  std::string path = example::fifo_path;
  command.text("path", path, "FILE", "the named pipe");
  if (const auto status = command.parse(argc, argv)) return *status;

  auto in = example::need(millrace::fifo<example::fifo_line>::attach_receiver(path));
  example::fifo_line line;
  millrace::status s = in.pop(line);
  for (; s == millrace::status::ok; s = in.pop(line)) {
    line.back() = '\0';
    example::say("received: {}", line.data());
  }
  example::say("{}", s == millrace::status::closed ? "the writer has gone" : "that was no line of fifo_writer's");
  return s == millrace::status::closed ? 0 : 1;
}
