// What a refusal of the kernel's means to whoever sets something up: one line of text.
#ifndef MILLRACE_SRC_REFUSAL_H_
#define MILLRACE_SRC_REFUSAL_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>

#include "millrace/result.h"

namespace millrace {

// "object: what", and the reason that goes with `e`, if it is not 0.
error refused(errc code, int e, const std::string& object, const std::string& what);

// What is alike for all that have a name: not there, there already, closed, no room, no
// descriptor. `kind` is what was to be opened or made, by the system call `call`.
error refused(int e, const std::string& object, const std::string& kind, const std::string& call);

// An error if the owner could not read and write something of this mode, or somebody run it.
std::optional<error> wrong_mode(mode_t mode, const std::string& object);

// An error if a queue of the kernel's would have room for nothing.
std::optional<error> wrong_capacity(std::uint64_t capacity, const std::string& object);

// A value below /proc/sys, or "unknown".
std::string sysctl(const std::string& path);

// Empty; or, where this process has as many mappings as it may, that and what to do. The
// system then calls it a lack of memory, or of threads.
std::string too_many_mappings();

// The text without what would begin another line, or control a terminal.
std::string in_one_line(std::string text);

}  // namespace millrace

#endif  // MILLRACE_SRC_REFUSAL_H_
