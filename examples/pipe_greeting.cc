// A parent greets its child through an anonymous pipe.
#include <array>

#include "examples/example.h"
#include "millrace/pipe.h"

int main() {
  using line = std::array<char, 25>;
  auto pipe = example::need(millrace::pipe<line>::create());

  example::family family;
  family.start([&] {
    line heard{};
    if (pipe.in.pop(heard) == millrace::status::ok) example::say("the child read: {}", heard.data());
  });

  return pipe.out.push(example::text<25>("Greetings")) == millrace::status::ok ? 0 : 1;
}
