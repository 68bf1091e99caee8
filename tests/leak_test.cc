// Nothing is left of many channels and many processes, in whatever way those end: no segment
// or name, no descriptor, thread or mapping, and no member's place.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <ostream>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "millrace/broadcast.h"
#include "millrace/channel.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 30min;

// A channel of whichever kind, and the ends that this process has of it.
class line {
 public:
  line() = default;
  line(const line&) = delete;
  line& operator=(const line&) = delete;
  virtual ~line() = default;

  virtual bool attach(bool sender) = 0;
  virtual void use() = 0;  // each end sends or receives, if it can soon
  virtual void let_go() = 0;
  virtual std::vector<member> members() const = 0;
};

template <class C>
class line_of final : public line {
 public:
  explicit line_of(C of) : channel_(std::move(of)) {}

  bool attach(bool sender) override {
    if (sender) {
      auto end = channel_.attach_sender();
      if (end) out_.push_back(*std::move(end));
      return bool(end);
    }
    auto end = channel_.attach_receiver();
    if (end) in_.push_back(*std::move(end));
    return bool(end);
  }

  void use() override {
    std::uint64_t m = 7;
    for (auto& out : out_) (void)out.push_for(m, 50us);
    for (auto& in : in_) (void)in.pop_for(m, 50us);
  }

  void let_go() override {
    out_.clear();
    in_.clear();
  }

  std::vector<member> members() const override { return channel_.members(); }

 private:
  C channel_;
  std::vector<typename C::sender> out_;
  std::vector<typename C::receiver> in_;
};

struct kind {
  result<std::unique_ptr<line>> (*create)(const location& where, std::uint32_t members);
  result<std::unique_ptr<line>> (*open)(const location& where);
};

template <class C>
result<std::unique_ptr<line>> opened(result<C> channel) {
  if (!channel) return channel.error();
  return std::unique_ptr<line>(new line_of<C>(*std::move(channel)));
}

template <class C>
constexpr kind kind_of() {
  return {[](const location& where, std::uint32_t members) {
            const std::uint64_t room = C::kind.starts_with("rendezvous") ? 0 : 4;
            return opened(C::create(where, {.capacity = room, .members = members}));
          },
          [](const location& where) { return opened(C::open(where)); }};
}

constexpr std::array kinds{kind_of<channel<std::uint64_t>>(),
                           kind_of<channel<std::uint64_t, mutex_ring<std::uint64_t>>>(),
                           kind_of<channel<std::uint64_t, semaphore_ring<std::uint64_t>>>(),
                           kind_of<rendezvous<std::uint64_t>>(), kind_of<broadcast<std::uint64_t>>()};

// What a process has of the system's, as far as this library takes it.
struct footprint {
  std::set<std::string> named;
  std::ptrdiff_t descriptors = 0;
  std::ptrdiff_t threads = 0;
  std::size_t shared_mappings = 0;
  std::size_t wiped_on_fork = 0;  // pages that keepers mark for theirs

  friend bool operator==(const footprint&, const footprint&) = default;
  friend std::ostream& operator<<(std::ostream& out, const footprint& f) {
    return out << f.named.size() << " named, " << f.descriptors << " descriptors, " << f.threads << " threads, "
               << f.shared_mappings << " shared mappings, " << f.wiped_on_fork << " pages of keepers";
  }
};

footprint of_this_process() {
  footprint f{named_things(), entries("/proc/self/fd"), entries("/proc/self/task")};
  std::ifstream smaps("/proc/self/smaps");
  std::size_t pages = 0;
  for (std::string text; std::getline(smaps, text);) {
    unsigned long from = 0;
    unsigned long to = 0;
    char sharing = 0;
    if (std::sscanf(text.c_str(), "%lx-%lx %*3s%c", &from, &to, &sharing) == 3) {
      pages = (to - from) / static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
      if (sharing == 's') ++f.shared_mappings;
    } else if (text.starts_with("VmFlags:") && text.find(" wf") != text.npos) {
      f.wiped_on_fork += pages;
    }
  }
  return f;
}

struct extent {
  std::size_t channels;
  std::size_t processes;
};
extent wanted() { return std::getenv("MILLRACE_DEEP") != nullptr ? extent{1000, 50} : extent{60, 10}; }

class LeakTest : public testing::Test {
 protected:
  static constexpr std::size_t most_processes = 50;

  ~LeakTest() override {
    for (std::size_t i = 0; i != extent_.channels; ++i) (void)shared_memory::unlink(where(i));  // if it has failed
  }

  // Everything in it comes and goes.
  void round() {
    SCOPED_TRACE("the parent's part");
    std::vector<std::unique_ptr<line>> mine;
    for (std::size_t i = 0; i != extent_.channels; ++i) {
      auto made = kind_at(i).create(where(i), members());
      ASSERT_TRUE(made) << made.error().message;
      mine.push_back(*std::move(made));
      if (i % 2 == 0) {
        ASSERT_TRUE(mine.back()->attach(i % 4 == 0));  // of the others all users may be dead at times
      }
    }
    walk_and_die();
    for (std::size_t i = 0; i != extent_.channels; ++i) {
      SCOPED_TRACE("channel " + std::to_string(i));
      line& l = *mine[i];
      if (i % 3 != 0) {
        ASSERT_TRUE(shared_memory::unlink(where(i)));
      }
      l.let_go();
      // Each place can be had, a dead one's too.
      for (std::uint32_t m = 0; m != members(); ++m) ASSERT_TRUE(l.attach(m % 2 == 0)) << "place " << m << " is lost";
      const std::vector<member> all = l.members();
      EXPECT_EQ(all.size(), members());
      for (const member& m : all) EXPECT_FALSE(m.dead);
      l.let_go();
      EXPECT_TRUE(l.members().empty());
    }
  }

 private:
  const kind& kind_at(std::size_t channel) const { return kinds[channel % kinds.size()]; }
  location where(std::size_t channel) const {
    if (channel % 8 == 7) return location::sysv(first_key_ + static_cast<std::int32_t>(channel));
    return location::posix("millrace-leak-" + std::to_string(first_key_) + "-" + std::to_string(channel));
  }
  std::uint32_t members() const { return static_cast<std::uint32_t>(2 * extent_.processes); }

  // How a process ends, in the middle of its way through the channels, with a place in one.
  enum class end : std::size_t { by_returning, by_exit, by_exec, by_its_own_hand, when_killed };
  static end end_of(std::size_t process) { return static_cast<end>(process % 5); }

  void walk_and_die() {
    for (std::atomic<std::size_t>& each : *walked_) each = 0;
    std::vector<child> all;
    for (std::size_t p = 0; p != extent_.processes; ++p) {
      all.emplace_back([this, p] { return walk(p); });
    }
    // The names of some go while they are used.
    ASSERT_TRUE(reached([&] { return (*walked_)[0] >= extent_.channels / 2; }, patience));
    for (std::size_t i = 0; i < extent_.channels; i += 3) ASSERT_TRUE(shared_memory::unlink(where(i)));
    for (std::size_t p = 0; p != extent_.processes; ++p) {
      if (end_of(p) == end::when_killed) {
        ASSERT_TRUE(reached([&] { return (*walked_)[p] >= p * extent_.channels / extent_.processes; }, patience));
        ASSERT_EQ(::kill(all[p].pid(), SIGKILL), 0);
      }
      const bool killed = end_of(p) == end::when_killed || end_of(p) == end::by_its_own_hand;
      EXPECT_EQ(all[p].succeeded(patience), !killed) << "process " << p;
    }
  }

  // From channel to channel, each opened anew.
  bool walk(std::size_t p) {
    for (std::size_t k = 0; k != extent_.channels; ++k) {
      const std::size_t i = (k + p) % extent_.channels;  // close behind one another
      auto there = kind_at(i).open(where(i));
      if (there) {
        if (!(*there)->attach((p + k) % 2 == 0)) return false;
        (*there)->use();
      } else if (there.error().code != errc::not_found || i % 3 != 0) {
        return false;
      }
      ++(*walked_)[p];
      if (!there || k < extent_.channels / 2) continue;
      if (end_of(p) == end::by_exit) ::_exit(0);
      if (end_of(p) == end::by_exec) ::execl("/bin/true", "true", nullptr);
      if (end_of(p) == end::by_its_own_hand) ::raise(SIGKILL);
    }
    while (end_of(p) == end::when_killed) ::pause();
    return true;
  }

  const std::int32_t first_key_ = static_cast<std::int32_t>(std::random_device()() % 0x7fff0000) + 1;
  const extent extent_ = wanted();
  shared<std::array<std::atomic<std::size_t>, most_processes>> walked_;
};

TEST_F(LeakTest, NothingIsLeftOfManyChannelsAndProcesses) {
  const footprint before = of_this_process();
  for (int i = 0; i != 2 && !HasFailure(); ++i) round();
  footprint after;
  // A thread that has been joined is listed for some moments more.
  EXPECT_TRUE(reached([&] { return (after = of_this_process()) == before; }))
      << "before: " << before << "\nafter: " << after;
}

}  // namespace
}  // namespace millrace
