#include "millrace/mailbox.h"

#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>

#include "millrace/layout.h"
#include "millrace/shared_memory.h"
#include "refusal.h"

namespace millrace {
namespace {

constexpr std::string_view directory = "/dev/shm";
constexpr std::string_view prefix = "millrace.mailbox.";

}  // namespace

location mailbox_location(std::string_view name) {
  return location::posix(name.empty() ? "" : std::string(prefix).append(name));
}

result<done> check_mailbox_name(std::string_view name) {
  constexpr std::size_t longest = NAME_MAX - 1 - prefix.size();
  const bool printable = std::ranges::none_of(name, [](unsigned char c) { return c < 32 || c == 127; });
  if (!name.empty() && name.size() <= longest && printable && name.find('/') == std::string_view::npos) return done{};
  return refused(errc::bad_argument, 0, in_one_line("mailbox:" + std::string(name.substr(0, 64))),
                 "expected a name of 1 to " + std::to_string(longest) +
                     " characters with no '/', not even a leading one, and no control characters; found " +
                     std::to_string(name.size()) + " characters; use a name such as \"orders\"");
}

// Whoever takes the name away has the file locked, and has seen that it is this one's: so
// it can't be that of a mailbox made since, which nobody would have closed. The kernel takes
// the lock back from whoever is killed.
result<done> remove_mailbox(const shared_memory& box, const std::function<void()>& close) {
  const location& where = box.where();
  while (::flock(box.descriptor(), LOCK_EX) != 0) {
    if (errno != EINTR) return refused(errno, where.describe(), "a mailbox", "flock");
  }
  // A child forked meanwhile may have the descriptor, too.
  const std::unique_ptr<const shared_memory, void (*)(const shared_memory*)> unlocked(
      &box, [](const shared_memory* b) { ::flock(b->descriptor(), LOCK_UN); });
  struct stat own {};
  struct stat named {};
  const std::string path = std::string(directory) + '/' + where.name();
  if (::fstat(box.descriptor(), &own) != 0) return refused(errno, where.describe(), "a mailbox", "fstat");
  if (::stat(path.c_str(), &named) != 0 || named.st_ino != own.st_ino || named.st_dev != own.st_dev) {
    return refused(ENOENT, where.describe(), "a mailbox", "stat");
  }
  close();
  return shared_memory::unlink(where);
}

std::vector<mailbox_info> mailboxes() {
  std::vector<mailbox_info> found;
  std::error_code ended;  // where there is no /dev/shm there is no mailbox
  for (std::filesystem::directory_iterator at(directory, ended), end; !ended && at != end; at.increment(ended)) {
    const std::string file = at->path().filename();
    struct stat status {};
    if (!file.starts_with(prefix) || ::stat(at->path().c_str(), &status) != 0) continue;
    const auto memory = shared_memory::open(location::posix(file));
    // Removed since; or what can't be a mailbox's name.
    if (!memory && (memory.error().code == errc::not_found || memory.error().code == errc::bad_argument)) continue;
    found.push_back({file.substr(prefix.size()), status.st_uid, status.st_mode & 07777,
                     in_one_line(memory ? describe(memory->base(), memory->size()) : memory.error().message)});
  }
  std::ranges::sort(found, {}, &mailbox_info::name);
  return found;
}

}  // namespace millrace
