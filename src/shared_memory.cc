#include "millrace/shared_memory.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <pwd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <limits>
#include <new>
#include <optional>
#include <sstream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "millrace/pages.h"
#include "millrace/process.h"
#include "refusal.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23  // Linux 5.14; newer than some C libraries
#endif

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr char directory[] = "/dev/shm";
constexpr std::size_t longest_name = 254;
constexpr auto patience = 2s;       // with a living process that is initialising a segment
constexpr auto probe_every = 10ms;  // whether it still lives: nobody wakes us at its death
constexpr std::size_t huge_page = std::size_t{2} << 20;
constexpr int most_attempts = 64;  // against others that create and unlink the same name

// The first bytes of every segment, in every process's mapping.
//
//  state   0                the payload is raw: zero, or never finished
//          packed identity  that process is initialising the payload
//          ready            initialised, for good
//  maker   0, or a tag and the PID namespace in which the identity in `state` has
//          its meaning; set before the first claim. What has neither this tag
//          nor zeros here was not made by us.
struct preamble {
  std::atomic<std::uint64_t> state;
  std::atomic<std::uint64_t> maker;
  std::atomic<std::uint64_t> bytes;  // of the payload; valid once ready
  std::atomic<std::uint32_t> turn;   // futex: counts the ends of claims
  std::byte reserved[100];
};
static_assert(sizeof(preamble) == 128);

// Its low bits are no pid, so it can be no claim.
constexpr std::uint64_t ready = 0x6d696c6c72000000;  // "millr"
static_assert((ready & ((1U << 22) - 1)) == 0);

constexpr std::uint64_t maker_tag = 0x4d524331;  // "MRC1": changes with the preamble's layout

constexpr std::uint64_t maker_of(const process_identity& who) { return maker_tag << 32 | who.pid_namespace; }

preamble& preamble_at(void* mapping) { return *static_cast<preamble*>(mapping); }

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

std::string reason(int sys_errno) { return std::generic_category().message(sys_errno); }

template <class... Parts>
error fail(errc code, int sys_errno, const location& where, const Parts&... parts) {
  return {code, sys_errno, where.describe(), text(where.describe(), ": ", parts...)};
}

error refused(int sys_errno, const location& where, const char* call) {
  if (sys_errno == EMFILE || sys_errno == ENFILE) {
    return fail(errc::limit, sys_errno, where, call, " needs a file descriptor, found none free (", reason(sys_errno),
                "); close some or raise `ulimit -n`");
  }
  if (sys_errno == EROFS) {
    return fail(errc::no_permission, sys_errno, where, "expected a ", directory,
                " that can be written to, found it mounted read-only; mount it anew");
  }
  return fail(errc::system, sys_errno, where, "expected ", call, " to succeed, the kernel answered \"",
              reason(sys_errno), "\"; see ", call, "'s manual page");
}

std::string octal(mode_t mode) { return text("0", std::oct, mode & 07777); }

std::string path_of(const location& where) { return text(directory, '/', where.name()); }

result<done> check(const location& where) {
  switch (where.which()) {
    case location::kind::posix: {
      const std::string& name = where.name();
      const bool printable = std::none_of(name.begin(), name.end(), [](unsigned char c) { return c < 32 || c == 127; });
      if (name.empty() || name.size() > longest_name || name == "." || name == ".." || !printable ||
          name.find('/') != std::string::npos) {
        return error{
            errc::bad_argument, 0, "posix",
            text("posix: expected a name of 1 to ", longest_name,
                 " characters with no '/' but a leading one and no control characters, not \".\" or \"..\"; found ",
                 name.size(), " characters", printable ? text(": \"", name.substr(0, 64), '"') : "",
                 "; use a name such as \"/ticks\"")};
      }
      return done{};
    }
    case location::kind::sysv:
      if (where.key() != IPC_PRIVATE) return done{};
      return fail(errc::bad_argument, 0, where,
                  "expected a key that others can name, found IPC_PRIVATE (0); use another"
                  " key, or location::anonymous()");
    case location::kind::memfd:
      if (where.name().size() <= 249 && where.name().find('\0') == std::string::npos) return done{};
      return error{
          errc::bad_argument, 0, "memfd",
          text("memfd: expected a label of at most 249 characters, found ", where.name().size(), "; shorten it")};
    case location::kind::anonymous:
      return done{};
  }
  return fail(errc::bad_argument, 0, where, "expected a kind of location, found another value");
}

result<done> check(const location& where, std::size_t bytes, mode_t mode) {
  if (auto ok = check(where); !ok) return ok;
  if (bytes == 0)
    return fail(errc::bad_argument, 0, where, "expected a size of at least 1 byte, found 0; ask for more");
  if ((mode & ~mode_t{0777}) != 0 || (mode & 0600) != 0600) {
    return fail(errc::bad_argument, 0, where,
                "expected a mode from 0600 to 0777 that lets the owner read and write,"
                " found ",
                octal(mode), "; 0600 is private, 0660 shares with the group");
  }
  return done{};
}

constexpr std::uint64_t unlimited = std::numeric_limits<std::uint64_t>::max();

std::uint64_t free_memory() {
  std::ifstream file("/proc/meminfo");
  std::uint64_t kibibytes = 0;
  bool found = false;
  for (std::string field; file >> field;) {
    std::uint64_t value = 0;
    if ((field == "MemAvailable:" || field == "SwapFree:") && file >> value) {
      kibibytes += value;
      found = true;
    }
  }
  return found ? kibibytes * 1024 : unlimited;
}

std::uint64_t available(const location& where) {
  std::uint64_t room = free_memory();
  struct statvfs fs {};
  if (where.which() == location::kind::posix && ::statvfs(directory, &fs) == 0 && fs.f_blocks != 0) {
    room = std::min<std::uint64_t>(room, fs.f_bavail * fs.f_frsize);
  }
  return room;
}

error no_space(int sys_errno, const location& where, std::size_t bytes) {
  struct statvfs fs {};
  if (sys_errno == ENOSPC && where.which() == location::kind::posix && ::statvfs(directory, &fs) == 0 &&
      fs.f_files != 0 && fs.f_favail == 0) {
    return fail(errc::no_space, sys_errno, where, "needed one more file in /dev/shm, found all of its ", fs.f_files,
                " taken (", reason(sys_errno), "); remove some, or mount it with a larger nr_inodes");
  }
  const std::uint64_t room = available(where);
  return fail(errc::no_space, sys_errno, where, "needed ", bytes, " bytes and ", sizeof(preamble),
              " of preamble, available ", room == unlimited ? "unknown" : text(room), " bytes", " (", reason(sys_errno),
              "); ask for less, or free some", where.which() == location::kind::posix ? " in /dev/shm" : " memory");
}

// `call` could not map `length` bytes.
error unmappable(int sys_errno, const location& where, std::size_t length, const char* call) {
  if (sys_errno != ENOMEM) return refused(sys_errno, where, call);
  if (const std::string why = too_many_mappings(); !why.empty()) return fail(errc::limit, sys_errno, where, why);
  rlimit most{};
  if (::getrlimit(RLIMIT_AS, &most) != 0 || most.rlim_cur == RLIM_INFINITY) {
    return no_space(sys_errno, where, length - sizeof(preamble));
  }
  std::uint64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return fail(errc::limit, sys_errno, where, "needed ", length, " bytes of address space, found a limit of ",
              most.rlim_cur, " with ", pages * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)),
              " in use; raise `ulimit -v`");
}

// Asked before anything is allocated: to find out by allocating could take the
// whole machine's memory first.
result<done> check_room(const location& where, std::size_t bytes, std::size_t fixed) {
  constexpr auto most = static_cast<std::size_t>(std::numeric_limits<off_t>::max());
  if (bytes > most - sizeof(preamble) || fixed + sizeof(preamble) > available(where)) {
    return no_space(ENOSPC, where, fixed);
  }
  return done{};
}

bool grows(extent growing) { return growing.from != growing.to; }

// The parts of a mapping of `length` bytes that are reserved at its creation, each from the
// start of a page on: all but what grows.
std::vector<extent> reserved(std::size_t length, extent growing) {
  if (!grows(growing)) return {{0, length}};
  return {{0, sizeof(preamble) + growing.from},
          {(sizeof(preamble) + growing.to) / page_bytes() * page_bytes(), length}};
}

// Where a mapping of that length can have huge pages, if there is such a place; a hint for mmap.
void* alignable(std::size_t length) {
  if (length < huge_page) return nullptr;
  const std::size_t room = length + huge_page;
  void* const at = ::mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return nullptr;
  ::munmap(at, room);
  return reinterpret_cast<void*>((reinterpret_cast<std::uintptr_t>(at) + huge_page - 1) / huge_page * huge_page);
}

// Backs every page of a mapping now, but for what grows. The contents stay as they are.
result<done> populate(const location& where, void* mapping, std::size_t length, extent growing = {}) {
  for (const auto [from, to] : reserved(length, growing)) {
    std::byte* const at = static_cast<std::byte*>(mapping) + from;
    if (::madvise(at, to - from, MADV_POPULATE_WRITE) == 0) continue;
    const int why = errno;
    if (why == ENOMEM || why == EFAULT)
      return no_space(ENOMEM, where, length - sizeof(preamble) - (growing.to - growing.from));
    if (why != EINVAL) return refused(why, where, "madvise");
    // An older kernel. Atomic, because others may be waiting on the preamble.
    for (std::size_t page = 0; page < to - from; page += page_bytes()) {
      reinterpret_cast<std::atomic<unsigned char>*>(at + page)->fetch_or(0, std::memory_order_relaxed);
    }
  }
  return done{};
}

error not_found(const location& where, int sys_errno) {
  return fail(errc::not_found, sys_errno, where,
              "expected a segment, found none; start its creator first, or use"
              " open_or_create");
}

// Whose it is that lies at a location with a name.
struct ownership {
  uid_t uid = 0;
  mode_t mode = 0;
};

std::optional<ownership> ownership_of(const location& where) {
  if (where.which() == location::kind::posix) {
    struct stat info {};
    if (::lstat(path_of(where).c_str(), &info) != 0) return std::nullopt;
    return ownership{info.st_uid, info.st_mode & 07777};
  }
  // shmctl answers only those who may read the segment; this file answers everybody.
  std::ifstream file("/proc/sysvipc/shm");
  std::string line;
  std::getline(file, line);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::int64_t key = 0;
    std::string id, size, creator, last, attached;
    ownership found;
    fields >> key >> id >> std::oct >> found.mode >> std::dec >> size >> creator >> last >> attached >> found.uid;
    if (fields && static_cast<std::int32_t>(key) == where.key()) return found;
  }
  return std::nullopt;
}

// "uid 1000 (alice), mode 0600"
std::string describe(const ownership& owner) {
  passwd entry{};
  passwd* found = nullptr;
  char names[4096];
  ::getpwuid_r(owner.uid, &entry, names, sizeof names, &found);
  return text("uid ", owner.uid, found != nullptr ? text(" (", found->pw_name, ')') : "", ", mode ", octal(owner.mode));
}

error exists(const location& where) {
  struct stat info {};
  if (where.which() == location::kind::posix && ::lstat(path_of(where).c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return fail(errc::exists, EEXIST, where, "expected nothing there, found another type of file (mode ",
                octal(info.st_mode), "); use another name");
  }
  const auto owner = ownership_of(where);
  if (owner && owner->uid != ::geteuid()) {
    return fail(errc::exists, EEXIST, where, "expected nothing there, found a segment of ", describe(*owner),
                "; have its owner unlink it, or use another name");
  }
  return fail(errc::exists, EEXIST, where,
              "expected nothing there, found a segment; open it, use open_or_create, or"
              " unlink it first");
}

template <class... Found>
error foreign(const location& where, int sys_errno, const Found&... found) {
  return fail(errc::foreign, sys_errno, where, "expected a millrace segment, found ", found...,
              "; use another name, or unlink it if nobody needs it");
}

error no_permission(const location& where, int sys_errno, const std::string& found) {
  return fail(errc::no_permission, sys_errno, where, "expected to be let in as uid ", ::geteuid(), ", found ", found,
              "; run as its owner, or have it created with a wider mode");
}

error no_permission(const location& where, int sys_errno) {
  if (const auto owner = ownership_of(where)) return no_permission(where, sys_errno, "it owned by " + describe(*owner));
  return no_permission(where, sys_errno,
                       where.which() == location::kind::posix ? "/dev/shm closed" : "it closed to others");
}

error not_removed(int sys_errno, const location& where, const char* call) {
  switch (sys_errno) {
    case ENOENT:
    case EINVAL:
    case EIDRM:
      return fail(errc::not_found, sys_errno, where,
                  "expected a segment to remove, found none; was it removed already?");
    case EISDIR:
      return foreign(where, sys_errno, "a directory");
    case EACCES:
    case EPERM: {
      const auto owner = ownership_of(where);
      return fail(errc::no_permission, sys_errno, where, "expected to own it, found ",
                  owner ? "it owned by " + describe(*owner) : "that it may not be removed",
                  "; only its owner or root can remove it");
    }
    default:
      return refused(sys_errno, where, call);
  }
}

// shmget would not create a segment of `length` bytes.
error sysv_refused(int sys_errno, const location& where, std::size_t length) {
  if (sys_errno == EINVAL) {
    return fail(errc::limit, sys_errno, where, "needed a System V segment of ", length,
                " bytes, found kernel.shmmax = ", sysctl("kernel/shmmax"),
                "; raise it with sysctl, or use location::posix");
  }
  if (sys_errno == ENOSPC) {
    return fail(errc::limit, sys_errno, where, "needed one more System V segment of ", length,
                " bytes, found kernel.shmmni = ", sysctl("kernel/shmmni"),
                " segments or kernel.shmall = ", sysctl("kernel/shmall"),
                " pages used up; see `ipcs`, remove unused ones with `ipcrm`");
  }
  if (sys_errno == ENOMEM) return no_space(sys_errno, where, length - sizeof(preamble));
  if (sys_errno == EACCES) return no_permission(where, sys_errno);
  return refused(sys_errno, where, "shmget");
}

error half_made(const location& where, pid_t creator) {
  return fail(errc::not_found, 0, where, "expected a finished segment, found one half-made by pid ", creator,
              ", its creator died; create it again or unlink it");
}

error keeps_changing(const location& where) {
  return fail(errc::limit, 0, where, "expected it to be there or not, found it created and unlinked by others ",
              most_attempts, " times in a row; stop them, or use another name");
}

}  // namespace

location::location(kind k, std::string name, std::int32_t key) : kind_(k), name_(std::move(name)), key_(key) {}

location location::posix(std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  return {kind::posix, std::move(name), 0};
}

location location::sysv(std::int32_t key) { return {kind::sysv, {}, key}; }
location location::anonymous() { return {kind::anonymous, {}, 0}; }
location location::memfd(std::string label) { return {kind::memfd, std::move(label), 0}; }

std::string location::describe() const {
  std::string printable = name_;
  std::replace_if(
      printable.begin(), printable.end(), [](unsigned char c) { return c < 0x20 || c == 0x7f; }, '?');
  switch (kind_) {
    case kind::posix:
      return "posix:/" + printable;
    case kind::sysv:
      return text("sysv:0x", std::hex, static_cast<std::uint32_t>(key_));
    case kind::anonymous:
      return "anonymous";
    case kind::memfd:
      return "memfd:" + printable;
  }
  return "not a location";
}

shared_memory::shared_memory(location where) noexcept : where_(std::move(where)) {}

shared_memory::shared_memory(shared_memory&& other) noexcept
    : where_(std::move(other.where_)),
      mapping_(std::exchange(other.mapping_, nullptr)),
      mapped_(std::exchange(other.mapped_, 0)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      created_(std::exchange(other.created_, false)),
      guard_(std::move(other.guard_)) {}

shared_memory& shared_memory::operator=(shared_memory&& other) noexcept {
  std::swap(where_, other.where_);
  std::swap(mapping_, other.mapping_);
  std::swap(mapped_, other.mapped_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(created_, other.created_);
  std::swap(guard_, other.guard_);
  return *this;
}

shared_memory::~shared_memory() {
  guard_ = {};  // before its mapping goes
  if (mapping_ != nullptr) {
    if (where_.which() == location::kind::sysv) {
      ::shmdt(mapping_);
    } else {
      ::munmap(mapping_, mapped_);
    }
  }
  if (descriptor_ >= 0) ::close(descriptor_);
}

void* shared_memory::base() const noexcept {
  return mapping_ == nullptr ? nullptr : static_cast<std::byte*>(mapping_) + sizeof(preamble);
}

void shared_memory::if_truncated(const initialiser& initialise) {
  if (where_.which() != location::kind::posix) return;
  guard_ = truncation_guard(mapping_, mapped_, descriptor_, [initialise](void* mapping) {
    initialise(static_cast<std::byte*>(mapping) + sizeof(preamble));
  });
}

std::size_t shared_memory::size() const noexcept { return mapping_ == nullptr ? 0 : mapped_ - sizeof(preamble); }

result<shared_memory> shared_memory::create(const location& where, std::size_t bytes, mode_t mode,
                                            const initialiser& initialise, extent growing) {
  return obtain(intent::create, where, {bytes, mode, initialise, growing});
}

result<shared_memory> shared_memory::open_or_create(const location& where, std::size_t bytes, mode_t mode,
                                                    const initialiser& initialise, extent growing) {
  return obtain(intent::open_or_create, where, {bytes, mode, initialise, growing});
}

result<shared_memory> shared_memory::open(const location& where) {
  if (auto ok = check(where); !ok) return ok.error();
  switch (where.which()) {
    case location::kind::posix:
      return open_posix(where);
    case location::kind::sysv:
      return obtain_sysv(intent::open, where, {0, 0, {}, {}});
    case location::kind::anonymous:
    case location::kind::memfd:
      break;
  }
  return fail(errc::bad_argument, 0, where,
              "expected a location with a name to open, found none; fork, or pass the"
              " descriptor of a memfd to adopt");
}

result<shared_memory> shared_memory::obtain(intent why, const location& where, const plan& what) {
  if (auto ok = check(where, what.bytes, what.mode); !ok) return ok.error();
  switch (where.which()) {
    case location::kind::posix:
      return obtain_posix(why, where, what);
    case location::kind::sysv:
      return obtain_sysv(why, where, what);
    case location::kind::anonymous:
      return create_anonymous(where, what);
    case location::kind::memfd:
      break;
  }
  return create_memfd(where, what);
}

result<shared_memory> shared_memory::obtain_posix(intent why, const location& where, const plan& what) {
  if (why == intent::create) return create_posix(where, what);
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    auto opened = open_posix(where);
    if (opened || opened.error().code != errc::not_found) return opened;
    auto made = create_posix(where, what);
    if (made || made.error().code != errc::exists) return made;
  }
  return keeps_changing(where);
}

result<shared_memory> shared_memory::open_posix(const location& where) {
  shared_memory segment(where);
  // O_NONBLOCK: somebody's FIFO of that name must not block us.
  segment.descriptor_ = ::open(path_of(where).c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (segment.descriptor_ < 0) {
    const int why = errno;
    if (why == ENOENT) return not_found(where, why);
    if (why == EACCES || why == EPERM) return no_permission(where, why);
    if (why == ELOOP || why == EISDIR || why == ENXIO) return foreign(where, why, "another type of file");
    return refused(why, where, "open");
  }
  if (auto ok = segment.map_and_validate(); !ok) return ok.error();
  return segment;
}

// The file gets its name only when it is finished. Until then it is nameless, and
// goes with its creator.
result<shared_memory> shared_memory::create_posix(const location& where, const plan& what) {
  const std::string path = path_of(where);
  struct stat info {};
  if (::lstat(path.c_str(), &info) == 0) return exists(where);  // known without building it first
  if (auto ok = check_room(where, what.bytes, what.fixed()); !ok) return ok.error();

  shared_memory segment(where);
  segment.descriptor_ = ::open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (segment.descriptor_ < 0) {
    const int why = errno;
    if (why == EACCES || why == EPERM) return no_permission(where, why);
    if (why == ENOSPC) return no_space(why, where, what.fixed());
    if (why == EOPNOTSUPP || why == EISDIR || why == ENOENT) {
      return fail(errc::system, why, where, "expected a tmpfs at /dev/shm, found none (", reason(why), "); mount one");
    }
    return refused(why, where, "open");
  }
  if (auto ok = segment.allocate_and_map(what); !ok) return ok.error();
  segment.initialise_alone(what.initialise);

  const std::string self = text("/proc/self/fd/", segment.descriptor_);
  if (::linkat(AT_FDCWD, self.c_str(), AT_FDCWD, path.c_str(), AT_SYMLINK_FOLLOW) != 0) {
    const int why = errno;
    if (why == EEXIST) return exists(where);
    if (why == EACCES || why == EPERM) return no_permission(where, why);
    if (why == ENOSPC) return no_space(why, where, what.fixed());
    return refused(why, where, "linkat");
  }
  return segment;
}

result<shared_memory> shared_memory::create_memfd(const location& where, const plan& what) {
  if (auto ok = check_room(where, what.bytes, what.fixed()); !ok) return ok.error();
  shared_memory segment(where);
  segment.descriptor_ = ::memfd_create(where.name().c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (segment.descriptor_ < 0) return refused(errno, where, "memfd_create");
  if (auto ok = segment.allocate_and_map(what); !ok) return ok.error();
  segment.initialise_alone(what.initialise);
  // A peer that could shrink it could kill us with SIGBUS.
  if (::fcntl(segment.descriptor_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return refused(errno, where, "fcntl");
  }
  return segment;
}

result<shared_memory> shared_memory::create_anonymous(const location& where, const plan& what) {
  if (auto ok = check_room(where, what.bytes, what.fixed()); !ok) return ok.error();
  shared_memory segment(where);
  const std::size_t length = what.bytes + sizeof(preamble);
  const int how = MAP_SHARED | MAP_ANONYMOUS | (grows(what.growing) ? MAP_NORESERVE : 0);
  void* at = ::mmap(alignable(length), length, PROT_READ | PROT_WRITE, how, -1, 0);
  if (at == MAP_FAILED) return unmappable(errno, where, length, "mmap");
  segment.mapping_ = at;
  segment.mapped_ = length;
  if (auto ok = populate(where, at, length, what.growing); !ok) return ok.error();
  segment.initialise_alone(what.initialise);
  return segment;
}

result<done> shared_memory::allocate_and_map(const plan& what) {
  const std::size_t length = what.bytes + sizeof(preamble);
  if (::fchmod(descriptor_, what.mode) != 0) return refused(errno, where_, "fchmod");  // open's mode goes through umask
  rlimit most{};  // asked, as going beyond brings SIGXFSZ, which kills
  if (::getrlimit(RLIMIT_FSIZE, &most) == 0 && most.rlim_cur != RLIM_INFINITY && length > most.rlim_cur) {
    return fail(errc::limit, EFBIG, where_, "needed a file of ", length, " bytes, found a limit of ", most.rlim_cur,
                "; raise `ulimit -f`");
  }
  for (const auto [from, to] : reserved(length, what.growing)) {
    int why = 0;
    do {
      why = ::posix_fallocate(descriptor_, static_cast<off_t>(from), static_cast<off_t>(to - from));
    } while (why == EINTR);
    if (why == ENOSPC || why == ENOMEM) return no_space(why, where_, what.fixed());
    if (why != 0) return refused(why, where_, "posix_fallocate");
  }
  return map(length);
}

result<done> shared_memory::map(std::size_t length) {
  void* at = ::mmap(alignable(length), length, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor_, 0);
  if (at == MAP_FAILED) {
    const int why = errno;
    if (why == EACCES || why == EPERM) return no_permission(where_, why, "a descriptor that forbids writing");
    return unmappable(why, where_, length, "mmap");
  }
  mapping_ = at;
  mapped_ = length;
  if (where_.which() == location::kind::posix) guard_ = truncation_guard(mapping_, mapped_, descriptor_, {});
  return done{};
}

result<done> shared_memory::map_and_validate() {
  struct stat info {};
  if (::fstat(descriptor_, &info) != 0) return refused(errno, where_, "fstat");
  if (!S_ISREG(info.st_mode)) return foreign(where_, 0, "another type of file (mode ", octal(info.st_mode), ")");
  const auto length = static_cast<std::size_t>(info.st_size);
  if (length <= sizeof(preamble)) {
    return foreign(where_, 0, length, " bytes where more than ", sizeof(preamble), " were expected");
  }
  if (auto ok = map(length); !ok) return ok;
  const preamble& head = preamble_at(mapping_);
  // acquire: pairs with the release of `ready`.
  const std::uint64_t state = head.state.load(std::memory_order_acquire);
  const std::uint64_t maker = head.maker.load(std::memory_order_relaxed);
  if (state != ready || maker >> 32 != maker_tag) {
    return foreign(where_, 0, std::hex, "the signature 0x", state, "/0x", maker >> 32, " instead of 0x", ready, "/0x",
                   maker_tag);
  }
  const std::uint64_t recorded = head.bytes.load(std::memory_order_relaxed);
  if (recorded != size()) {
    return foreign(where_, 0, "one resized to ", size(), " bytes after it was created with ", recorded);
  }
  return done{};
}

// Of a segment that nobody else can see yet.
void shared_memory::initialise_alone(const initialiser& initialise) {
  preamble* head = ::new (mapping_) preamble{};
  initialise(base());
  head->maker.store(maker_of(process_identity::self()), std::memory_order_relaxed);
  head->bytes.store(size(), std::memory_order_relaxed);
  head->state.store(ready, std::memory_order_release);
  created_ = true;
}

result<shared_memory> shared_memory::obtain_sysv(intent why, const location& where, const plan& what) {
  for (int attempt = 0; attempt < most_attempts; ++attempt) {
    bool fresh = false;
    int id = ::shmget(where.key(), 0, 0);
    if (id < 0 && errno == ENOENT) {
      if (why == intent::open) return not_found(where, ENOENT);
      if (auto ok = check_room(where, what.bytes, what.fixed()); !ok) return ok.error();
      id = ::shmget(where.key(), what.bytes + sizeof(preamble),
                    IPC_CREAT | IPC_EXCL | (grows(what.growing) ? SHM_NORESERVE : 0) | static_cast<int>(what.mode));
      fresh = id >= 0;
      if (id < 0 && errno == EEXIST) continue;
      if (id < 0) return sysv_refused(errno, where, what.bytes + sizeof(preamble));
    }
    if (id < 0) return errno == EACCES ? no_permission(where, errno) : refused(errno, where, "shmget");

    shared_memory segment(where);
    void* at = ::shmat(id, nullptr, 0);
    if (reinterpret_cast<std::intptr_t>(at) == -1) {
      const int refusal = errno;
      shmid_ds info{};
      ::shmctl(id, IPC_STAT, &info);
      if (fresh) ::shmctl(id, IPC_RMID, nullptr);
      if (refusal == EINVAL || refusal == EIDRM) continue;  // unlinked meanwhile
      if (refusal != EACCES) return unmappable(refusal, where, info.shm_segsz, "shmat");
      return why == intent::create ? exists(where) : no_permission(where, refusal);
    }
    segment.mapping_ = at;
    shmid_ds info{};
    if (::shmctl(id, IPC_STAT, &info) != 0) {
      if (errno == EINVAL || errno == EIDRM) continue;
      return refused(errno, where, "shmctl");
    }
    segment.mapped_ = info.shm_segsz;
    if (segment.mapped_ <= sizeof(preamble)) {
      return foreign(where, 0, segment.mapped_, " bytes where more than ", sizeof(preamble), " were expected");
    }
    if (auto ok = segment.finish(why, what, info.shm_cpid); !ok) {
      if (fresh && ok.error().code == errc::no_space) ::shmctl(id, IPC_RMID, nullptr);
      return ok.error();
    }
    return segment;
  }
  return keeps_changing(where);
}

// A System V segment can be seen from its first moment, raw. Whoever finds it raw,
// or claimed by the dead, claims and initialises it; the others wait for that.
result<done> shared_memory::finish(intent why, const plan& what, pid_t creator) {
  preamble& head = preamble_at(mapping_);
  const process_identity self = process_identity::self();
  const process_identity made_by = process_identity::of(creator);
  const deadline until = deadline::after(patience);
  for (;;) {
    const std::uint32_t turn = head.turn.load(std::memory_order_relaxed);
    // acquire: pairs with the release of `ready`, and makes the maker of a claim visible.
    std::uint64_t state = head.state.load(std::memory_order_acquire);
    std::uint64_t maker = head.maker.load(std::memory_order_relaxed);
    if ((maker != 0 || state != 0) && maker >> 32 != maker_tag) {
      return foreign(where_, 0, std::hex, "the signature 0x", state, "/0x", maker >> 32, " instead of 0x", ready, "/0x",
                     maker_tag);
    }
    if (state == ready) {
      const std::uint64_t recorded = head.bytes.load(std::memory_order_relaxed);
      if (recorded != size()) return foreign(where_, 0, size(), " bytes where its preamble says ", recorded);
      if (why == intent::create) return exists(where_);
      return done{};
    }

    const bool raw = state == 0;
    const process_identity holder =
        raw ? made_by : process_identity::unpack(state, static_cast<std::uint32_t>(maker & 0xffffffff));
    const liveness its = probe(holder);
    const bool abandoned = its == liveness::dead;
    // Zeros that somebody else has made, who lives: he may be about to claim it, or may
    // never have heard of us.
    const bool unclaimed = raw && maker == 0 && its == liveness::alive && holder != self;
    if (why == intent::open && abandoned) return half_made(where_, holder.pid);
    if (why == intent::create && !raw && !abandoned) return exists(where_);
    if (why != intent::open && !unclaimed && (raw || abandoned)) {
      if (size() != what.bytes) {
        return fail(errc::incompatible, 0, where_, "expected ", what.bytes, " bytes, found a half-made segment of ",
                    size(), " by pid ", holder.pid, "; ask for that size, or unlink it");
      }
      // An identity means something in one namespace only: the first decides which.
      const bool ours =
          maker == maker_of(self) ||
          (maker == 0 && head.maker.compare_exchange_strong(maker, maker_of(self), std::memory_order_acq_rel));
      if (ours && head.state.compare_exchange_strong(state, self.pack(), std::memory_order_acq_rel)) {
        const auto release_claim = [&](std::uint64_t next) {
          head.state.store(next, std::memory_order_release);  // pairs with the acquires above
          head.turn.fetch_add(1, std::memory_order_release);
          futex_wake_all(head.turn);
        };
        if (auto ok = populate(where_, mapping_, mapped_, what.growing); !ok) {
          release_claim(state);  // as it was: raw, or to be zeroed first
          return ok;
        }
        const auto zero = [&] {
          for (const auto [from, to] : reserved(mapped_, what.growing)) {
            const std::size_t first = std::max(from, sizeof(preamble));
            std::memset(static_cast<std::byte*>(mapping_) + first, 0, to - first);
          }
        };
        if (!raw) zero();
        try {
          what.initialise(base());
        } catch (...) {
          zero();
          release_claim(0);
          throw;
        }
        head.bytes.store(what.bytes, std::memory_order_relaxed);
        release_claim(ready);
        created_ = true;
        return done{};
      }
      if (ours) continue;  // somebody else was faster
    }

    if (deadline::clock::now() >= until.when()) {
      if (raw && maker == 0) {
        return fail(errc::foreign, 0, where_, "expected a segment of millrace's, found one of zeros that pid ",
                    holder.pid, " has made; use another key, or unlink it");
      }
      return fail(errc::limit, ETIMEDOUT, where_, "expected a finished segment, found one that pid ", holder.pid,
                  " has been initialising for ", patience.count(), " s; wait for it");
    }
    futex_wait(head.turn, turn, deadline::at(std::min(until.when(), deadline::clock::now() + probe_every)));
  }
}

result<shared_memory> shared_memory::adopt(int descriptor) {
  shared_memory segment(location::memfd(text("descriptor ", descriptor)));
  segment.descriptor_ = ::fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
  if (segment.descriptor_ < 0) {
    if (errno != EBADF) return refused(errno, segment.where_, "fcntl");
    return fail(errc::bad_argument, EBADF, segment.where_,
                "expected an open descriptor, found none of that number;"
                " was it inherited with close-on-exec set?");
  }
  struct statfs fs {};
  struct stat info {};
  if (::fstatfs(segment.descriptor_, &fs) != 0) return refused(errno, segment.where_, "fstatfs");
  if (::fstat(segment.descriptor_, &info) != 0) return refused(errno, segment.where_, "fstat");
  if (fs.f_type != TMPFS_MAGIC || !S_ISREG(info.st_mode)) {
    return foreign(segment.where_, 0, "a descriptor of something other than shared memory");
  }
  char target[300];
  const std::string self = text("/proc/self/fd/", segment.descriptor_);
  const ssize_t length = ::readlink(self.c_str(), target, sizeof target);
  if (length > 0) {
    std::string label(target, static_cast<std::size_t>(length));
    constexpr std::string_view before = "/memfd:", after = " (deleted)";
    if (label.starts_with(before) && label.ends_with(after)) {
      label = label.substr(before.size(), label.size() - before.size() - after.size());
    }
    segment.where_ = location::memfd(std::move(label));
  }
  // Before its size is read: what is sealed has that size for good.
  const int seals = ::fcntl(segment.descriptor_, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) {
    return fail(errc::foreign, 0, segment.where_,
                "expected a memfd that is sealed against shrinking, found one that its sender could truncate, which"
                " would kill us; have it created with location::memfd, or open it by its name");
  }
  if (auto ok = segment.map_and_validate(); !ok) return ok.error();
  return segment;
}

result<done> shared_memory::check_growth() const {
  if (commit_pages(mapping_, page_bytes())) return done{};
  const int why = errno;
  return fail(errc::limit, why, where_, "grows as it fills, for which it needs Linux 5.14, the kernel answered \"",
              reason(why), "\" to madvise; take a ring whose memory is there from the start");
}

result<done> shared_memory::prefault() { return populate(where_, mapping_, mapped_); }

result<done> shared_memory::use_huge_pages() {
  if (where_.which() == location::kind::sysv || mapped_ < huge_page) {
    return fail(errc::bad_argument, 0, where_, "asked for huge pages, which take ", huge_page,
                " bytes each and no System V segment; found ", mapped_, " bytes: do without");
  }
  constexpr int collapse = 25;  // MADV_COLLAPSE, which no header here has yet
  if (::madvise(mapping_, mapped_, collapse) == 0) return done{};
  const int why = errno;
  if (why == ENOMEM) return no_space(why, where_, mapped_);
  return fail(errc::limit, why, where_, "asked for huge pages, the kernel answered \"", reason(why),
              "\"; they need Linux 6.1 with transparent huge pages, and memory in one piece: do without, or try later");
}

result<done> shared_memory::unlink(const location& where) {
  if (auto ok = check(where); !ok) return ok;
  switch (where.which()) {
    case location::kind::posix:
      if (::unlink(path_of(where).c_str()) == 0) return done{};
      return not_removed(errno, where, "unlink");
    case location::kind::sysv: {
      const int id = ::shmget(where.key(), 0, 0);
      if (id >= 0 && ::shmctl(id, IPC_RMID, nullptr) == 0) return done{};
      return not_removed(errno, where, "shmctl");
    }
    case location::kind::anonymous:
    case location::kind::memfd:
      break;
  }
  return fail(errc::bad_argument, 0, where,
              "expected a location with a name, found none to take away; it goes with its"
              " last mapping");
}

}  // namespace millrace
