#include "verify/races/segments.h"

#include <dirent.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

#include "millrace/process.h"

namespace millrace::races {
namespace {

constexpr const char* posix_directory = "/dev/shm/";
constexpr const char* owned_prefix = "millrace-demo-";

// A System V segment has no name to carry its owner, but the kernel remembers its
// creator; the upper half of the key says that it is one of ours.
constexpr std::uint32_t key_family = 0x6d720000;

std::string in_directory(const std::string& name) { return posix_directory + name; }

std::vector<std::string> posix_segments() {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir(posix_directory), closedir);
  if (directory == nullptr) return names;
  while (const dirent* entry = readdir(directory.get())) names.emplace_back(entry->d_name);
  return names;
}

void sweep_posix() {
  const std::vector<std::string> names = posix_segments();
  for (const std::string& owned : names) {
    if (!owned.starts_with(owned_prefix)) continue;
    process_identity owner;
    unsigned long long start = 0;
    if (std::sscanf(owned.c_str() + std::strlen(owned_prefix), "%d-%llu-%u-", &owner.pid, &start,
                    &owner.pid_namespace) != 3) {
      continue;
    }
    owner.start_time = start;
    struct stat of_owned {};
    if (probe(owner) != liveness::dead || lstat(in_directory(owned).c_str(), &of_owned) != 0) continue;
    // The owned name goes last: a sweeper killed before that leaves it to be found again.
    for (const std::string& name : names) {
      struct stat other {};
      if (name != owned && lstat(in_directory(name).c_str(), &other) == 0 && other.st_dev == of_owned.st_dev &&
          other.st_ino == of_owned.st_ino) {
        ::unlink(in_directory(name).c_str());
      }
    }
    ::unlink(in_directory(owned).c_str());
  }
}

// A run killed between shmget and IPC_RMID leaves a segment that nobody maps.
void sweep_sysv() {
  std::ifstream table("/proc/sysvipc/shm");
  std::string line;
  std::getline(table, line);
  while (std::getline(table, line)) {
    std::istringstream fields(line);
    std::int64_t key = 0;
    int id = 0;
    std::string mode;
    std::uint64_t size = 0;
    pid_t creator = 0;
    pid_t last = 0;
    std::uint64_t attached = 0;
    uid_t uid = 0;
    fields >> key >> id >> mode >> size >> creator >> last >> attached >> uid;
    const bool ours = (static_cast<std::uint32_t>(key) & 0xffff0000u) == key_family && uid == geteuid();
    const bool dead = creator > 0 && kill(creator, 0) != 0 && errno == ESRCH;
    if (fields && ours && dead && attached == 0) shmctl(id, IPC_RMID, nullptr);
  }
}

error failure(errc code, int number, std::string object, const std::string& what) {
  std::string message = object + ": " + what;
  return {code, number, std::move(object), std::move(message)};
}

}  // namespace

result<sysv_segment> sysv_segment::create(std::size_t bytes) {
  std::random_device random;
  int id = -1;
  do {
    const auto key = static_cast<key_t>(key_family | (random() & 0xffffu));
    id = shmget(key, bytes, IPC_CREAT | IPC_EXCL | 0600);
  } while (id < 0 && errno == EEXIST);
  if (id < 0) {
    const int number = errno;
    return failure(errc::no_space, number, "a System V segment",
                   "cannot create " + std::to_string(bytes) + " bytes (" + std::strerror(number) +
                       "); ask for a smaller --capacity, or see ipcs -l");
  }
  void* const base = shmat(id, nullptr, 0);
  const int number = errno;
  shmctl(id, IPC_RMID, nullptr);
  if (reinterpret_cast<std::intptr_t>(base) == -1) {
    return failure(errc::system, number, "a System V segment",
                   std::string("cannot map it (") + std::strerror(number) + ")");
  }
  return sysv_segment(base);
}

sysv_segment::sysv_segment(sysv_segment&& other) noexcept : base_(std::exchange(other.base_, nullptr)) {}

sysv_segment::~sysv_segment() {
  if (base_ != nullptr) shmdt(base_);
}

std::string owned_name(std::uint32_t index) {
  const process_identity me = process_identity::self();
  return owned_prefix + std::to_string(me.pid) + "-" + std::to_string(me.start_time) + "-" +
         std::to_string(me.pid_namespace) + "-" + std::to_string(index);
}

result<published_name> published_name::create(const std::string& owned, const std::string& name) {
  if (link(in_directory(owned).c_str(), in_directory(name).c_str()) == 0) return published_name(owned, name);
  const int number = errno;
  ::unlink(in_directory(owned).c_str());
  return failure(number == EEXIST ? errc::exists : errc::system, number, "posix:/" + name,
                 std::string("cannot be created (") + std::strerror(number) + "); choose another --name");
}

published_name::published_name(published_name&& other) noexcept
    : owned_(std::move(other.owned_)), name_(std::exchange(other.name_, {})) {}

published_name::~published_name() {
  if (name_.empty()) return;
  ::unlink(in_directory(name_).c_str());
  ::unlink(in_directory(owned_).c_str());
}

void sweep() {
  sweep_posix();
  sweep_sysv();
}

}  // namespace millrace::races
