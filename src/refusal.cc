#include "refusal.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

namespace millrace {

error refused(errc code, int e, const std::string& object, const std::string& what) {
  return {code, e, object, object + ": " + what + (e != 0 ? std::string(" (") + std::strerror(e) + ")" : "")};
}

error refused(int e, const std::string& object, const std::string& kind, const std::string& call) {
  switch (e) {
    case ENOENT:
      return refused(
          errc::not_found, e, object,
          "expected " + kind + ", found nothing; it may be gone already, or have another name: else create it first");
    case EEXIST:
      return refused(errc::exists, e, object, "expected nothing, found something; unlink it, or open it");
    case EACCES:
    case EPERM:
    case EROFS:
      return refused(errc::no_permission, e, object, "is closed to this user; ask its owner, or use another name");
    case EMFILE:
    case ENFILE:
      return refused(errc::limit, e, object, "no descriptor is left; raise the limit of them (ulimit -n)");
    case ENOSPC:
    case EDQUOT:
    case ENOMEM:
      return refused(errc::no_space, e, object, "there is no room for it; free some");
    case ENAMETOOLONG:
    case ENOTDIR:
    case ELOOP:
      return refused(errc::bad_argument, e, object, "expected the name of " + kind + "; use another");
    default:
      return refused(errc::system, e, object, call + " is refused");
  }
}

std::optional<error> wrong_mode(mode_t mode, const std::string& object) {
  if ((mode & ~mode_t{0666}) == 0 && (mode & 0600) == 0600) return std::nullopt;
  return refused(errc::bad_argument, 0, object,
                 "expected a mode that lets its owner read and write and nobody run it, such as 0600");
}

std::optional<error> wrong_capacity(std::uint64_t capacity, const std::string& object) {
  if (capacity != 0) return std::nullopt;
  return refused(errc::bad_argument, 0, object, "expected room for 1 message or more, found 0 asked for; ask for more");
}

std::string sysctl(const std::string& path) {
  std::string value = "unknown";
  std::ifstream("/proc/sys/" + path) >> value;
  return value;
}

std::string too_many_mappings() {
  const std::string most = sysctl("vm/max_map_count");
  std::ifstream maps("/proc/self/maps");
  const auto lines = std::count(std::istreambuf_iterator<char>(maps), {}, '\n');
  // A thread needs two more, and one that is split makes two.
  if (most == "unknown" || lines + 2 < std::stol(most)) return {};
  return "all " + most + " mappings that a process may have are in use; raise vm.max_map_count, or close segments";
}

std::string in_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  return text;
}

}  // namespace millrace
