#include "millrace/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; newer than some C libraries
#endif

namespace millrace {

std::size_t page_bytes() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

bool commit_pages(void* at, std::size_t bytes) noexcept {
  int failed = 0;
  do {
    failed = ::madvise(at, bytes, MADV_POPULATE_WRITE);
  } while (failed != 0 && errno == EINTR);
  return failed == 0;
}

void decommit_pages(void* at, std::size_t bytes) noexcept { (void)::madvise(at, bytes, MADV_REMOVE); }

}  // namespace millrace
