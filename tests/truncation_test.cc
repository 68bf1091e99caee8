// A posix segment truncated under the hands of real processes: they are told, and live on.
#include "millrace/truncation.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "millrace/boost_ring.h"
#include "millrace/broadcast_ring.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

struct page_of_text {
  std::uint64_t number;
  std::array<char, 4088> text;
};

struct lossy_broadcast_ring : broadcast_ring<page_of_text> {
  static constexpr std::string_view kind = "lossy_broadcast_ring";
  using broadcast_ring::broadcast_ring;
};

template <class R>
class TruncationTest : public testing::Test {
 protected:
  using ring = shared_ring<R>;
  using handle = typename ring::handle;

  static constexpr ring_options options{
      .capacity = R::kind == "rendezvous_ring" ? 0 : 8,
      .members = 4,
      .fidelity = R::kind == "lossy_broadcast_ring" ? fidelity::lossy : fidelity::lossless,
  };
  static constexpr status last = R::kind == "boost_ring" ? status::closed : status::corrupt;

  TruncationTest() : ring_(*ring::create(*at_, options)) {}

  static void receive(handle& h) {
    if constexpr (broadcasting_ring<R>) h.begin_receiving();
  }

  // A child in which `call`, again and again, never yields anything but what an intact
  // ring says, until it says that the ring is corrupt, and from then on nothing else.
  child caller(std::function<status(handle&)> call, bool receives) {
    return child([this, receives, call = std::move(call)] {
      auto segment = ring::open(*at_);
      if (!segment) return false;
      auto mine = segment->attach();
      if (!mine) return false;
      if (receives) receive(*mine);
      joined_->fetch_add(1);
      status s = status::ok;
      while (s != last) {
        s = call(*mine);
        if (s == status::redelivered) return false;
        calls_->fetch_add(1);
      }
      for (int i = 0; i != 3; ++i) {
        if (call(*mine) != last) return false;
      }
      // Nobody is let in to what is left, and one who leaves it does no harm.
      const auto another = segment->attach();
      if (another || another.error().code != errc::foreign) return false;
      if (another.error().message.find("truncated it; unlink it") == std::string::npos) return false;
      return !ring::open(*at_);
    });
  }

  // Truncates to `bytes` while all these are at it, the first of which pushes.
  void truncate_under(const std::vector<std::function<status(handle&)>>& calls, std::size_t bytes) {
    std::vector<child> callers;
    for (const auto& call : calls) callers.push_back(caller(call, !callers.empty()));
    ASSERT_TRUE(reached([&] { return *joined_ == calls.size(); }));
    const std::uint64_t before = calls_->load();
    ASSERT_TRUE(reached([&] { return calls_->load() >= before + 1000; }));
    ASSERT_EQ(::truncate(at_.path().c_str(), static_cast<off_t>(bytes)), 0);
    for (child& c : callers) EXPECT_TRUE(c.succeeded()) << "cut to " << bytes;
  }

  void truncate_to(std::size_t bytes) {
    truncate_under({[](handle& h) {
                      page_of_text m{1, {}};
                      return h.try_push(m);
                    },
                    [](handle& h) {
                      page_of_text m{};
                      return h.try_pop(m);
                    }},
                   bytes);
  }

  scratch at_ = scratch::posix();
  ring ring_;
  shared<std::atomic<std::uint64_t>> joined_;
  shared<std::atomic<std::uint64_t>> calls_;
};

struct ring_name {
  template <class R>
  static std::string GetName(int) {
    return std::string(R::kind);
  }
};

using rings = testing::Types<mpmc_ring<page_of_text>, spsc_ring<page_of_text>, mutex_ring<page_of_text>,
                             growing_ring<page_of_text>, semaphore_ring<page_of_text>, boost_ring<page_of_text>,
                             rendezvous_ring<page_of_text>, broadcast_ring<page_of_text>, lossy_broadcast_ring>;
TYPED_TEST_SUITE(TruncationTest, rings, ring_name);

TYPED_TEST(TruncationTest, AllOfIt) { this->truncate_to(0); }
TYPED_TEST(TruncationTest, ItsSlots) {
  if (TypeParam::kind == "rendezvous_ring") GTEST_SKIP() << "a try that meets nobody touches none";
  // A short growing_ring needs but one.
  this->truncate_to(TypeParam::kind == "growing_ring" ? 4096 : 8192);
}

TYPED_TEST(TruncationTest, UnderBlockingCallsAndBatches) {
  this->truncate_under({[](typename TestFixture::handle& h) {
                          std::array<page_of_text, 3> some{};
                          return h.push_n_for(some, 10ms).why;
                        },
                        [](typename TestFixture::handle& h) {
                          std::array<page_of_text, 3> some{};
                          return h.pop_n_for(some, 10ms).why;
                        }},
                       0);
}

// Before it has gone round once: calls that were under way commit into what is there now.
TYPED_TEST(TruncationTest, AfterAFewMessages) {
  if (TypeParam::kind == "boost_ring") GTEST_SKIP() << "it takes what an overtaken call commits for a message";
  if (TypeParam::kind == "rendezvous_ring") GTEST_SKIP() << "it keeps no message";
  for (const bool pushing : {true, false}) {
    const scratch at = scratch::posix();
    auto segment = TestFixture::ring::create(*at, TestFixture::options);
    ASSERT_TRUE(segment);
    auto mine = segment->attach();
    auto other = segment->attach();
    ASSERT_TRUE(mine && other);
    this->receive(*other);
    page_of_text m{1, {}};
    for (int i = 0; i != 4; ++i) ASSERT_EQ(mine->try_push(m), status::ok);
    for (int i = 0; i != 2; ++i) ASSERT_EQ(other->try_pop(m), status::ok);
    ASSERT_EQ(::truncate(at.path().c_str(), 8192), 0);
    std::uint64_t through = 0;
    while ((pushing ? mine->try_push(m) : other->try_pop(m)) == status::ok) ++through;
    EXPECT_LE(through, 1u);  // the one that was under way
    for (int i = 0; i != 3; ++i) {
      EXPECT_EQ(mine->try_push(m), TestFixture::last);
      EXPECT_EQ(other->try_pop(m), TestFixture::last);
    }
  }
}

TYPED_TEST(TruncationTest, BeforeAnybodyAttaches) {
  ASSERT_EQ(::truncate(this->at_.path().c_str(), 0), 0);
  const auto late = this->ring_.attach();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().code, errc::foreign);
}

// The keeper sleeps on words that are gone, and touches them when it is asked to.
TYPED_TEST(TruncationTest, WhereNobodyIsInACall) {
  child member([&] {
    auto segment = TestFixture::ring::open(*this->at_);
    if (!segment) return false;
    std::optional<result<typename TestFixture::handle>> mine(segment->attach());
    if (!*mine) return false;
    this->joined_->fetch_add(1);
    if (!reached([&] { return *this->calls_ != 0; })) return false;
    mine.reset();
    return true;
  });
  ASSERT_TRUE(reached([&] { return *this->joined_ == 1; }));
  auto mine = this->ring_.attach();
  ASSERT_TRUE(mine);
  ASSERT_EQ(::truncate(this->at_.path().c_str(), 0), 0);
  this->calls_->fetch_add(1);
  EXPECT_TRUE(member.succeeded());
  page_of_text m{};
  EXPECT_EQ(mine->try_push(m), TestFixture::last);
  EXPECT_TRUE(this->ring_.memory().cut_off());
  EXPECT_EQ(this->ring_.members().size(), 0u);
}

// Nobody can wake who sleeps on what is gone. All at once, as each takes the longest sleep.
TEST(TruncationOfSleepers, TellsThem) {
  std::vector<std::unique_ptr<const scratch>> places;
  std::vector<child> sleepers;
  const auto put_to_sleep = [&]<class R>(const R*) {
    for (const bool pushing : {true, false}) {
      const scratch& at = *places.emplace_back(new scratch(scratch::posix()));
      sleepers.emplace_back([&at, pushing] {
        auto segment = shared_ring<R>::create(*at, {.capacity = 1, .members = 2});
        auto mine = segment->attach();
        if constexpr (broadcasting_ring<R>) mine->begin_receiving();
        page_of_text m{};
        while (pushing && mine->try_push(m) == status::ok) {
        }
        return (pushing ? mine->push(m) : mine->pop(m)) == (R::kind == "boost_ring" ? status::closed : status::corrupt);
      });
    }
  };
  put_to_sleep(static_cast<const mpmc_ring<page_of_text>*>(nullptr));
  put_to_sleep(static_cast<const spsc_ring<page_of_text>*>(nullptr));
  put_to_sleep(static_cast<const mutex_ring<page_of_text>*>(nullptr));
  put_to_sleep(static_cast<const semaphore_ring<page_of_text>*>(nullptr));
  put_to_sleep(static_cast<const boost_ring<page_of_text>*>(nullptr));
  put_to_sleep(static_cast<const broadcast_ring<page_of_text>*>(nullptr));
  for (const child& c : sleepers) ASSERT_TRUE(reached([&] { return asleep(c.pid()); }));
  for (const auto& at : places) ASSERT_EQ(::truncate(at->path().c_str(), 0), 0);
  for (child& c : sleepers) EXPECT_TRUE(c.succeeded());
}

// A file of `bytes` with no name, mapped, and then cut off.
class cut_file {
 public:
  explicit cut_file(std::size_t bytes, std::size_t left = 0) : bytes_(bytes) {
    EXPECT_EQ(::ftruncate(file_, static_cast<off_t>(bytes)), 0);
    at_ = static_cast<volatile char*>(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0));
    EXPECT_EQ(::ftruncate(file_, static_cast<off_t>(left)), 0);
  }
  ~cut_file() {
    ::munmap(at(), bytes_);
    ::close(file_);
  }

  int descriptor() const { return file_; }
  off_t size() const { return ::lseek(file_, 0, SEEK_END); }

  void* at() const { return const_cast<char*>(at_); }
  void touch(std::size_t i) const { at_[i] = 'x'; }
  char operator[](std::size_t i) const { return at_[i]; }

 private:
  std::size_t bytes_;
  int file_ = ::memfd_create("cut", MFD_CLOEXEC);
  volatile char* at_;
};

TEST(TruncationGuard, PutsASubstituteInThePlaceOfTheWholeMapping) {
  const cut_file file(3 * 4096, 4096);
  const truncation_guard guard(file.at(), 3 * 4096, file.descriptor(),
                               [](void* at) { static_cast<char*>(at)[5] = 's'; });
  EXPECT_FALSE(guard.cut_off());
  file.touch(8000);
  EXPECT_TRUE(guard.cut_off());
  EXPECT_EQ(file[5], 's');
  EXPECT_EQ(file[6], '\0');
  EXPECT_EQ(file[8000], 'x');
  EXPECT_EQ(file.size(), 0);
}

TEST(TruncationGuard, LeavesAFileAloneThatHasTakenTheDescriptorsNumber) {
  const cut_file file(4096);
  const int number = ::dup(file.descriptor());
  const truncation_guard guard(file.at(), 4096, number, {});
  const cut_file another(4096, 4096);
  ASSERT_EQ(::dup2(another.descriptor(), number), number);
  file.touch(0);
  EXPECT_TRUE(guard.cut_off());
  EXPECT_EQ(another.size(), 4096);
  ::close(number);
}

TEST(TruncationGuard, NeedsNoAddressSpaceBesides) {
  EXPECT_TRUE(child([] {
                constexpr std::size_t large = 64 << 20;
                const cut_file file(large);
                const truncation_guard* asked = nullptr;
                bool told = false;
                const truncation_guard guard(file.at(), large, file.descriptor(), [&](void* at) {
                  static_cast<char*>(at)[5] = 's';
                  told = at == file.at() && asked->cut_off();  // as others see it from here on
                });
                asked = &guard;
                rlim_t pages = 0;
                std::ifstream("/proc/self/statm") >> pages;
                rlimit most{};
                ::getrlimit(RLIMIT_AS, &most);
                most.rlim_cur = pages * 4096 + large / 2;
                if (::setrlimit(RLIMIT_AS, &most) != 0) return false;
                file.touch(8000);
                return told && guard.cut_off() && file[5] == 's' && file[8000] == 'x';
              }).succeeded());
}

// Which faults first is left to chance.
TEST(TruncationGuard, ServesManyThreadsAtOnce) {
  for (int round = 0; round != 100; ++round) {
    const cut_file file(1 << 20);
    std::atomic<int> replacements{0};
    const truncation_guard guard(file.at(), 1 << 20, file.descriptor(), [&](void*) { ++replacements; });
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t != 4; ++t) {
      threads.emplace_back([&, t] { file.touch(t * 8192); });
    }
    for (std::thread& t : threads) t.join();
    EXPECT_EQ(replacements, 1);
    for (std::size_t t = 0; t != 4; ++t) EXPECT_EQ(file[t * 8192], 'x');
  }
}

TEST(TruncationGuard, MovesAndIsUsedAgain) {
  for (int i = 0; i != 3; ++i) {
    const cut_file file(4096);
    truncation_guard first(file.at(), 4096, file.descriptor(), {});
    const truncation_guard second(std::move(first));
    file.touch(0);
    EXPECT_TRUE(second.cut_off());
  }
}

// In a child: how it ended.
int ending_of(const std::function<void()>& body) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    body();
    ::_exit(0);
  }
  int how = 0;
  ::waitpid(pid, &how, 0);
  return how;
}

bool died_of_sigbus(int how) { return WIFSIGNALED(how) && WTERMSIG(how) == SIGBUS; }

TEST(TruncationGuard, LeavesOtherFaultsToTheDefault) {
  const auto with_guard = [](void (*handler)(int), const std::function<void()>& then) {
    return ending_of([&] {
      ::signal(SIGBUS, handler);
      const cut_file guarded(4096);
      const truncation_guard guard(guarded.at(), 4096, guarded.descriptor(), {});
      then();
    });
  };
  const auto fault_elsewhere = [] { cut_file(4096).touch(0); };
  EXPECT_TRUE(died_of_sigbus(with_guard(SIG_DFL, fault_elsewhere)));
  EXPECT_TRUE(died_of_sigbus(with_guard(SIG_IGN, fault_elsewhere)));
  EXPECT_TRUE(died_of_sigbus(with_guard(SIG_DFL, [] { ::raise(SIGBUS); })));
  EXPECT_EQ(with_guard(SIG_IGN, [] { ::raise(SIGBUS); }), 0);
}

TEST(TruncationGuard, PassesOtherFaultsOn) {
  const int how = ending_of([] {
    ::signal(SIGBUS, [](int) { ::_exit(42); });
    const cut_file guarded(4096);
    const truncation_guard guard(guarded.at(), 4096, guarded.descriptor(), {});
    guarded.touch(0);
    cut_file(4096).touch(0);
  });
  EXPECT_TRUE(WIFEXITED(how) && WEXITSTATUS(how) == 42);
}

TEST(TruncationGuard, IsGoneWithItsLife) {
  EXPECT_TRUE(died_of_sigbus(ending_of([] {
    ::signal(SIGBUS, SIG_DFL);
    const cut_file file(4096);
    { const truncation_guard guard(file.at(), 4096, file.descriptor(), {}); }
    file.touch(0);
  })));
}

}  // namespace
}  // namespace millrace
