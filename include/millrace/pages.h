// Memory that comes and goes while it is mapped.
#ifndef MILLRACE_PAGES_H_
#define MILLRACE_PAGES_H_

#include <cstddef>

namespace millrace {

// Bytes from..to-1 of something.
struct extent {
  std::size_t from = 0;
  std::size_t to = 0;
};

// The same in all processes of a machine, and where any of them maps a segment.
std::size_t page_bytes() noexcept;

// Has the kernel back whole pages of a shared mapping, now: with what is in them already,
// or zeros. False if there is no memory for all of them (to touch them could then raise
// SIGBUS), or if they are not there any more. Needs Linux 5.14.
bool commit_pages(void* at, std::size_t bytes) noexcept;

// Gives their memory back, for all who map them. Does nothing where the kernel won't, as in a
// process that has locked its memory.
void decommit_pages(void* at, std::size_t bytes) noexcept;

}  // namespace millrace

#endif  // MILLRACE_PAGES_H_
