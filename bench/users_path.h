// Files that a command was told of.
#ifndef MILLRACE_BENCH_USERS_PATH_H_
#define MILLRACE_BENCH_USERS_PATH_H_

#include <cstdlib>
#include <filesystem>
#include <string>

namespace millrace::bench {

// Under `bazel run` the working directory is none of the user's.
inline std::filesystem::path users_path(const std::string& given) {
  const char* const there = std::getenv("BUILD_WORKING_DIRECTORY");
  return there == nullptr ? std::filesystem::path(given) : std::filesystem::path(there) / given;
}

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_USERS_PATH_H_
