// Where the system, or a ring, has no more to give: a clear error, and nothing half-made.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "millrace/mpmc_ring.h"
#include "millrace/pollable.h"
#include "millrace/select.h"
#include "millrace/shared_ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

using ring = shared_ring<mpmc_ring<std::uint64_t>>;

// In a child, which prints what was not as it should be: whether `r` is an error
// of that code, in one line that holds all of these words.
template <class T>
bool refused(const result<T>& r, errc code, const std::vector<std::string>& words) {
  bool as_expected = !r && r.error().code == code && r.error().message.starts_with(r.error().object) &&
                     r.error().message.find('\n') == std::string::npos;
  for (const std::string& w : words) as_expected &= !r && r.error().message.find(w) != std::string::npos;
  if (!as_expected) {
    std::fprintf(stderr, "expected an error with \"%s\", found %s\n", words.empty() ? "" : words[0].c_str(),
                 r ? "none" : r.error().message.c_str());
  }
  return as_expected;
}

bool nothing_at(const location& where) { return refused(ring::open(where), errc::not_found, {}); }

bool limit(__rlimit_resource what, rlim_t most) {
  rlimit now{};
  if (::getrlimit(what, &now) != 0) return false;
  now.rlim_cur = most;
  return ::setrlimit(what, &now) == 0;
}

// What a seccomp filter that doesn't know these calls does.
bool forbid(const std::vector<unsigned>& calls, unsigned answer = EPERM) {
  std::vector<sock_filter> program{BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr))};
  for (const unsigned call : calls) {
    program.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1));
    program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | answer));
  }
  program.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
  const sock_fprog filter{static_cast<unsigned short>(program.size()), program.data()};
  return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

TEST(Limits, NoDescriptorIsFree) {
  const scratch at = scratch::posix();
  const scratch there = scratch::posix();
  const scratch sysv = scratch::sysv();
  const auto passed = ring::create(location::memfd("passed"));
  ASSERT_TRUE(passed);
  ASSERT_TRUE(ring::create(*there));
  EXPECT_TRUE(child([&] {
                const int lowest_free = ::dup(0);
                ::close(lowest_free);
                rlimit before{};
                ::getrlimit(RLIMIT_NOFILE, &before);
                if (!limit(RLIMIT_NOFILE, static_cast<rlim_t>(lowest_free))) return false;
                const std::vector<std::string> words{"needs a file descriptor, found none free", "ulimit -n"};
                const bool clear = refused(ring::create(*at), errc::limit, words) &&
                                   refused(ring::open(*there), errc::limit, words) &&
                                   refused(ring::open_or_create(*at), errc::limit, words) &&
                                   refused(ring::create(location::memfd("x")), errc::limit, words) &&
                                   refused(ring::adopt(passed->memory().descriptor()), errc::limit, words);
                const bool none_needed = ring::create(*sysv) && ring::create(location::anonymous());
                return limit(RLIMIT_NOFILE, before.rlim_cur) && clear && none_needed && nothing_at(*at);
              }).succeeded());
}

TEST(Limits, NoAddressSpaceIsLeft) {
  constexpr std::size_t bytes = 32 << 20;
  const ring_options large{.capacity = bytes / 16};
  const scratch posix = scratch::posix();
  const scratch sysv = scratch::sysv();
  const scratch there[] = {scratch::posix(), scratch::sysv()};
  const auto passed = ring::create(location::memfd("passed"), large);
  ASSERT_TRUE(passed) << passed.error().message;
  for (const scratch& s : there) ASSERT_TRUE(ring::create(*s, large));
  EXPECT_TRUE(
      child([&] {
        std::uint64_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        const rlim_t most = pages * static_cast<rlim_t>(::sysconf(_SC_PAGESIZE)) + bytes / 2;
        if (!limit(RLIMIT_AS, most)) return false;
        const std::vector<std::string> words{"of address space, found a limit of " + std::to_string(most), "ulimit -v"};
        bool clear = true;
        for (const location& where : {*posix, *sysv, location::anonymous(), location::memfd("x")}) {
          clear &= refused(ring::create(where, large), errc::limit, words);
        }
        for (const scratch& s : there) clear &= refused(ring::open(*s), errc::limit, words);
        clear &= refused(ring::adopt(passed->memory().descriptor()), errc::limit, words);
        return clear && limit(RLIMIT_AS, RLIM_INFINITY) && nothing_at(*posix) && nothing_at(*sysv);
      }).succeeded());
}

bool dev_shm_of_its_own(unsigned long flags, const char* options) {
  return unshared(CLONE_NEWNS) && ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("small", "/dev/shm", "tmpfs", flags, options) == 0;
}

bool dev_shm_of_two_files() { return dev_shm_of_its_own(0, "size=1m,nr_inodes=3"); }

TEST(Limits, NoFileIsLeftInDevShm) {
  if (!child(dev_shm_of_two_files).succeeded()) GTEST_SKIP() << "may not mount";
  EXPECT_TRUE(child([] {
                if (!dev_shm_of_two_files()) return false;
                if (!ring::create(location::posix("a")) || !ring::create(location::posix("b"))) return false;
                const location third = location::posix("c");
                return refused(ring::create(third), errc::no_space, {"needed one more file", "all of its 3"}) &&
                       nothing_at(third);
              }).succeeded());
}

TEST(Limits, DevShmIsReadOnly) {
  if (!child(dev_shm_of_two_files).succeeded()) GTEST_SKIP() << "may not mount";
  EXPECT_TRUE(child([] {
                return dev_shm_of_its_own(MS_RDONLY, "size=1m") &&
                       refused(ring::create(location::posix("a")), errc::no_permission, {"mounted read-only"});
              }).succeeded());
}

bool set(const char* limit, std::uint64_t value) {
  std::ofstream file(std::string("/proc/sys/kernel/") + limit);
  file << value << std::flush;
  return file.good();
}

bool ipc_of_its_own() { return unshared(CLONE_NEWIPC) && set("shmmni", 4096); }

TEST(Limits, SystemVLimitsAreNamed) {
  if (!child(ipc_of_its_own).succeeded()) GTEST_SKIP() << "may not have System V limits of its own";
  EXPECT_TRUE(child([] {
                if (!ipc_of_its_own()) return false;
                const location where = location::sysv(0x3039);
                if (!set("shmmax", 4096)) return false;
                bool clear = refused(ring::create(where), errc::limit, {"kernel.shmmax = 4096"}) && nothing_at(where);
                if (!set("shmmax", 1 << 30) || !set("shmall", 2)) return false;
                clear &= refused(ring::create(where), errc::limit, {"kernel.shmall = 2 pages"}) && nothing_at(where);
                if (!set("shmall", 1 << 20) || !set("shmmni", 1)) return false;
                if (!ring::create(location::sysv(0x3040))) return false;
                clear &= refused(ring::create(where), errc::limit, {"kernel.shmmni = 1 segments"}) && nothing_at(where);
                return clear;
              }).succeeded());
}

TEST(Limits, NobodyIsAttachedWhereTheKeeperCannotBeStarted) {
  auto segment = ring::create(location::anonymous(), {.capacity = 8, .members = 1});
  ASSERT_TRUE(segment);
  struct shortage {
    bool (*begin)();
    errc code;
    std::vector<std::string> words;
  };
  const shortage all[] = {
      {[] { return forbid({SYS_futex_waitv}, ENOSYS); }, errc::system, {"futex_waitv", "5.16", "seccomp"}},
      {[] { return forbid({SYS_set_robust_list}); }, errc::system, {"set_robust_list", "seccomp"}},
      {[] { return forbid({SYS_get_robust_list}); }, errc::system, {"get_robust_list", "seccomp"}},
      {[] {
         return forbid({SYS_clone, SYS_clone3}, EAGAIN);
       },
       errc::limit,
       {"thread cannot be started", "ulimit -u"}},
      {[] { return limit(RLIMIT_AS, 1 << 20); }, errc::no_space, {"list of members", "ulimit -v"}},
  };
  for (const shortage& s : all) {
    SCOPED_TRACE(s.words[0]);
    EXPECT_TRUE(child([&] {
                  return s.begin() && refused(segment->attach(), s.code, s.words) &&
                         refused(segment->attach(), s.code, s.words) && segment->members().empty();
                }).succeeded());
    EXPECT_TRUE(segment->attach()) << "its place was left taken";
  }
}

TEST(Limits, NothingIsLeftForAPollable) {
  selector any;
  EXPECT_TRUE(child([&] {
                const int lowest_free = ::dup(0);
                ::close(lowest_free);
                return limit(RLIMIT_NOFILE, static_cast<rlim_t>(lowest_free)) &&
                       refused(pollable::create(any), errc::limit, {"no descriptor is left", "ulimit -n"});
              }).succeeded());
  EXPECT_TRUE(child([&] {
                const int lowest_free = ::dup(0);
                ::close(lowest_free);
                return forbid({SYS_clone, SYS_clone3}, EAGAIN) &&
                       refused(pollable::create(any), errc::limit, {"thread cannot be started", "ulimit -u"}) &&
                       ::dup(0) == lowest_free;
              }).succeeded());
}

TEST(Limits, NoMappingIsLeft) {
  auto segment = ring::create(location::anonymous(), {.capacity = 8, .members = 1});
  ASSERT_TRUE(segment);
  EXPECT_TRUE(child([&] {
                const std::size_t page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
                std::vector<void*> all;
                all.reserve(1 << 20);
                for (int protection = PROT_READ;; protection ^= PROT_READ ^ PROT_WRITE) {  // unlike its neighbours
                  void* const one = ::mmap(nullptr, page, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                  if (one == MAP_FAILED) break;
                  all.push_back(one);
                }
                const std::vector<std::string> words{"mappings that a process may have", "vm.max_map_count"};
                bool clear = refused(ring::create(location::anonymous()), errc::limit, words);
                // What attaching needs, one by one.
                int missing = 0;
                for (; clear && !segment->attach(); ++missing) {
                  clear = refused(segment->attach(), errc::limit, words);
                  ::munmap(all.back(), page);
                  all.pop_back();
                }
                return clear && missing > 1;
              }).succeeded());
}

TEST(Limits, NamesTooLongAreToldTheirLength) {
  EXPECT_TRUE(refused(ring::create(location::posix(std::string(255, 'x'))), errc::bad_argument, {"1 to 254", "255"}));
  EXPECT_TRUE(refused(ring::create(location::memfd(std::string(250, 'x'))), errc::bad_argument, {"most 249", "250"}));
  EXPECT_TRUE(ring::create(location::memfd(std::string(249, 'x'))));
}

TEST(Limits, AllMembersPlacesAreTaken) {
  auto segment = ring::create(location::anonymous(), {.capacity = 8, .members = 2});
  ASSERT_TRUE(segment);
  const auto first = segment->attach();
  {
    const auto second = segment->attach();
    ASSERT_TRUE(second);
    EXPECT_TRUE(
        refused(segment->attach(), errc::limit, {"all 2 members' places are taken", "create the ring with more"}));
  }
  EXPECT_TRUE(segment->attach());
}

TEST(Limits, AProcessHasAsManyPlacesAsOneCan) {
  auto segment = ring::create(location::anonymous(), {.capacity = 8, .members = 1000});
  ASSERT_TRUE(segment);
  std::vector<ring::handle> all;
  for (std::size_t i = 0; i != keeper::most_places; ++i) {
    auto one = segment->attach();
    ASSERT_TRUE(one) << one.error().message;
    all.push_back(*std::move(one));
  }
  EXPECT_TRUE(refused(segment->attach(), errc::limit, {"this process has 226 places", "attach in another process"}));
  all.pop_back();
  EXPECT_TRUE(segment->attach());
}

TEST(Limits, WhereMembarrierIsForbiddenNothingIsMade) {
  const scratch posix = scratch::posix();
  const scratch sysv = scratch::sysv();
  EXPECT_TRUE(child([&] {
                if (!forbid({SYS_membarrier})) return false;
                for (const location& where : {*posix, *sysv}) {
                  if (!refused(ring::create(where), errc::system, {"membarrier", "seccomp"})) return false;
                  if (!refused(ring::open_or_create(where), errc::system, {"membarrier", "seccomp"})) return false;
                  if (!refused(shared_memory::open(where), errc::not_found, {})) return false;
                }
                return true;
              }).succeeded());
}

// ---- Pages: what is asked for is had, or refused with a reason.

constexpr ring_options large{.capacity = 1 << 19, .members = 2};  // eight megabytes

// Page faults of a walk over the whole segment.
long faults_in(const ring& r) {
  auto* const bytes = static_cast<volatile std::byte*>(r.memory().base());
  rusage before{};
  rusage after{};
  ::getrusage(RUSAGE_THREAD, &before);
  for (std::size_t at = 0; at < r.memory().size(); at += 4096) bytes[at] = bytes[at];
  ::getrusage(RUSAGE_THREAD, &after);
  return after.ru_minflt - before.ru_minflt;
}

// Of the mapping in which `base` lies, in kilobytes.
long huge_part(const void* base) {
  std::ifstream smaps("/proc/self/smaps");
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long from = 0;
    unsigned long to = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &from, &to) == 2) {
      const auto at = reinterpret_cast<unsigned long>(base);
      here = from <= at && at < to;
    }
    long kilobytes = 0;
    if (here && std::sscanf(line.c_str(), "ShmemPmdMapped: %ld", &kilobytes) == 1) return kilobytes;
  }
  return -1;
}

TEST(Pages, APrefaultedRingFaultsNoMore) {
  const scratch at = scratch::posix();
  auto options = large;
  options.prefault = true;
  const auto made = ring::create(*at, options);
  ASSERT_TRUE(made) << made.error().message;
  EXPECT_LT(faults_in(*made), 20);
  const auto opened = ring::open(*at);
  ASSERT_TRUE(opened);
  EXPECT_GT(faults_in(*opened), 20) << "or the test shows nothing";
  const auto again = ring::open_or_create(*at, options);
  ASSERT_TRUE(again);
  EXPECT_LT(faults_in(*again), 20);
  for (const location& where : {location::anonymous(), location::memfd("pages")}) {
    const auto nameless = ring::create(where, options);
    ASSERT_TRUE(nameless) << nameless.error().message;
    EXPECT_LT(faults_in(*nameless), 20);
  }
}

TEST(Pages, HugeOnesAreHadOrTheReasonIs) {
  auto options = large;
  options.huge_pages = true;
  for (const bool named : {true, false}) {
    const scratch at = scratch::posix();
    const location where = named ? *at : location::memfd("pages");
    const auto made = ring::create(where, options);
    if (made) {
      EXPECT_GE(huge_part(made->memory().base()), 6 * 1024) << where.describe();
      EXPECT_LT(faults_in(*made),
                20 + 512);  // the last part may be in small ones
    } else {
      EXPECT_TRUE(refused(made, made.error().code == errc::no_space ? errc::no_space : errc::limit, {}));
      EXPECT_TRUE(nothing_at(*at));
    }
  }
}

TEST(Pages, ASegmentTooSmallForAHugeOneIsRefusedAndGone) {
  const scratch at = scratch::posix();
  EXPECT_TRUE(refused(ring::create(*at, {.capacity = 4, .members = 2, .huge_pages = true}), errc::bad_argument,
                      {"huge pages", "2097152", "do without"}));
  EXPECT_TRUE(nothing_at(*at));
}

TEST(Pages, WhatTheKernelRefusesIsSaidAndNothingIsLeft) {
  const scratch at = scratch::posix();
  EXPECT_TRUE(child([&] {
                auto options = large;
                options.huge_pages = true;
                return forbid({SYS_madvise}, EINVAL) &&
                       refused(ring::create(*at, options), errc::limit, {"huge pages", "Linux 6.1"}) && nothing_at(*at);
              }).succeeded());
}

}  // namespace
}  // namespace millrace
