// libFuzzer's side: it makes up the scripts.
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "verify/fuzz/play.h"

// What it finds is written where `bazel run` was called.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  const char* const there = std::getenv("BUILD_WORKING_DIRECTORY");
  return there == nullptr ? 0 : ::chdir(there);
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  millrace::fuzz::play({data, size});
  return 0;
}
