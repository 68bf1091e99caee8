// Peers that share nothing with the test but a ring's name, key or descriptor:
// for each of them this program executes itself anew.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <list>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "millrace/boost_ring.h"
#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/support.h"
#include "verify/races/history.h"
#include "verify/races/jostled.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using races::arrival;
using races::parcel;

using races::jostled;

using rings = testing::Types<mpmc_ring<parcel, jostled>, spsc_ring<parcel, jostled>, mutex_ring<parcel, jostled>,
                             growing_ring<parcel, jostled>, semaphore_ring<parcel, jostled>, boost_ring<parcel>>;

constexpr std::uint64_t seed = 7;

// What the test and its peers tell one another, in a memfd that they inherit.
struct control {
  std::atomic<std::uint32_t> attached{0};
  std::atomic<std::uint32_t> enough{0};              // no more shall be pushed
  std::array<std::atomic<std::uint64_t>, 4> done{};  // by peer: messages pushed, or popped
};

shared_memory control_segment() {
  auto made = shared_memory::create(location::memfd("control"), sizeof(control), 0600,
                                    [](void* at) { std::construct_at(static_cast<control*>(at)); });
  EXPECT_TRUE(made) << made.error().message;
  return *std::move(made);
}

// How a peer gets at the ring. The second argument's meaning differs with it.
constexpr std::string_view by_name = "name", by_key = "key", by_descriptor = "descriptor", by_socket = "socket";

bool send_descriptor(int socket, int descriptor) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char buffer[CMSG_SPACE(sizeof descriptor)] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = buffer;
  message.msg_controllen = sizeof buffer;
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof descriptor);
  std::memcpy(CMSG_DATA(header), &descriptor, sizeof descriptor);
  return ::sendmsg(socket, &message, MSG_NOSIGNAL) == 1;
}

int receive_descriptor(int socket) {
  char byte = 0;
  iovec part{&byte, 1};
  alignas(cmsghdr) char buffer[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = buffer;
  message.msg_controllen = sizeof buffer;
  int descriptor = -1;
  if (::recvmsg(socket, &message, MSG_CMSG_CLOEXEC) == 1 && CMSG_FIRSTHDR(&message) != nullptr) {
    std::memcpy(&descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
  }
  return descriptor;
}

// ---- the peer, with the command line: peer WAY PLACE KIND push|pop NUMBER CONTROL NOTES

struct task {
  std::string_view way;
  std::string place;      // a name, a key, or the number of a descriptor
  std::string_view kind;  // of ring
  bool produces;
  std::uint32_t number;  // among all peers, producers first
  int control;           // descriptors
  int notes;
};

template <class R>
result<shared_ring<R>> join(const task& t) {
  if (t.way == by_name) return shared_ring<R>::open(location::posix(t.place));
  if (t.way == by_key) return shared_ring<R>::open(location::sysv(std::stoi(t.place)));
  if (t.way == by_socket) return shared_ring<R>::adopt(receive_descriptor(std::stoi(t.place)));
  return shared_ring<R>::adopt(std::stoi(t.place));
}

bool write_all(int file, std::span<const std::byte> what) {
  while (!what.empty()) {
    const ssize_t n = ::write(file, what.data(), what.size());
    if (n <= 0) return false;
    what = what.subspan(static_cast<std::size_t>(n));
  }
  return true;
}

template <class R>
int work(const task& t) {
  auto told = shared_memory::adopt(t.control);
  auto segment = join<R>(t);
  if (!told || !segment) {
    std::fprintf(stderr, "peer: %s\n", (told ? segment.error() : told.error()).message.c_str());
    return 2;
  }
  auto ring = segment->attach();
  if (!ring) return 3;
  jostled::seed(t.number);
  auto& shared = *static_cast<control*>(told->base());
  ++shared.attached;
  std::atomic<std::uint64_t>& done = shared.done[t.number];
  if (t.produces) {
    for (std::uint64_t i = 0; shared.enough == 0; ++i) {
      if (ring->push(races::pack(t.number, i, seed)) != status::ok) return 4;
      done = i + 1;
    }
    return 0;
  }
  std::vector<arrival> notes;
  parcel m;
  while (ring->pop(m) == status::ok) {
    const bool whole = races::intact(m, seed);
    notes.push_back({whole ? static_cast<std::uint32_t>(m.producer) : arrival::nobody,
                     whole ? static_cast<std::uint32_t>(m.sequence) : 0});
    done = notes.size();
  }
  return write_all(t.notes, std::as_bytes(std::span(notes))) ? 0 : 5;
}

template <class... R>
int work_on(testing::Types<R...> /*all*/, const task& t) {
  int status = 1;
  (void)((R::kind == t.kind && (status = work<R>(t), true)) || ...);
  return status;
}

// ---- the test

int inherited(int descriptor) { return ::dup(descriptor); }  // a copy that stays open over exec

template <class R>
class ExecTest : public testing::Test {
 protected:
  static constexpr std::uint32_t a_side = R::kind == "spsc_ring" ? 1 : 2;
  static constexpr std::uint32_t all = 2 * a_side;

  ExecTest() {
    for (std::uint32_t i = 0; i != all; ++i) notes_.push_back(::memfd_create("notes", MFD_CLOEXEC));
  }
  ~ExecTest() override {
    for (const int file : notes_) ::close(file);
  }

  control& shared() const { return *static_cast<control*>(control_.base()); }

  void start(std::string_view way, const std::string& place, int descriptor) {
    for (std::uint32_t i = 0; i != all; ++i) {
      int ends[2] = {-1, -1};
      if (way == by_socket) {
        ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
      }
      peers_.emplace_back([&] {
        std::string at = place;
        if (way == by_descriptor) at = std::to_string(inherited(descriptor));
        if (way == by_socket) at = std::to_string(inherited(ends[1]));
        const std::string number = std::to_string(i);
        const std::string told = std::to_string(inherited(control_.descriptor()));
        const std::string notes = std::to_string(inherited(notes_[i]));
        ::execl("/proc/self/exe", "peer", std::string(way).c_str(), at.c_str(), std::string(R::kind).c_str(),
                i < a_side ? "push" : "pop", number.c_str(), told.c_str(), notes.c_str(), nullptr);
        return false;
      });
      if (way == by_socket) {
        EXPECT_TRUE(send_descriptor(ends[0], descriptor));
        ::close(ends[0]);
        ::close(ends[1]);
      }
    }
  }

  bool everybody_runs() const {
    return std::all_of(peers_.begin(), peers_.end(), [](const child& peer) { return peer.running(); });
  }

  // Whether `happened` comes true while all peers live.
  template <class F>
  bool reached_by_peers(F happened) const {
    return reached([&] { return happened() || !everybody_runs(); }) && happened();
  }

  // In the middle of whatever it does.
  void stop_and_continue(std::uint32_t victim) {
    const std::atomic<std::uint64_t>& done = shared().done[victim];
    const std::uint64_t before = done;
    ASSERT_TRUE(reached_by_peers([&] { return done > before; })) << "peer " << victim << " does not get on";
    ASSERT_EQ(::kill(peers_[victim].pid(), SIGSTOP), 0);
    int how = 0;
    ASSERT_EQ(::waitpid(peers_[victim].pid(), &how, WUNTRACED), peers_[victim].pid());
    ASSERT_TRUE(WIFSTOPPED(how));
    const std::uint64_t at = done;
    // The others go on without it, or wait for it if it holds what they need.
    const std::uint64_t others = total();
    (void)reached([&] { return total() > others + 1000; }, 5ms);
    EXPECT_EQ(done, at);
    ASSERT_EQ(::kill(peers_[victim].pid(), SIGCONT), 0);
    ASSERT_TRUE(reached_by_peers([&] { return done > at; })) << "peer " << victim << " did not go on";
  }

  void run(shared_ring<R>& segment, std::string_view way, const std::string& place = {}) {
    ASSERT_NO_FATAL_FAILURE(start(way, place, segment.memory().descriptor()));
    ASSERT_TRUE(reached_by_peers([&] { return shared().attached == all; }));
    // From here on nobody needs the name; so a test that is killed leaves none.
    if (!place.empty()) {
      ASSERT_TRUE(shared_memory::unlink(segment.memory().where()));
    }
    for (std::uint32_t victim = 0; victim != all; ++victim) ASSERT_NO_FATAL_FAILURE(stop_and_continue(victim));
    ASSERT_TRUE(reached_by_peers([&] { return total() > 40'000; }));  // a ring without a lock shows it by then
    shared().enough = 1;
    for (std::uint32_t i = 0; i != a_side; ++i) EXPECT_TRUE(peers_[i].succeeded()) << "producer " << i;
    segment.attach()->close();
    for (std::uint32_t i = a_side; i != all; ++i) EXPECT_TRUE(peers_[i].succeeded()) << "consumer " << i;

    races::history h;
    for (std::uint32_t i = 0; i != a_side; ++i) h.sent.push_back(shared().done[i]);
    for (std::uint32_t i = a_side; i != all; ++i) h.received.push_back(read_notes(i));
    const races::damage d = races::judge(h);
    EXPECT_FALSE(d.any()) << d.lost << " lost, " << d.duplicated << " duplicated, " << d.torn << " torn, "
                          << d.reordered << " reordered";
  }

 private:
  std::uint64_t total() const { return std::accumulate(shared().done.begin(), shared().done.end(), std::uint64_t{0}); }

  std::span<const arrival> read_notes(std::uint32_t consumer) {
    const std::uint64_t count = shared().done[consumer];
    std::vector<arrival>& notes = arrivals_.emplace_back(count);
    const auto bytes = static_cast<ssize_t>(count * sizeof(arrival));
    EXPECT_EQ(::pread(notes_[consumer], notes.data(), count * sizeof(arrival), 0), bytes);
    return notes;
  }

  shared_memory control_ = control_segment();
  std::vector<int> notes_;  // memfds
  std::list<std::vector<arrival>> arrivals_;
  std::vector<child> peers_;
};

struct ring_name {
  template <class R>
  static std::string GetName(int) {
    return std::string(R::kind);
  }
};

TYPED_TEST_SUITE(ExecTest, rings, ring_name);

constexpr ring_options small{.capacity = 8, .members = 8};  // so that it is full and empty all the time

TYPED_TEST(ExecTest, PeersOpenItByPosixName) {
  const scratch at = scratch::posix();
  auto segment = shared_ring<TypeParam>::create(*at, small);
  ASSERT_TRUE(segment) << segment.error().message;
  this->run(*segment, by_name, (*at).name());
}

TYPED_TEST(ExecTest, PeersOpenItBySystemVKey) {
  const scratch at = scratch::sysv();
  auto segment = shared_ring<TypeParam>::create(*at, small);
  ASSERT_TRUE(segment) << segment.error().message;
  this->run(*segment, by_key, std::to_string((*at).key()));
}

TYPED_TEST(ExecTest, PeersInheritItsDescriptorOverExec) {
  auto segment = shared_ring<TypeParam>::create(location::memfd("ring"), small);
  ASSERT_TRUE(segment) << segment.error().message;
  this->run(*segment, by_descriptor);
}

TYPED_TEST(ExecTest, PeersReceiveItsDescriptorOverASocket) {
  auto segment = shared_ring<TypeParam>::create(location::memfd("ring"), small);
  ASSERT_TRUE(segment) << segment.error().message;
  this->run(*segment, by_socket);
}

}  // namespace
}  // namespace millrace

// NOLINTNEXTLINE(bugprone-exception-escape): what throws here is to die, and be seen to.
int main(int argc, char** argv) {
  if (argc == 8 && std::string_view(argv[0]) == "peer") {
    const std::string_view way = argv[1], kind = argv[3], role = argv[4];
    return millrace::work_on(millrace::rings{}, {.way = way,
                                                 .place = argv[2],
                                                 .kind = kind,
                                                 .produces = role == "push",
                                                 .number = static_cast<std::uint32_t>(std::stoul(argv[5])),
                                                 .control = std::stoi(argv[6]),
                                                 .notes = std::stoi(argv[7])});
  }
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
