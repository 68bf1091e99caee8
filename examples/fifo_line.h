// What fifo_writer and fifo_reader have to agree on.
#ifndef MILLRACE_EXAMPLES_FIFO_LINE_H_
#define MILLRACE_EXAMPLES_FIFO_LINE_H_

#include <array>

namespace example {

using fifo_line = std::array<char, 256>;
inline constexpr const char* fifo_path = "/tmp/millrace_fifo";

}  // namespace example

#endif  // MILLRACE_EXAMPLES_FIFO_LINE_H_
