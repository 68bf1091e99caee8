#include "millrace/shared_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/support.h"

namespace millrace {
namespace {

constexpr std::size_t bytes = 10'000;

void leave_raw(void*) {}

shared_memory::initialiser write_word(std::uint64_t value) {
  return [value](void* base) { std::memcpy(base, &value, sizeof value); };
}

std::uint64_t word_of(const shared_memory& segment) {
  std::uint64_t value = 0;
  std::memcpy(&value, segment.base(), sizeof value);
  return value;
}

// Runs `work` in a child; its exit status (0: work returned true), or minus the
// signal that ended it.
template <class Work>
int in_child(Work work) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(work() ? 0 : 1);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

template <class T>
errc code_of(const result<T>& r) {
  EXPECT_FALSE(r) << "expected an error";
  if (r) return errc::system;
  EXPECT_EQ(r.error().message.find('\n'), std::string::npos) << r.error().message;
  EXPECT_TRUE(r.error().message.starts_with(r.error().object)) << r.error().message;
  return r.error().code;
}

#define ASSERT_OK(r) ASSERT_TRUE(r) << (r).error().message

void write_file(const std::string& path, const std::string& content) {
  const int file = ::open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
  ASSERT_GE(file, 0);
  ASSERT_EQ(::write(file, content.data(), content.size()), static_cast<ssize_t>(content.size()));
  ::close(file);
}

TEST(Location, DescribesItself) {
  EXPECT_EQ(location::posix("/ticks").describe(), "posix:/ticks");
  EXPECT_EQ(location::posix("ticks"), location::posix("/ticks"));
  EXPECT_EQ(location::sysv(0x3039).describe(), "sysv:0x3039");
  EXPECT_EQ(location::sysv(-1).describe(), "sysv:0xffffffff");
  EXPECT_EQ(location::anonymous().describe(), "anonymous");
  EXPECT_EQ(location::memfd("ticks").describe(), "memfd:ticks");
}

TEST(Location, NamesThatCanNeverWorkAreBadArguments) {
  for (const std::string& name :
       {std::string(), std::string("/"), std::string("a/b"), std::string("//a"), std::string("."), std::string("/.."),
        std::string(255, 'x'), std::string("a\nb"), std::string("a\0b", 3)}) {
    EXPECT_EQ(code_of(shared_memory::create(location::posix(name), bytes, 0600, leave_raw)), errc::bad_argument);
    EXPECT_EQ(code_of(shared_memory::open(location::posix(name))), errc::bad_argument);
    EXPECT_EQ(code_of(shared_memory::unlink(location::posix(name))), errc::bad_argument);
  }
  EXPECT_EQ(code_of(shared_memory::open(location::posix(std::string(254, 'x')))), errc::not_found);
  EXPECT_EQ(code_of(shared_memory::create(location::sysv(0), bytes, 0600, leave_raw)), errc::bad_argument);
}

TEST(SharedMemory, SizesAndModesThatCanNeverWorkAreBadArguments) {
  const scratch at = scratch::posix();
  EXPECT_EQ(code_of(shared_memory::create(*at, 0, 0600, leave_raw)), errc::bad_argument);
  EXPECT_EQ(code_of(shared_memory::create(*at, bytes, 0440, leave_raw)), errc::bad_argument);
  EXPECT_EQ(code_of(shared_memory::create(*at, bytes, 04600, leave_raw)), errc::bad_argument);
}

TEST(SharedMemory, AnonymousAndMemfdCannotBeOpenedOrUnlinked) {
  for (const location& where : {location::anonymous(), location::memfd("x")}) {
    EXPECT_EQ(code_of(shared_memory::open(where)), errc::bad_argument);
    EXPECT_EQ(code_of(shared_memory::unlink(where)), errc::bad_argument);
  }
}

// What every kind with a name does.
class Named : public testing::TestWithParam<location::kind> {
 protected:
  const scratch at_ = GetParam() == location::kind::posix ? scratch::posix() : scratch::sysv();
};

INSTANTIATE_TEST_SUITE_P(Kinds, Named, testing::Values(location::kind::posix, location::kind::sysv),
                         [](const auto& p) { return p.param == location::kind::posix ? "Posix" : "Sysv"; });

TEST_P(Named, AnOpenerSeesWhatTheCreatorWrote) {
  auto made = shared_memory::create(*at_, bytes, 0600, write_word(42));
  ASSERT_OK(made);
  EXPECT_TRUE(made->created());
  EXPECT_EQ(made->size(), bytes);
  EXPECT_EQ(made->where(), *at_);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(made->base()) % 128, 0U);

  auto opened = shared_memory::open(*at_);
  ASSERT_OK(opened);
  EXPECT_FALSE(opened->created());
  EXPECT_EQ(opened->size(), bytes);
  EXPECT_EQ(word_of(*opened), 42U);
  write_word(43)(opened->base());
  EXPECT_EQ(word_of(*made), 43U);
  EXPECT_EQ(in_child([&] {
              auto theirs = shared_memory::open(*at_);
              return theirs && word_of(*theirs) == 43;
            }),
            0);
}

TEST_P(Named, CreateIsExclusive) {
  auto first = shared_memory::create(*at_, bytes, 0600, write_word(1));
  ASSERT_OK(first);
  EXPECT_EQ(code_of(shared_memory::create(*at_, bytes, 0600, write_word(2))), errc::exists);
  EXPECT_EQ(word_of(*first), 1U);
}

TEST_P(Named, OpenOrCreateCreatesOnce) {
  auto first = shared_memory::open_or_create(*at_, bytes, 0600, write_word(1));
  ASSERT_OK(first);
  EXPECT_TRUE(first->created());
  auto second = shared_memory::open_or_create(*at_, bytes * 2, 0600, write_word(2));
  ASSERT_OK(second);
  EXPECT_FALSE(second->created());
  EXPECT_EQ(second->size(), bytes);
  EXPECT_EQ(word_of(*second), 1U);
}

TEST_P(Named, WhatIsNotThereIsNotFound) {
  EXPECT_EQ(code_of(shared_memory::open(*at_)), errc::not_found);
  EXPECT_EQ(code_of(shared_memory::unlink(*at_)), errc::not_found);
}

TEST_P(Named, UnlinkTakesTheNameAndLeavesTheMapping) {
  auto made = shared_memory::create(*at_, bytes, 0600, write_word(7));
  ASSERT_OK(made);
  ASSERT_OK(shared_memory::unlink(*at_));
  EXPECT_EQ(code_of(shared_memory::open(*at_)), errc::not_found);
  EXPECT_EQ(word_of(*made), 7U);
}

TEST_P(Named, MoreThanThereIsGivesNoSpaceWithNumbers) {
  for (const std::size_t huge : {std::size_t{1} << 45, ~std::size_t{0}, ~std::size_t{0} - 127}) {
    const auto made = shared_memory::create(*at_, huge, 0600, leave_raw);
    EXPECT_EQ(code_of(made), errc::no_space);
    EXPECT_NE(made.error().message.find(std::to_string(huge)), std::string::npos) << made.error().message;
    EXPECT_NE(made.error().message.find("available"), std::string::npos) << made.error().message;
  }
  EXPECT_EQ(code_of(shared_memory::open(*at_)), errc::not_found);
}

TEST_P(Named, ACreatorKilledHalfWayIsNoObstacle) {
  ASSERT_EQ(in_child([&] {
              auto made = shared_memory::create(*at_, bytes, 0600, [](void* base) {
                std::memset(base, 0xee, bytes);
                ::raise(SIGKILL);
              });
              return static_cast<bool>(made);
            }),
            -SIGKILL);
  const auto opened = shared_memory::open(*at_);
  EXPECT_EQ(code_of(opened), errc::not_found);
  if (GetParam() == location::kind::sysv) {
    EXPECT_NE(opened.error().message.find("half-made"), std::string::npos) << opened.error().message;
    EXPECT_EQ(code_of(shared_memory::open_or_create(*at_, bytes + 1, 0600, leave_raw)), errc::incompatible);
  }

  auto finished = shared_memory::open_or_create(*at_, bytes, 0600, write_word(5));
  ASSERT_OK(finished);
  EXPECT_TRUE(finished->created());
  EXPECT_EQ(word_of(*finished), 5U);
  EXPECT_EQ(static_cast<unsigned char*>(finished->base())[bytes - 1], 0) << "the killed run shows";
}

TEST_P(Named, CreateFinishesWhatAKilledCreatorBegan) {
  for (int killed = 0; killed < 2; ++killed) {
    ASSERT_EQ(in_child([&] {
                return static_cast<bool>(shared_memory::create(*at_, bytes, 0600, [](void*) { ::raise(SIGKILL); }));
              }),
              -SIGKILL);
  }
  auto made = shared_memory::create(*at_, bytes, 0600, write_word(6));
  ASSERT_OK(made);
  EXPECT_EQ(word_of(*made), 6U);
}

TEST_P(Named, AnInitialiserThatThrowsLeavesRoomForTheNext) {
  EXPECT_THROW((void)shared_memory::create(*at_, bytes, 0600, [](void*) { throw 1; }), int);
  auto made = shared_memory::open_or_create(*at_, bytes, 0600, write_word(8));
  ASSERT_OK(made);
  EXPECT_TRUE(made->created());
}

TEST_P(Named, OfManyAtOnceExactlyOneInitialises) {
  auto count = shared_memory::create(location::anonymous(), sizeof(std::atomic<int>) * 2, 0600,
                                     [](void* base) { ::new (base) std::atomic<int>[2] {}; });
  ASSERT_OK(count);
  auto* counters = static_cast<std::atomic<int>*>(count->base());  // [0] start signal, [1] creators
  std::vector<pid_t> children;
  for (int i = 0; i < 8; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      while (counters[0].load() == 0) std::this_thread::yield();
      auto segment = shared_memory::open_or_create(*at_, bytes, 0600, write_word(9));
      if (segment && segment->created()) ++counters[1];
      ::_exit(segment && word_of(*segment) == 9 ? 0 : 1);
    }
    children.push_back(child);
  }
  counters[0] = 1;
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  EXPECT_EQ(counters[1].load(), 1);
}

TEST_P(Named, TheModeIsExactWhateverTheUmask) {
  for (const mode_t mask : {mode_t{0}, mode_t{077}}) {
    const mode_t before = ::umask(mask);
    const auto make = mask == 0 ? shared_memory::create : shared_memory::open_or_create;
    auto made = make(*at_, bytes, 0640, leave_raw, {});
    ::umask(before);
    ASSERT_OK(made);
    if (GetParam() == location::kind::posix) {
      struct stat info {};
      ASSERT_EQ(::stat(at_.path().c_str(), &info), 0);
      EXPECT_EQ(info.st_mode & 07777, 0640U);
    } else {
      shmid_ds info{};
      ASSERT_EQ(::shmctl(::shmget((*at_).key(), 0, 0), IPC_STAT, &info), 0);
      EXPECT_EQ(info.shm_perm.mode & 0777U, 0640U);
    }
    ASSERT_OK(shared_memory::unlink(*at_));
  }
}

// Runs `work` in a traced child and kills it at the `step`th stop, of which there
// are two for each of its system calls. Its exit status, or minus the signal.
template <class Work>
int in_child_killed_at(int step, Work work) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(100);
    ::raise(SIGSTOP);
    work();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  if (WIFSTOPPED(status)) ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_EXITKILL);
  for (int stop = 0; WIFSTOPPED(status); ++stop) {
    if (stop == step) {
      ::kill(child, SIGKILL);
    } else {
      ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
    }
    EXPECT_EQ(::waitpid(child, &status, 0), child);
  }
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

void expect_no_obstacle(const location& where, int step) {
  const auto opened = shared_memory::open(where);
  if (opened) {
    EXPECT_EQ(word_of(*opened), 1U) << "step " << step << ": an opener sees what is not finished";
  } else {
    EXPECT_EQ(opened.error().code, errc::not_found) << "step " << step << ": " << opened.error().message;
  }
  auto made = shared_memory::open_or_create(where, bytes, 0600, write_word(2));
  ASSERT_TRUE(made) << "step " << step << ": " << made.error().message;
  EXPECT_EQ(made->created(), !opened) << "step " << step;
  EXPECT_EQ(word_of(*made), opened ? 1U : 2U) << "step " << step;
  ASSERT_OK(shared_memory::unlink(where));
}

TEST_P(Named, ACreatorKilledAtAnySystemCallIsNoObstacle) {
  int step = 0;
  int end = -SIGKILL;
  while (end == -SIGKILL) {
    end = in_child_killed_at(++step, [&] { (void)shared_memory::create(*at_, bytes, 0600, write_word(1)); });
    if (end == 100) GTEST_SKIP() << "may not trace its child";
    ASSERT_NO_FATAL_FAILURE(expect_no_obstacle(*at_, step));
  }
  EXPECT_EQ(end, 0);
  EXPECT_GT(step, 10);
}

// Between two system calls a creator stores several words that others see. It is
// killed after the second; the rest is laid out as the other moments leave it.
TEST(SharedMemorySysv, ACreatorKilledBetweenTwoStoresIsNoObstacle) {
  const scratch finished = scratch::sysv();
  const auto whole = shared_memory::create(*finished, bytes, 0600, write_word(1));
  ASSERT_OK(whole);
  const auto preamble_of = [](void* base) { return static_cast<std::uint64_t*>(base) - 16; };
  const std::uint64_t ready = preamble_of(whole->base())[0];
  enum moment { maker_told, claimed, size_told, ready_told_nobody_woken, end };
  for (int m = maker_told; m != end; ++m) {
    const scratch at = scratch::sysv();
    ASSERT_EQ(in_child([&] {
                return static_cast<bool>(shared_memory::create(*at, bytes, 0600, [&](void* base) {
                  write_word(1)(base);
                  if (m == maker_told) preamble_of(base)[0] = 0;
                  if (m >= size_told) preamble_of(base)[2] = bytes;
                  if (m == ready_told_nobody_woken) preamble_of(base)[0] = ready;
                  ::raise(SIGKILL);
                }));
              }),
              -SIGKILL);
    ASSERT_NO_FATAL_FAILURE(expect_no_obstacle(*at, m));
  }
}

TEST_P(Named, SomebodyElsesIsNoPermissionAndNamesTheOwner) {
  if (in_child([] { return ::setresgid(65534, 65534, 65534) == 0 && ::setresuid(65534, 65534, 65534) == 0; }) != 0) {
    GTEST_SKIP() << "needs root, and a user namespace with another user in it";
  }
  auto made = shared_memory::create(*at_, bytes, 0600, leave_raw);
  ASSERT_OK(made);
  EXPECT_EQ(in_child([&] {
              if (::setresgid(65534, 65534, 65534) != 0 || ::setresuid(65534, 65534, 65534) != 0) return false;
              const auto opened = shared_memory::open(*at_);
              const auto made_again = shared_memory::create(*at_, bytes, 0600, leave_raw);
              const auto unlinked = shared_memory::unlink(*at_);
              return !opened && opened.error().code == errc::no_permission &&
                     opened.error().message.find("owned by uid 0 (root), mode 0600") != std::string::npos &&
                     !made_again && made_again.error().code == errc::exists &&
                     made_again.error().message.find("of uid 0 (root), mode 0600") != std::string::npos && !unlinked &&
                     unlinked.error().code == errc::no_permission;
            }),
            0);
}

TEST(SharedMemoryPosix, FilesThatAreNotSegmentsAreForeign) {
  for (const std::string& content : {std::string(), std::string(1, '\0'), std::string(127, '\0'),
                                     std::string(128, '\0'), std::string(8192, '\0'), std::string(8192, 'x')}) {
    const scratch at = scratch::posix();
    ASSERT_NO_FATAL_FAILURE(write_file(at.path(), content));
    EXPECT_EQ(code_of(shared_memory::open(*at)), errc::foreign) << content.size();
    EXPECT_EQ(code_of(shared_memory::open_or_create(*at, bytes, 0600, leave_raw)), errc::foreign);
  }
}

std::string noise(std::size_t length, unsigned seed) {
  std::mt19937 random(seed);
  std::string text(length, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

TEST(SharedMemoryPosix, NoiseIsForeign) {
  for (unsigned seed = 0; seed != 100; ++seed) {
    const scratch at = scratch::posix();
    ASSERT_NO_FATAL_FAILURE(write_file(at.path(), noise(129 + seed * 40, seed)));
    EXPECT_EQ(code_of(shared_memory::open(*at)), errc::foreign) << seed;
  }
}

TEST(SharedMemoryPosix, ASignatureOrSizeWithOneBitWrongIsForeign) {
  const scratch at = scratch::posix();
  auto made = shared_memory::create(*at, bytes, 0600, leave_raw);
  ASSERT_OK(made);
  auto* const preamble = static_cast<unsigned char*>(made->base()) - 128;
  for (const auto& [from, to] : {std::pair{0, 8}, std::pair{12, 16}, std::pair{16, 24}}) {
    for (int bit = from * 8; bit != to * 8; ++bit) {
      const auto mask = static_cast<unsigned char>(1U << (bit % 8));
      preamble[bit / 8] ^= mask;
      EXPECT_EQ(code_of(shared_memory::open(*at)), errc::foreign) << "bit " << bit;
      preamble[bit / 8] ^= mask;
    }
  }
  EXPECT_TRUE(shared_memory::open(*at));
}

TEST(SharedMemoryPosix, ATruncatedOrGrownSegmentIsForeign) {
  for (const off_t length : {0, 64, 128, 4096, 20'000}) {
    const scratch at = scratch::posix();
    ASSERT_OK(shared_memory::create(*at, bytes, 0600, leave_raw));
    ASSERT_EQ(::truncate(at.path().c_str(), length), 0);
    EXPECT_EQ(code_of(shared_memory::open(*at)), errc::foreign) << length;
  }
}

TEST(SharedMemoryPosix, OtherTypesOfFileAreForeignAndDoNotBlock) {
  const scratch fifo = scratch::posix();
  ASSERT_EQ(::mkfifo(fifo.path().c_str(), 0600), 0);
  EXPECT_EQ(code_of(shared_memory::open(*fifo)), errc::foreign);
  const scratch link = scratch::posix();
  ASSERT_EQ(::symlink("/dev/null", link.path().c_str()), 0);
  EXPECT_EQ(code_of(shared_memory::open(*link)), errc::foreign);
}

TEST(SharedMemorySysv, ASegmentOfAnotherProgramIsForeignAndUntouched) {
  const scratch at = scratch::sysv();
  const int id = ::shmget((*at).key(), 4096, IPC_CREAT | IPC_EXCL | 0600);
  ASSERT_GE(id, 0);
  auto* theirs = static_cast<unsigned char*>(::shmat(id, nullptr, 0));
  theirs[0] = 1;  // reads like a claim by pid 1
  EXPECT_EQ(code_of(shared_memory::open(*at)), errc::foreign);
  EXPECT_EQ(code_of(shared_memory::open_or_create(*at, 4096 - 128, 0600, leave_raw)), errc::foreign);
  EXPECT_EQ(theirs[0], 1);
  ::shmdt(theirs);
}

TEST(SharedMemorySysv, NoiseAndWhatIsTooSmallIsForeign) {
  for (const std::size_t length : {std::size_t{1}, std::size_t{128}, std::size_t{4096}}) {
    const scratch at = scratch::sysv();
    const int id = ::shmget((*at).key(), length, IPC_CREAT | IPC_EXCL | 0600);
    ASSERT_GE(id, 0);
    void* const theirs = ::shmat(id, nullptr, 0);
    const std::string content = noise(length, 1);
    std::memcpy(theirs, content.data(), length);
    EXPECT_EQ(code_of(shared_memory::open(*at)), errc::foreign) << length;
    EXPECT_EQ(code_of(shared_memory::open_or_create(*at, bytes, 0600, leave_raw)), errc::foreign) << length;
    EXPECT_EQ(std::memcmp(theirs, content.data(), length), 0) << "touched";
    ::shmdt(theirs);
  }
}

TEST(SharedMemorySysv, ARawSegmentIsFinishedByTheNext) {
  const scratch at = scratch::sysv();
  ASSERT_EQ(in_child([&] { return ::shmget((*at).key(), bytes + 128, IPC_CREAT | IPC_EXCL | 0600) >= 0; }), 0);
  EXPECT_EQ(code_of(shared_memory::open(*at)), errc::not_found);
  auto finished = shared_memory::open_or_create(*at, bytes, 0600, write_word(3));
  ASSERT_OK(finished);
  EXPECT_TRUE(finished->created());
}

TEST(SharedMemorySysv, AnotherProgramsZerosAreLeftAlone) {
  const scratch at = scratch::sysv();
  shared<std::atomic<int>> stage;
  child other([&] {
    const int id = ::shmget((*at).key(), bytes + 128, IPC_CREAT | IPC_EXCL | 0600);
    const auto* const mapped = static_cast<const unsigned char*>(::shmat(id, nullptr, 0));
    *stage = 1;
    if (!reached([&] { return *stage == 2; })) return false;
    return std::all_of(mapped, mapped + bytes + 128, [](unsigned char b) { return b == 0; });
  });
  ASSERT_TRUE(reached([&] { return *stage == 1; }));
  const auto taken = shared_memory::open_or_create(*at, bytes, 0600, write_word(3));
  EXPECT_EQ(code_of(taken), errc::foreign);
  EXPECT_NE(taken.error().message.find("zeros that pid " + std::to_string(other.pid())), std::string::npos)
      << taken.error().message;
  *stage = 2;
  EXPECT_TRUE(other.succeeded());
}

TEST(SharedMemorySysv, AnOpenerWaitsForALivingInitialiser) {
  const scratch at = scratch::sysv();
  int begun[2];
  ASSERT_EQ(::pipe2(begun, O_CLOEXEC), 0);
  int go_on[2];
  ASSERT_EQ(::pipe2(go_on, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char c = 'x';
    auto made = shared_memory::create(*at, bytes, 0600, [&](void* base) {
      (void)!::write(begun[1], &c, 1);
      (void)!::read(go_on[0], &c, 1);
      write_word(11)(base);
    });
    ::_exit(made ? 0 : 1);
  }
  char c = 0;
  ASSERT_EQ(::read(begun[0], &c, 1), 1);
  EXPECT_EQ(code_of(shared_memory::create(*at, bytes, 0600, leave_raw)), errc::exists);
  const auto impatient = shared_memory::open(*at);  // nobody goes on: gives up by itself
  EXPECT_EQ(code_of(impatient), errc::limit);
  EXPECT_NE(impatient.error().message.find("pid " + std::to_string(child)), std::string::npos)
      << impatient.error().message;
  std::thread opener([&] {
    auto opened = shared_memory::open(*at);
    ASSERT_OK(opened);
    EXPECT_EQ(word_of(*opened), 11U);
  });
  ASSERT_EQ(::write(go_on[1], &c, 1), 1);
  opener.join();
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  for (const int end : {begun[0], begun[1], go_on[0], go_on[1]}) ::close(end);
}

TEST(SharedMemoryAnonymous, IsSharedWithAForkedChild) {
  auto made = shared_memory::create(location::anonymous(), bytes, 0600, write_word(1));
  ASSERT_OK(made);
  EXPECT_EQ(made->descriptor(), -1);
  EXPECT_EQ(in_child([&] {
              write_word(2)(made->base());
              return true;
            }),
            0);
  EXPECT_EQ(word_of(*made), 2U);
}

TEST(SharedMemoryMemfd, IsSharedByItsDescriptorOverASocket) {
  int sockets[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    if (::recvmsg(sockets[1], &message, MSG_CMSG_CLOEXEC) != 1) ::_exit(2);
    int received = -1;
    const cmsghdr* const header = CMSG_FIRSTHDR(&message);
    if (header == nullptr) ::_exit(2);
    std::memcpy(&received, CMSG_DATA(header), sizeof received);
    auto adopted = shared_memory::adopt(received);
    if (!adopted || word_of(*adopted) != 12 || adopted->created()) ::_exit(3);
    write_word(13)(adopted->base());
    ::_exit(adopted->where() == location::memfd("ticks") ? 0 : 4);
  }
  auto made = shared_memory::create(location::memfd("ticks"), bytes, 0600, write_word(12));
  ASSERT_OK(made);
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int descriptor = made->descriptor();
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  ASSERT_EQ(::sendmsg(sockets[0], &message, 0), 1);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_EQ(word_of(*made), 13U);
  ::close(sockets[0]);
  ::close(sockets[1]);
}

TEST(SharedMemoryMemfd, NobodyCanTruncateIt) {
  auto made = shared_memory::create(location::memfd("sealed"), bytes, 0600, leave_raw);
  ASSERT_OK(made);
  EXPECT_NE(::ftruncate(made->descriptor(), 0), 0);
  EXPECT_NE(::ftruncate(made->descriptor(), 1 << 20), 0);
}

TEST(SharedMemoryMemfd, OtherDescriptorsAreRefused) {
  EXPECT_EQ(code_of(shared_memory::adopt(-1)), errc::bad_argument);
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  EXPECT_EQ(code_of(shared_memory::adopt(ends[0])), errc::foreign);
  ::close(ends[0]);
  ::close(ends[1]);
  const int empty = ::memfd_create("empty", MFD_CLOEXEC);
  ASSERT_GE(empty, 0);
  EXPECT_EQ(code_of(shared_memory::adopt(empty)), errc::foreign);
  const std::string content = noise(8192, 2);
  ASSERT_EQ(::write(empty, content.data(), content.size()), 8192);
  EXPECT_EQ(code_of(shared_memory::adopt(empty)), errc::foreign);
  ::close(empty);
  const int file = ::open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  ASSERT_GE(file, 0);
  EXPECT_EQ(code_of(shared_memory::adopt(file)), errc::foreign);
  ::close(file);
}

TEST(SharedMemoryMemfd, ADescriptorThatForbidsWritingIsNoPermission) {
  auto made = shared_memory::create(location::memfd("x"), bytes, 0600, leave_raw);
  ASSERT_OK(made);
  const std::string path = "/proc/self/fd/" + std::to_string(made->descriptor());
  const int reader = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(reader, 0);
  EXPECT_EQ(code_of(shared_memory::adopt(reader)), errc::no_permission);
  ::close(reader);
}

TEST(SharedMemoryMemfd, TheModeIsExactWhateverTheUmask) {
  const mode_t before = ::umask(077);
  auto made = shared_memory::create(location::memfd("x"), bytes, 0640, leave_raw);
  ::umask(before);
  ASSERT_OK(made);
  struct stat info {};
  ASSERT_EQ(::fstat(made->descriptor(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640U);
}

TEST(SharedMemory, AllItsRoomIsReservedAtCreation) {
  const scratch posix = scratch::posix();
  const scratch sysv = scratch::sysv();
  for (const location& where : {*posix, *sysv, location::anonymous(), location::memfd("x")}) {
    auto made = shared_memory::create(where, 1 << 20, 0600, leave_raw);
    ASSERT_OK(made);
    std::vector<unsigned char> resident((made->size() + 128 + 4095) / 4096);
    ASSERT_EQ(::mincore(static_cast<std::byte*>(made->base()) - 128, made->size() + 128, resident.data()), 0);
    auto backed =
        static_cast<std::size_t>(std::count_if(resident.begin(), resident.end(), [](auto p) { return p & 1; }));
    if (made->descriptor() >= 0) {  // mincore does not count a page of a file that nobody has touched
      struct stat info {};
      ASSERT_EQ(::fstat(made->descriptor(), &info), 0);
      backed = static_cast<std::size_t>(info.st_blocks) * 512 / 4096;
    }
    EXPECT_EQ(backed, resident.size()) << where.describe() << ": pages";
  }
}

// A /dev/shm of one MiB, seen by the calling process alone.
bool have_a_small_dev_shm() {
  if (::unshare(CLONE_NEWNS) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return false;
  return ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
         ::mount("small", "/dev/shm", "tmpfs", 0, "size=1m") == 0;
}

TEST(SharedMemoryPosix, AFullFileSystemIsAnErrorAtCreationAndNoSigbusLater) {
  if (in_child(have_a_small_dev_shm) != 0) GTEST_SKIP() << "may not mount";
  EXPECT_EQ(in_child([] {
              if (!have_a_small_dev_shm()) return false;
              const location where = location::posix("ring");
              const auto too_much = shared_memory::create(where, 2 << 20, 0600, leave_raw);
              if (too_much || too_much.error().code != errc::no_space) return false;
              if (!std::filesystem::is_empty("/dev/shm")) return false;
              auto made = shared_memory::create(where, 600'000, 0600, leave_raw);
              if (!made) return false;
              const int other = ::open("/dev/shm/other", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
              const std::vector<char> junk(4096);
              while (::write(other, junk.data(), junk.size()) > 0) {
              }
              if (errno != ENOSPC) return false;
              std::memset(made->base(), 1, made->size());
              const auto another = shared_memory::create(location::posix("another"), 4096, 0600, leave_raw);
              return !another && another.error().code == errc::no_space;
            }),
            0);
}

TEST(SharedMemory, ALimitOnFilesIsAnErrorAndNoSignal) {
  const scratch at = scratch::posix();
  EXPECT_EQ(in_child([&] {
              const rlimit low{4096, 4096};
              if (::setrlimit(RLIMIT_FSIZE, &low) != 0) return false;
              for (const location& where : {*at, location::memfd("x")}) {
                const auto made = shared_memory::create(where, bytes, 0600, leave_raw);
                if (made || made.error().code != errc::limit) return false;
                if (made.error().message.find("limit of 4096") == std::string::npos) return false;
              }
              return true;
            }),
            0);
}

TEST(SharedMemory, MovingHandsTheMappingOn) {
  auto made = shared_memory::create(location::anonymous(), bytes, 0600, write_word(1));
  ASSERT_OK(made);
  shared_memory other = std::move(*made);
  EXPECT_EQ(made->base(), nullptr);
  EXPECT_EQ(made->size(), 0U);
  EXPECT_EQ(word_of(other), 1U);
  *made = std::move(other);
  EXPECT_EQ(word_of(*made), 1U);
}

}  // namespace
}  // namespace millrace
