// A parent greets its child through an anonymous pipe.
#include <array>
#include <string_view>

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

  line greeting{};
  std::string_view("Greetings").copy(greeting.data(), greeting.size() - 1);
  return pipe.out.push(greeting) == millrace::status::ok ? 0 : 1;
}
