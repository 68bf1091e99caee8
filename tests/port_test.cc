// One suite for every means of sending: channels over each ring, and the kernel's own.
#include "millrace/port.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "millrace/boost_ring.h"
#include "millrace/broadcast_ring.h"
#include "millrace/byte_channel.h"
#include "millrace/channel.h"
#include "millrace/growing_ring.h"
#include "millrace/mailbox.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/pipe.h"
#include "millrace/posix_mq.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/seqpacket.h"
#include "millrace/spsc_ring.h"
#include "millrace/sysv_mq.h"
#include "tests/support.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;

// Of so many words that depend on one another: `whole` tells a message made of two.
template <std::size_t Words>
struct letter {
  std::uint32_t from = 0;
  std::uint32_t number = 0;
  std::array<std::uint64_t, Words> body{};

  static letter make(std::uint32_t from, std::uint32_t number) {
    letter m{from, number, {}};
    std::iota(m.body.begin(), m.body.end(), std::uint64_t{from} << 32 | number);
    return m;
  }
  bool whole() const { return body == make(from, number).body; }
};

using note = letter<4>;
using volume = letter<1500>;  // 12,008 bytes: three times PIPE_BUF

std::uint64_t some_number() {
  std::random_device source;
  return std::uint64_t{source()} << 32 | source();
}

// A means of sending, to be used by this process and its children. `sender` and `receiver`
// give another end each; `keep_none` lets go of what this process holds besides.
template <class Ring>
struct channel_port {
  using message = typename Ring::value_type;
  static constexpr bool ends = true;                       // when its senders have gone
  static constexpr bool tells = !broadcasting_ring<Ring>;  // senders, when there is no receiver left
  static constexpr bool many = !Ring::kind.starts_with("spsc");
  static constexpr std::uint64_t room = Ring::kind == "rendezvous_ring" ? 0 : 4;

  channel<message, Ring> made = *channel<message, Ring>::create(location::anonymous(), {.capacity = room});

  auto sender() { return *made.attach_sender(); }
  auto receiver() { return *made.attach_receiver(); }
  void keep_none() {}
};

template <class M>
struct mailbox_port {
  using message = M;
  static constexpr bool ends = false;
  static constexpr bool tells = false;
  static constexpr bool many = true;
  static constexpr std::uint64_t room = 4;

  mailbox_port() = default;
  mailbox_port(const mailbox_port&) = delete;
  mailbox_port& operator=(const mailbox_port&) = delete;
  ~mailbox_port() { EXPECT_TRUE(mailbox<M>::remove(name)); }

  std::string name = "millrace-test-" + std::to_string(some_number());
  mailbox<M> made = *mailbox<M>::create(name, {.capacity = room});

  auto sender() { return *made.attach(); }
  auto receiver() { return *made.attach(); }
  void keep_none() {}
};

// Messages of one size through a channel for those of any.
class byte_sender {
 public:
  explicit byte_sender(byte_channel::sender to) noexcept : to_(std::move(to)) {}
  status send(std::span<const std::byte> m, deadline until) noexcept { return to_.push_until(m, until); }

 private:
  byte_channel::sender to_;
};
class byte_receiver {
 public:
  explicit byte_receiver(byte_channel::receiver from) noexcept : from_(std::move(from)) {}
  status receive(std::span<std::byte> m, deadline until) noexcept {
    std::size_t size = 0;
    const status s = from_.pop_until(m, size, until);
    return delivered(s) && size != m.size() ? status::corrupt : s;
  }

 private:
  byte_channel::receiver from_;
};
template <class M>
struct byte_port {
  using message = M;
  static constexpr bool ends = true;
  static constexpr bool tells = true;
  static constexpr bool many = true;
  static constexpr std::uint64_t room = 4;

  byte_channel made = *byte_channel::create(location::anonymous(), {.capacity = room, .max_message = sizeof(M)});

  auto sender() { return sender_of<M, byte_sender>(byte_sender(*made.attach_sender())); }
  auto receiver() { return receiver_of<M, byte_receiver>(byte_receiver(*made.attach_receiver())); }
  void keep_none() {}
};

template <class M>
struct pipe_port {
  using message = M;
  static constexpr bool ends = true;
  static constexpr bool tells = true;
  static constexpr bool many = true;
  static constexpr std::uint64_t room = 4;  // packets

  std::optional<pipe<M>> made = *pipe<M>::create(room);

  auto sender() { return *typed<typename pipe<M>::sender>(made->out.duplicate()); }
  auto receiver() { return *typed<typename pipe<M>::receiver>(made->in.duplicate()); }
  void keep_none() { made.reset(); }
};

template <class M>
struct fifo_port {
  using message = M;
  static constexpr bool ends = true;
  static constexpr bool tells = true;
  static constexpr bool many = true;
  static constexpr std::uint64_t room = 16;

  fifo_port() = default;
  fifo_port(const fifo_port&) = delete;
  fifo_port& operator=(const fifo_port&) = delete;
  ~fifo_port() { EXPECT_TRUE(unlink_fifo(path)); }

  std::string path = testing::TempDir() + "millrace-test-" + std::to_string(some_number());
  const bool created = static_cast<bool>(create_fifo(path));
  // A sender waits for a receiver: there is one.
  std::optional<typename fifo<M>::receiver> first = *fifo<M>::attach_receiver(path);

  auto sender() { return *fifo<M>::attach_sender(path); }
  auto receiver() { return *fifo<M>::attach_receiver(path); }
  void keep_none() { first.reset(); }
};

template <class M>
struct posix_mq_port {
  using message = M;
  static constexpr bool ends = false;
  static constexpr bool tells = false;
  static constexpr bool many = true;
  static constexpr std::uint64_t room = 4;

  posix_mq_port() { EXPECT_TRUE(posix_mq<M>::create(name, room)); }
  posix_mq_port(const posix_mq_port&) = delete;
  posix_mq_port& operator=(const posix_mq_port&) = delete;
  ~posix_mq_port() { EXPECT_TRUE(unlink_posix_mq(name)); }

  std::string name = "millrace-test-" + std::to_string(some_number());

  auto sender() { return *posix_mq<M>::attach_sender(name); }
  auto receiver() { return *posix_mq<M>::attach_receiver(name); }
  void keep_none() {}
};

template <class M>
struct sysv_mq_port {
  using message = M;
  static constexpr bool ends = false;
  static constexpr bool tells = false;
  static constexpr bool many = true;
  static constexpr std::uint64_t room = 4;

  sysv_mq_port() { EXPECT_TRUE(sysv_mq<M>::create(key, room)); }
  sysv_mq_port(const sysv_mq_port&) = delete;
  sysv_mq_port& operator=(const sysv_mq_port&) = delete;
  ~sysv_mq_port() { EXPECT_TRUE(unlink_sysv_mq(key)); }

  std::int32_t key = static_cast<std::int32_t>(some_number() % 0x7ffffffe) + 1;

  auto sender() { return *sysv_mq<M>::attach_sender(key); }
  auto receiver() { return *sysv_mq<M>::attach_receiver(key); }
  void keep_none() {}
};

template <class M>
struct seqpacket_port {
  using message = M;
  static constexpr bool ends = true;
  static constexpr bool tells = true;
  static constexpr bool many = true;
  static constexpr std::uint64_t room = 4;

  std::optional<seqpacket<M>> made = *seqpacket<M>::create();

  auto sender() { return *typed<typename seqpacket<M>::sender>(made->out.duplicate()); }
  auto receiver() { return *typed<typename seqpacket<M>::receiver>(made->in.duplicate()); }
  void keep_none() { made.reset(); }
};

template <class P>
class PortTest : public testing::Test {
 protected:
  child with_sender(std::function<bool(decltype(std::declval<P&>().sender())&)> body) {
    return child([this, body = std::move(body)] {
      auto mine = port_.sender();
      port_.keep_none();
      return body(mine);
    });
  }

  P port_;
};

using ports =
    testing::Types<channel_port<mpmc_ring<note>>, channel_port<spsc_ring<note>>, channel_port<mutex_ring<note>>,
                   channel_port<growing_ring<note>>, channel_port<semaphore_ring<note>>, channel_port<boost_ring<note>>,
                   channel_port<rendezvous_ring<note>>, channel_port<mpmc_ring<volume>>,
                   channel_port<broadcast_ring<note>>, mailbox_port<note>, byte_port<note>, byte_port<volume>,
                   pipe_port<note>, pipe_port<volume>, fifo_port<note>, fifo_port<volume>, posix_mq_port<note>,
                   sysv_mq_port<note>, seqpacket_port<note>, seqpacket_port<volume>>;

struct port_name {
  template <class P>
  static std::string GetName(int i) {
    static constexpr const char* names[] = {
        "mpmc_channel",  "spsc_channel", "mutex_channel", "growing_channel", "semaphore_channel",
        "boost_channel", "rendezvous",   "mpmc_volumes",  "broadcast",       "mailbox",
        "byte_channel",  "byte_volumes", "pipe",          "pipe_volumes",    "fifo",
        "fifo_volumes",  "posix_mq",     "sysv_mq",       "seqpacket",       "seqpacket_volumes"};
    return names[i];
  }
};

TYPED_TEST_SUITE(PortTest, ports, port_name);

TYPED_TEST(PortTest, MeetsTheConcept) {
  static_assert(sending_port<decltype(this->port_.sender())>);
  static_assert(receiving_port<decltype(this->port_.receiver())>);
}

TYPED_TEST(PortTest, PopReturnsWhatWasPushedInOrder) {
  if (TypeParam::room == 0) GTEST_SKIP() << "keeps nothing";
  using message = typename TypeParam::message;
  auto out = this->port_.sender();
  auto in = this->port_.receiver();
  message m;
  EXPECT_EQ(in.try_pop(m), status::empty);
  for (std::uint32_t i = 0; i != 100; ++i) {
    ASSERT_EQ(out.try_push(message::make(3, i)), status::ok) << i;
    ASSERT_EQ(in.try_pop(m), status::ok) << i;
    ASSERT_EQ(m.from, 3u);
    ASSERT_EQ(m.number, i);
    ASSERT_TRUE(m.whole());
  }
  EXPECT_EQ(in.try_pop(m), status::empty);
}

TYPED_TEST(PortTest, ADeadlineEndsAWaitAndNoSooner) {
  using message = typename TypeParam::message;
  auto out = this->port_.sender();
  auto in = this->port_.receiver();
  message m;
  const auto begin = deadline::clock::now();
  EXPECT_EQ(in.pop_for(m, 20ms), status::timed_out);
  EXPECT_GE(deadline::clock::now() - begin, 20ms);
  EXPECT_EQ(in.pop_for(m, -1h), status::timed_out);
  std::uint32_t in_it = 0;
  while (out.try_push(message::make(0, in_it)) == status::ok) ++in_it;
  EXPECT_EQ(out.try_push(message::make(0, in_it)), status::full);
  EXPECT_EQ(out.push_for(message::make(0, in_it), 5ms), status::timed_out);
  for (std::uint32_t i = 0; i != in_it; ++i) {
    ASSERT_EQ(in.try_pop(m), status::ok) << i;
    ASSERT_EQ(m.number, i);
    ASSERT_TRUE(m.whole());
  }
  EXPECT_EQ(in.try_pop(m), status::empty) << "what was refused does not come";
  if (TypeParam::room == 0) return;
  EXPECT_EQ(out.push_for(message::make(0, 7), 1h), status::ok);
  EXPECT_EQ(in.pop_for(m, 1h), status::ok);
  EXPECT_EQ(m.number, 7u);
}

// More than it holds at once, from several processes: nothing is lost, torn, merged or out of turn.
TYPED_TEST(PortTest, SeveralProcessesSendAtOnce) {
  using message = typename TypeParam::message;
  constexpr std::uint32_t each = 300;
  constexpr std::uint32_t senders = TypeParam::many ? 3 : 1;
  auto in = this->port_.receiver();
  auto idle = this->port_.sender();
  std::vector<child> children;
  for (std::uint32_t from = 0; from != senders; ++from) {
    children.push_back(this->with_sender([from](auto& out) {
      for (std::uint32_t i = 0; i != each; ++i) {
        if (out.push(message::make(from, i)) != status::ok) return false;
      }
      return true;
    }));
  }
  std::vector<std::uint32_t> next(senders, 0);
  message m;
  for (std::uint32_t i = 0; i != senders * each; ++i) {
    ASSERT_EQ(in.pop_for(m, 60s), status::ok) << i;
    ASSERT_TRUE(m.whole());
    ASSERT_LT(m.from, senders);
    ASSERT_EQ(m.number, next[m.from]++);
  }
  for (child& c : children) EXPECT_TRUE(c.succeeded());
  EXPECT_EQ(in.try_pop(m), status::empty) << "there is one who could still send";
}

TYPED_TEST(PortTest, TheLastSendersDeathIsTheEnd) {
  if (!TypeParam::ends) GTEST_SKIP() << "has none";
  using message = typename TypeParam::message;
  shared<std::atomic<bool>> sent;
  auto in = this->port_.receiver();
  child sender = this->with_sender([&](auto& out) {
    if (out.push(message::make(1, 1)) != status::ok) return false;
    *sent = true;
    for (;;) ::pause();
  });
  this->port_.keep_none();
  message m;
  if (TypeParam::room == 0) {
    ASSERT_EQ(in.pop(m), status::ok);
  }
  ASSERT_TRUE(reached([&] { return sent->load(); }));
  ASSERT_EQ(::kill(sender.pid(), SIGKILL), 0);
  if (TypeParam::room != 0) {
    ASSERT_EQ(in.pop(m), status::ok);
  }
  EXPECT_TRUE(m.whole());
  EXPECT_EQ(in.pop(m), status::closed);
  EXPECT_EQ(in.try_pop(m), status::closed);
}

TYPED_TEST(PortTest, WhoeverSendsToNobodyIsToldAndLivesOn) {
  if (!TypeParam::tells) GTEST_SKIP() << "keeps messages for whoever comes, or waits for nobody";
  using message = typename TypeParam::message;
  auto out = this->port_.sender();
  { auto in = this->port_.receiver(); }
  this->port_.keep_none();
  EXPECT_EQ(out.try_push(message::make(0, 0)), status::closed);
  EXPECT_EQ(out.push(message::make(0, 0)), status::closed);
}

TYPED_TEST(PortTest, ASenderThatWaitsForRoomHearsThatNobodyIsLeft) {
  if (!TypeParam::tells) GTEST_SKIP() << "keeps messages for whoever comes, or waits for nobody";
  using message = typename TypeParam::message;
  child sender = this->with_sender([](auto& out) {
    for (;;) {
      const status s = out.push(message::make(0, 0));
      if (s != status::ok) return s == status::closed;
    }
  });
  std::optional in(this->port_.receiver());  // not inherited
  this->port_.keep_none();
  message m;
  ASSERT_EQ(in->pop(m), status::ok);
  in.reset();
  EXPECT_TRUE(sender.succeeded());
}

template <class P>
class KernelPortTest : public PortTest<P> {
 protected:
  // In a process of its own, as what is to be shown is that no call goes on for ever.
  void expect_in_time(std::function<bool()> body) { EXPECT_TRUE(child(std::move(body)).succeeded(10s)); }
};

using kernel_ports =
    testing::Types<pipe_port<note>, fifo_port<note>, posix_mq_port<note>, sysv_mq_port<note>, seqpacket_port<note>>;

struct kernel_port_name {
  template <class P>
  static std::string GetName(int i) {
    static constexpr const char* names[] = {"pipe", "fifo", "posix_mq", "sysv_mq", "seqpacket"};
    return names[i];
  }
};

TYPED_TEST_SUITE(KernelPortTest, kernel_ports, kernel_port_name);

template <class Sender>
bool sends_nothing(Sender& out) {
  const typename Sender::value_type m{};
  return out.try_push(m) == status::closed && out.push_for(m, 1h) == status::closed && out.push(m) == status::closed;
}

template <class Receiver>
bool receives_nothing(Receiver& in) {
  typename Receiver::value_type m;
  return in.try_pop(m) == status::closed && in.pop_for(m, 1h) == status::closed && in.pop(m) == status::closed;
}

TYPED_TEST(KernelPortTest, AnEndThatIsLetGoIsClosed) {
  this->expect_in_time([this] {
    auto out = this->port_.sender();
    auto in = this->port_.receiver();
    const auto its_sender = std::move(out);
    const auto its_receiver = std::move(in);
    return sends_nothing(out) && receives_nothing(in);
  });
}

TYPED_TEST(KernelPortTest, AnEndThatIsAssignedLetsGoOfItsOwn) {
  this->expect_in_time([this] {
    auto out = this->port_.sender();
    auto in = this->port_.receiver();
    auto another_out = this->port_.sender();
    auto another_in = this->port_.receiver();
    another_out = std::move(out);
    another_in = std::move(in);
    typename TypeParam::message m;
    return sends_nothing(out) && receives_nothing(in) && another_out.try_push(m) == status::ok &&
           another_in.try_pop(m) == status::ok;
  });
}

// Whatever this process has open beside its terminal is this from here on.
void replace_descriptors(const char* path, int how) {
  const int with = ::open(path, how | O_CLOEXEC);
  for (int number = 3; number != 100; ++number) {
    if (number != with && ::fcntl(number, F_GETFD) >= 0) ::dup2(with, number);
  }
}

TYPED_TEST(KernelPortTest, AnErrorThatWillNotPassEndsACall) {
  if (std::is_same_v<TypeParam, sysv_mq_port<note>>) GTEST_SKIP() << "has no descriptor";
  this->expect_in_time([this] {
    auto out = this->port_.sender();
    auto in = this->port_.receiver();
    replace_descriptors("/dev/full", O_WRONLY);
    if (!sends_nothing(out)) return false;
    replace_descriptors("/", O_RDONLY);
    return receives_nothing(in);
  });
}

// A loop around poll can wait for it.
TYPED_TEST(KernelPortTest, ItsDescriptorIsReadyWhenItIs) {
  auto out = this->port_.sender();
  auto in = this->port_.receiver();
  if constexpr (requires { out.file_descriptor(); }) {
    const auto ready = [](int descriptor, short what) {
      pollfd one{descriptor, what, 0};
      return ::poll(&one, 1, 0) == 1;
    };
    const typename TypeParam::message m{};
    EXPECT_FALSE(ready(in.file_descriptor(), POLLIN));
    EXPECT_TRUE(ready(out.file_descriptor(), POLLOUT));
    ASSERT_EQ(out.try_push(m), status::ok);
    EXPECT_TRUE(ready(in.file_descriptor(), POLLIN));
    typename TypeParam::message got;
    EXPECT_EQ(in.try_pop(got), status::ok);
    EXPECT_FALSE(ready(in.file_descriptor(), POLLIN));
  } else {
    EXPECT_TRUE((std::is_same_v<TypeParam, sysv_mq_port<note>>)) << "all others have one";
  }
}

// Killed in the midst of a message that takes several packets: it is forgotten.
TEST(Pipe, ForgetsWhatADeadSenderHasLeftUndone) {
  auto ends = pipe<volume>::create(4);
  ASSERT_TRUE(ends);
  child half([&] {
    while (ends->out.push(volume::make(1, 1)) == status::ok) {
    }
    return true;
  });
  ASSERT_TRUE(reached([&] {
    std::ifstream file("/proc/" + std::to_string(half.pid()) + "/syscall");
    long number = -1;
    file >> number;
    return number == SYS_ppoll;
  }));
  ASSERT_EQ(::kill(half.pid(), SIGKILL), 0);
  EXPECT_FALSE(half.succeeded());
  volume m;
  ASSERT_EQ(ends->in.try_pop(m), status::ok);
  EXPECT_TRUE(m.whole());
  EXPECT_EQ(ends->in.try_pop(m), status::empty);
  ASSERT_EQ(ends->out.try_push(volume::make(2, 2)), status::ok);
  ASSERT_EQ(ends->in.try_pop(m), status::ok);
  EXPECT_EQ(m.from, 2u);
  EXPECT_TRUE(m.whole());
}

// Through the end itself, not one each: a child is another sender than its parent, its siblings and its own child.
TEST(Pipe, ChildrenSendThroughTheEndThatTheyInherit) {
  constexpr std::uint32_t children = 3;
  constexpr std::uint32_t each = 100;
  auto ends = pipe<volume>::create(4);
  ASSERT_TRUE(ends);
  std::optional out(std::move(ends->out));
  volume m;
  ASSERT_EQ(out->push(m), status::ok);
  ASSERT_EQ(ends->in.pop(m), status::ok);
  const auto send = [&out](std::uint32_t from) {
    for (std::uint32_t i = 0; i != each; ++i) {
      if (out->push(volume::make(from, i)) != status::ok) return false;
    }
    return true;
  };
  std::vector<child> senders;
  for (std::uint32_t from = 0; from != children; ++from) {
    senders.emplace_back([&send, from] {
      child another([&] { return send(children + from); });
      return send(from) && another.succeeded();
    });
  }
  out.reset();
  std::vector<std::uint32_t> next(2 * children, 0);
  for (std::uint32_t i = 0; i != 2 * children * each; ++i) {
    ASSERT_EQ(ends->in.pop_for(m, 60s), status::ok) << i;
    ASSERT_TRUE(m.whole()) << i;
    ASSERT_LT(m.from, 2 * children);
    ASSERT_EQ(m.number, next[m.from]++);
  }
  EXPECT_EQ(ends->in.pop(m), status::closed);
  for (child& c : senders) EXPECT_TRUE(c.succeeded());
}

// A SIGPIPE that was pending before is not taken away, and none is left behind.
TEST(Pipe, LeavesTheProcesssSignalsAlone) {
  EXPECT_TRUE(child([] {
                auto ends = pipe<note>::create();
                std::optional<pipe<note>::receiver> in(std::move(ends->in));
                in.reset();
                sigset_t set;
                sigemptyset(&set);
                if (ends->out.try_push({}) != status::closed) return false;
                ::sigpending(&set);
                if (sigismember(&set, SIGPIPE) != 0) return false;
                sigset_t broken;
                sigemptyset(&broken);
                sigaddset(&broken, SIGPIPE);
                ::sigprocmask(SIG_BLOCK, &broken, nullptr);
                ::raise(SIGPIPE);
                if (ends->out.try_push({}) != status::closed) return false;
                ::sigpending(&set);
                return sigismember(&set, SIGPIPE) == 1;
              }).succeeded());
}

template <class R>
void expect_error(const R& made, errc code, const std::string& part) {
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, code) << made.error().message;
  EXPECT_NE(made.error().message.find(part), std::string::npos) << made.error().message;
  EXPECT_EQ(made.error().message.find('\n'), std::string::npos);
}

TEST(Pipe, NamesTheLimitOfItsRoom) {
  expect_error(pipe<note>::create(0), errc::bad_argument, "found 0 asked for");
  expect_error(pipe<note>::create(std::uint64_t{1} << 40), errc::bad_argument, "fs.pipe-max-size");
}

TEST(Fifo, SaysWhatIsWrongWithItsPath) {
  const std::string path = testing::TempDir() + "millrace-test-" + std::to_string(some_number());
  expect_error(fifo<note>::attach_receiver(path), errc::not_found, "create it first");
  expect_error(fifo<note>::attach_receiver("/dev/null"), errc::foreign, "another kind of file");
  expect_error(fifo<note>::attach_receiver(path + "/x"), errc::not_found, "x: ");
  expect_error(create_fifo(path, 0111), errc::bad_argument, "mode");
  expect_error(create_fifo("/dev/null"), errc::exists, "unlink it");
  expect_error(unlink_fifo("/dev/null"), errc::foreign, "it stays");
  expect_error(unlink_fifo(path), errc::not_found, "found nothing");
  expect_error(create_fifo(""), errc::bad_argument, "expected a path");
  expect_error(fifo<note>::attach_sender(""), errc::bad_argument, "expected a path");
  for (const std::string& cut : {path + '\0' + "x", std::string(1, '\0')}) {
    expect_error(create_fifo(cut), errc::bad_argument, "NUL");
    expect_error(fifo<note>::attach_receiver(cut), errc::bad_argument, "NUL");
    expect_error(unlink_fifo(cut), errc::bad_argument, "NUL");
  }
  expect_error(create_fifo(path + "/x"), errc::not_found, "expected a directory to make it in");
  const mode_t before = ::umask(077);
  ASSERT_TRUE(create_fifo(path, 0666));
  ::umask(before);
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0666u);
  expect_error(create_fifo(path), errc::exists, "unlink it");
  EXPECT_TRUE(unlink_fifo(path));
}

// Another program's bytes are no message; what comes after they are read is.
TEST(Fifo, ThrowsAwayWhatIsNoMessage) {
  fifo_port<note> port;
  auto out = port.sender();
  auto in = port.receiver();
  auto other_size = *fifo<volume>::attach_sender(port.path);
  const descriptor another(::open(port.path.c_str(), O_WRONLY | O_CLOEXEC));
  ASSERT_EQ(::write(another.number(), "hello", 5), 5);
  note m;
  EXPECT_EQ(in.try_pop(m), status::corrupt);
  ASSERT_EQ(out.try_push(note::make(1, 1)), status::ok);
  ASSERT_EQ(other_size.try_push(volume::make(1, 1)), status::ok);
  ASSERT_EQ(out.try_push(note::make(1, 2)), status::ok);
  EXPECT_EQ(in.try_pop(m), status::ok);
  for (int packet = 0; packet != 3; ++packet) EXPECT_EQ(in.try_pop(m), status::corrupt);
  EXPECT_EQ(in.try_pop(m), status::ok);
  EXPECT_EQ(m.number, 2u);
}

TEST(PosixMq, HigherPrioritiesComeFirst) {
  posix_mq_port<note> port;
  auto out = port.sender();
  auto in = port.receiver();
  for (const std::uint32_t priority : {1u, 0u, 3u, 1u}) {
    out.set_priority(priority);
    ASSERT_EQ(out.try_push(note::make(priority, 0)), status::ok);
  }
  note m;
  for (const std::uint32_t priority : {3u, 1u, 1u, 0u}) {
    ASSERT_EQ(in.try_pop(m), status::ok);
    EXPECT_EQ(m.from, priority);
    EXPECT_EQ(in.priority(), priority);
  }
}

TEST(PosixMq, SaysWhatIsWrong) {
  const std::string name = "millrace-test-" + std::to_string(some_number());
  expect_error(posix_mq<note>::create(name, 0), errc::bad_argument, "expected room for 1 message or more, found 0");
  expect_error(posix_mq<note>::create(name, std::uint64_t{1} << 62), errc::limit, "fs.mqueue.msg_max = ");
  expect_error(create_posix_mq(name, 1, std::size_t{1} << 40, 0600), errc::limit, "fs.mqueue.msgsize_max = ");
  expect_error(posix_mq<note>::create("a/b"), errc::bad_argument, "without a slash");
  expect_error(posix_mq<note>::create(""), errc::bad_argument, "expected a name");
  expect_error(posix_mq<note>::create(name + '\0' + "x"), errc::bad_argument, "NUL");
  expect_error(unlink_posix_mq(name + '\0' + "x"), errc::bad_argument, "NUL");
  expect_error(posix_mq<note>::create(std::string(300, 'x')), errc::bad_argument, "254");
  expect_error(posix_mq<note>::create(name, 1, 0111), errc::bad_argument, "mode");
  expect_error(posix_mq<note>::attach_sender(name), errc::not_found, "create it first");
  ASSERT_TRUE(posix_mq<note>::create(name, 2));
  expect_error(posix_mq<note>::create(name, 2), errc::exists, "unlink it");
  expect_error(posix_mq<letter<5>>::attach_sender(name), errc::incompatible,
               "expected messages of 48 bytes, found a queue of 40");
  EXPECT_TRUE(unlink_posix_mq("/" + name));
  expect_error(unlink_posix_mq(name), errc::not_found, "found nothing; it may be gone already");
}

TEST(SysvMq, SaysWhatIsWrong) {
  const auto key = static_cast<std::int32_t>(some_number() % 0x7ffffffe) + 1;
  const std::set<std::string> before = named_things();
  expect_error(sysv_mq<note>::create(0), errc::bad_argument, "key other than 0");
  expect_error(sysv_mq<note>::attach_sender(0), errc::bad_argument, "key other than 0");
  expect_error(sysv_mq<note>::attach_receiver(0), errc::bad_argument, "key other than 0");
  expect_error(unlink_sysv_mq(0), errc::bad_argument, "key other than 0");
  EXPECT_EQ(named_things(), before) << "key 0 makes a queue that nobody finds";
  expect_error(sysv_mq<note>::create(key, 0), errc::bad_argument, "expected room for 1 message or more, found 0");
  expect_error(create_sysv_mq(key, 1, 1 << 20, 0600), errc::limit, "kernel.msgmax = ");
  expect_error(sysv_mq<note>::attach_receiver(key), errc::not_found, "create it first");
  ASSERT_TRUE(sysv_mq<note>::create(key));
  expect_error(sysv_mq<note>::create(key), errc::exists, "unlink it");
  auto in = sysv_mq<note>::attach_receiver(key);
  ASSERT_TRUE(in);
  ASSERT_TRUE(unlink_sysv_mq(key));
  note m;
  EXPECT_EQ(in->try_pop(m), status::closed);
  EXPECT_EQ(in->pop(m), status::closed);
  expect_error(unlink_sysv_mq(key), errc::not_found, "found nothing");
}

// No message was malformed, so it is not corrupt.
TEST(SysvMq, IsClosedToWhomItsOwnerHasShutOut) {
  constexpr uid_t nobody = 65534;
  const auto is_no_root = [] { return ::geteuid() != 0 || ::setuid(nobody) == 0; };  // root may do all
  if (!child(is_no_root).succeeded(10s)) GTEST_SKIP() << "may not become another user here";
  sysv_mq_port<note> port;
  EXPECT_TRUE(child([&] {
                auto out = port.sender();
                auto in = port.receiver();
                const int queue = ::msgget(port.key, 0);
                msqid_ds about{};
                if (::msgctl(queue, IPC_STAT, &about) != 0) return false;
                about.msg_perm.mode = 0;
                if (::msgctl(queue, IPC_SET, &about) != 0) return false;
                if (!is_no_root()) return false;
                return sends_nothing(out) && receives_nothing(in);
              }).succeeded(10s));
}

TEST(SysvMq, AMessageThatNeverFitsIsRefusedAtOnce) {
  const auto key = static_cast<std::int32_t>(some_number() % 0x7ffffffe) + 1;
  ASSERT_TRUE(sysv_mq<note>::create(key, 1));
  using larger = letter<5>;
  expect_error(sysv_mq<larger>::attach_sender(key), errc::incompatible,
               "expected messages of 48 bytes, found a queue with room for 40 in all");
  expect_error(sysv_mq<larger>::attach_receiver(key), errc::incompatible, "use another key");
  using largest = letter<1 << 20>;
  expect_error(sysv_mq<largest>::attach_sender(key), errc::limit, "kernel.msgmax = ");
  expect_error(sysv_mq<largest>::attach_receiver(key), errc::limit, "found 8388616");
  EXPECT_TRUE(sysv_mq<note>::attach_sender(key));
  EXPECT_TRUE(unlink_sysv_mq(key));
}

TEST(Seqpacket, NamesTheLimitOfItsMessages) {
  expect_error(seqpacket_end::make(std::size_t{1} << 30), errc::limit, "net.core.wmem_default = ");
}

}  // namespace
}  // namespace millrace
