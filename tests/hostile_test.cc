// What a broken or hostile process leaves in a segment: refused, or called corrupt.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "millrace/growing_ring.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/process.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tests/support.h"

namespace millrace {
namespace {

struct tick {
  std::uint64_t price;
  std::uint64_t size;
};

using tick_ring = mpmc_ring<tick>;
using image = std::vector<std::byte>;  // of a whole segment: preamble, header, places, ring

constexpr std::size_t preamble_bytes = 128;

// The preamble's words, as shared_memory.cc draws them.
enum preamble_word { state, maker, payload_bytes };

std::uint64_t& word(image& of, preamble_word which) { return reinterpret_cast<std::uint64_t*>(of.data())[which]; }

// The header is aligned to a line in a segment, and not in an image.
template <class Change>
void alter_header(image& of, Change change) {
  ring_header h;
  std::memcpy(&h, of.data() + preamble_bytes, sizeof h);
  change(h);
  std::memcpy(of.data() + preamble_bytes, &h, sizeof h);
}

template <class R>
image sound() {
  const auto made = shared_ring<R>::create(location::anonymous(), {16, 4, 0600});
  EXPECT_TRUE(made) << made.error().message;
  const auto* const from = static_cast<const std::byte*>(made->memory().base()) - preamble_bytes;
  return {from, from + preamble_bytes + made->memory().size()};
}

// A place for an image, as some program that has nothing to do with us puts it there.
class planted {
 public:
  planted(location::kind kind, const image& what)
      : at_(kind == location::kind::sysv ? scratch::sysv() : scratch::posix()), kind_(kind) {
    if (kind == location::kind::sysv) {
      // By a child: who creates a System V segment is known, and has to be dead.
      EXPECT_TRUE(child([&] {
                    return copied(what, ::shmget((*at_).key(), what.size(), IPC_CREAT | IPC_EXCL | 0600));
                  }).succeeded());
      return;
    }
    descriptor_ = kind == location::kind::posix
                      ? ::open(at_.path().c_str(), O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600)
                      : ::memfd_create("planted", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    EXPECT_EQ(::write(descriptor_, what.data(), what.size()), static_cast<ssize_t>(what.size()));
    if (kind == location::kind::memfd) {
      EXPECT_EQ(::fcntl(descriptor_, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    }
  }
  planted(const planted&) = delete;
  planted& operator=(const planted&) = delete;
  ~planted() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }

  template <class R>
  result<shared_ring<R>> open() const {
    return kind_ == location::kind::memfd ? shared_ring<R>::adopt(descriptor_) : shared_ring<R>::open(*at_);
  }
  template <class R>
  result<shared_ring<R>> open_or_create() const {
    return kind_ == location::kind::memfd ? shared_ring<R>::adopt(descriptor_)
                                          : shared_ring<R>::open_or_create(*at_, {16, 4, 0600});
  }

  image content(std::size_t size) const {
    image now(size);
    if (kind_ == location::kind::sysv) {
      void* const at = ::shmat(::shmget((*at_).key(), 0, 0), nullptr, SHM_RDONLY);
      std::memcpy(now.data(), at, size);
      ::shmdt(at);
    } else {
      EXPECT_EQ(::pread(descriptor_, now.data(), size, 0), static_cast<ssize_t>(size));
    }
    return now;
  }

 private:
  static bool copied(const image& what, int id) {
    void* const at = ::shmat(id, nullptr, 0);
    if (reinterpret_cast<std::intptr_t>(at) == -1) return false;
    std::memcpy(at, what.data(), what.size());
    return true;
  }

  scratch at_;
  location::kind kind_;
  int descriptor_ = -1;
};

struct damage {
  const char* name;
  std::function<void(image&)> done;
  errc code;
  std::string says;  // a part of the message
  // Where System V, in which one can meet a segment half-made, says something else.
  errc sysv_code = code;
  std::string sysv_says = says;
};

void noise(image& i, unsigned seed) {
  std::mt19937_64 random(seed);
  std::generate(i.begin(), i.end(), [&] { return static_cast<std::byte>(random()); });
}

std::uint64_t dead_process() {
  child gone([] { return true; });
  const std::uint64_t packed = process_identity::of(gone.pid()).pack();
  EXPECT_TRUE(gone.succeeded());
  return packed;
}

void name_type(image& i, const std::string& name) {
  alter_header(i, [&](ring_header& h) {
    std::memset(h.message_type, 0, sizeof h.message_type);
    name.copy(h.message_type, sizeof h.message_type - 1);
    h.message_type_hash ^= 1;
  });
}

std::vector<damage> damages() {
  using enum errc;
  return {
      {"truncated in the preamble", [](image& i) { i.resize(100); }, foreign, "100 bytes"},
      {"truncated behind the preamble", [](image& i) { i.resize(128); }, foreign, "128 bytes"},
      {"truncated in the header", [](image& i) { i.resize(200); }, foreign, "72 bytes"},
      {"truncated in the slots", [](image& i) { i.resize(i.size() - 8); }, foreign, "bytes"},
      {"grown", [](image& i) { i.resize(i.size() + 8192); }, foreign, "bytes"},
      {"truncated in the header, and says so",
       [](image& i) {
         i.resize(200);
         word(i, payload_bytes) = 72;
       },
       foreign, "header alone takes"},
      {"truncated in the slots, and says so",
       [](image& i) {
         i.resize(i.size() - 8);
         word(i, payload_bytes) = i.size() - preamble_bytes;
       },
       foreign, "cut off"},
      {"zeros", [](image& i) { std::fill(i.begin(), i.end(), std::byte{}); }, foreign, "signature", not_found,
       "half-made"},
      {"noise", [](image& i) { noise(i, 1); }, foreign, "signature"},
      {"other noise", [](image& i) { noise(i, 2); }, foreign, "signature"},
      {"text", [](image& i) { std::fill(i.begin(), i.end(), std::byte{'x'}); }, foreign, "signature"},
      {"another program's preamble", [](image& i) { word(i, maker) += std::uint64_t{1} << 32; }, foreign, "signature"},
      {"half-initialised by one who died", [](image& i) { word(i, state) = dead_process(); }, foreign, "signature",
       not_found, "half-made"},
      {"a payload of zeros", [](image& i) { std::fill(i.begin() + preamble_bytes, i.end(), std::byte{}); },
       incompatible, "version 0"},
      {"a payload of noise",
       [](image& i) {
         image other(i.size());
         noise(other, 3);
         std::copy(other.begin() + preamble_bytes, other.end(), i.begin() + preamble_bytes);
       },
       incompatible, "version"},
      {"an older layout", [](image& i) { alter_header(i, [](ring_header& h) { --h.version; }); }, incompatible,
       "expected version"},
      {"a newer layout", [](image& i) { alter_header(i, [](ring_header& h) { ++h.version; }); }, incompatible,
       "expected version"},
      {"another ABI", [](image& i) { alter_header(i, [](ring_header& h) { h.header_bytes += 8; }); }, incompatible,
       "header of"},
      {"another ring", [](image& i) { i = sound<mutex_ring<tick>>(); }, incompatible, "holds a mutex_ring"},
      {"another type", [](image& i) { i = sound<mpmc_ring<std::uint32_t>>(); }, incompatible, "x unsigned int"},
      {"a message of another size", [](image& i) { alter_header(i, [](ring_header& h) { h.message_bytes = 24; }); },
       incompatible, "(24 bytes)"},
      {"a type with a name that would be a megabyte if demangled",
       [](image& i) {
         name_type(i,
                   "1pIS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_IS_I1aS0_ES1_ES2_ES3_ES4_ES5_ES6_ES7_ES8_ES9_ESA_ESB_ESC_E");
       },
       incompatible, "x 1pIS_"},
      {"a type with a name of control characters", [](image& i) { name_type(i, "a\nb\033[1m"); }, incompatible,
       "x a?b?[1m"},
      {"a capacity that the ring never has", [](image& i) { alter_header(i, [](ring_header& h) { h.capacity = 15; }); },
       foreign, "capacity 15", foreign, "capacity 15"},
      {"a capacity larger than its room",
       [](image& i) { alter_header(i, [](ring_header& h) { h.capacity = 1u << 31; }); }, foreign, "cut off"},
      {"no members", [](image& i) { alter_header(i, [](ring_header& h) { h.members = 0; }); }, foreign,
       "members 0 is not from 1"},
      {"more members than there can be",
       [](image& i) { alter_header(i, [](ring_header& h) { h.members = 1u << 30; }); }, foreign, "is not from 1"},
      {"more members than its room", [](image& i) { alter_header(i, [](ring_header& h) { h.members = 4000; }); },
       foreign, "cut off"},
  };
}

class HostileTest : public testing::TestWithParam<location::kind> {};

INSTANTIATE_TEST_SUITE_P(Kinds, HostileTest,
                         testing::Values(location::kind::posix, location::kind::sysv, location::kind::memfd),
                         [](const auto& p) {
                           return p.param == location::kind::posix  ? "Posix"
                                  : p.param == location::kind::sysv ? "Sysv"
                                                                    : "Memfd";
                         });

TEST_P(HostileTest, ACopyOfASoundSegmentIsOpened) {
  const planted copy(GetParam(), sound<tick_ring>());
  const auto opened = copy.open<tick_ring>();
  ASSERT_TRUE(opened) << opened.error().message;
  EXPECT_EQ(opened->shape(), (geometry{16, 4}));
}

TEST_P(HostileTest, EachDamageIsRefusedWithItsReasonAndLeftAsItWas) {
  const bool sysv = GetParam() == location::kind::sysv;
  for (const damage& d : damages()) {
    SCOPED_TRACE(d.name);
    image damaged = sound<tick_ring>();
    d.done(damaged);
    const planted there(GetParam(), damaged);
    const auto opened = there.open<tick_ring>();
    ASSERT_FALSE(opened);
    const error& e = opened.error();
    EXPECT_EQ(e.code, sysv ? d.sysv_code : d.code) << e.message;
    EXPECT_NE(e.message.find(sysv ? d.sysv_says : d.says), std::string::npos) << e.message;
    EXPECT_TRUE(e.message.starts_with(e.object + ": ")) << e.message;
    EXPECT_LT(e.message.size(), 1000u);
    EXPECT_TRUE(std::all_of(e.message.begin(), e.message.end(), [](char c) { return c >= ' ' && c <= '~'; }))
        << e.message;
    if (e.code != errc::not_found) {  // what is half-made is finished by the next creator
      EXPECT_FALSE(there.open_or_create<tick_ring>());
    }
    EXPECT_EQ(there.content(damaged.size()), damaged);
  }
}

TEST(HostileMemfd, OneThatItsSenderCouldTruncateIsRefused) {
  const image whole = sound<tick_ring>();
  const int unsealed = ::memfd_create("unsealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  ASSERT_EQ(::write(unsealed, whole.data(), whole.size()), static_cast<ssize_t>(whole.size()));
  for (const unsigned seals : {0u, unsigned{F_SEAL_GROW}}) {
    ASSERT_EQ(::fcntl(unsealed, F_ADD_SEALS, seals), 0);
    const auto adopted = shared_ring<tick_ring>::adopt(unsealed);
    ASSERT_FALSE(adopted);
    EXPECT_EQ(adopted.error().code, errc::foreign);
    EXPECT_NE(adopted.error().message.find("sealed against shrinking"), std::string::npos) << adopted.error().message;
  }
  ASSERT_EQ(::fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK), 0);
  EXPECT_TRUE(shared_ring<tick_ring>::adopt(unsealed));
  ::close(unsealed);
}

// A posix segment's descriptor: its name is what its peers may trust, not who sends it.
TEST(HostileMemfd, ANamedSegmentsDescriptorIsRefused) {
  const scratch at = scratch::posix();
  const auto made = shared_ring<tick_ring>::create(*at, {16, 4, 0600});
  ASSERT_TRUE(made);
  const auto adopted = shared_ring<tick_ring>::adopt(made->memory().descriptor());
  ASSERT_FALSE(adopted);
  EXPECT_EQ(adopted.error().code, errc::foreign);
}

// ---- a live ring, scribbled over

template <class R>
class CorruptTest : public testing::Test {
 protected:
  static constexpr std::uint64_t capacity = 4;

  CorruptTest() {
    auto made = shared_ring<R>::create(location::anonymous(), {capacity, 4, 0600});
    EXPECT_TRUE(made) << made.error().message;
    segment_.push_back(*std::move(made));
    handle_.push_back(*segment_[0].attach());
  }

  auto& ring() { return handle_[0]; }

  std::vector<std::uint64_t> words() {
    const auto& memory = segment_[0].memory();
    std::vector<std::uint64_t> copy(memory.size() / 8);
    std::memcpy(copy.data(), memory.base(), copy.size() * 8);
    return copy;
  }
  std::uint64_t& at(std::size_t index) { return static_cast<std::uint64_t*>(segment_[0].memory().base())[index]; }

  // The index of the word that counts what `act` does: it has done it five times,
  // and the sixth is seen in it.
  template <class Act>
  std::size_t counter_of(Act act) {
    const auto before = words();
    act();
    const auto after = words();
    for (std::size_t i = 0; i != before.size(); ++i) {
      if (before[i] >> shift == 5 && after[i] >> shift == 6) return i;
    }
    ADD_FAILURE() << "no word counts it";
    return 0;
  }

  // Of either side's calls, those without a deadline last: did one of the others not say so, they might
  // wait for ever.
  template <class Ring>
  static void expect_corrupt_pushes(Ring& ring, std::uint64_t off) {
    const tick m{};
    const std::array<tick, 3> some{};
    EXPECT_EQ(ring.try_push(m), status::corrupt) << off;
    EXPECT_EQ(ring.try_push_n(some), (batch_result{status::corrupt, 0})) << off;
    if (testing::Test::HasFailure()) return;
    EXPECT_EQ(ring.push(m), status::corrupt) << off;
    EXPECT_EQ(ring.push_n(some), (batch_result{status::corrupt, 0})) << off;
  }
  template <class Ring>
  static void expect_corrupt_pops(Ring& ring, std::uint64_t off) {
    tick m{};
    std::array<tick, 3> some{};
    EXPECT_EQ(ring.try_pop(m), status::corrupt) << off;
    EXPECT_EQ(ring.try_pop_n(some), (batch_result{status::corrupt, 0})) << off;
    if (testing::Test::HasFailure()) return;
    EXPECT_EQ(ring.pop(m), status::corrupt) << off;
    EXPECT_EQ(ring.pop_n(some), (batch_result{status::corrupt, 0})) << off;
  }

  static constexpr unsigned shift = R::kind == "mpmc_ring" ? 14 : 0;  // members and flags are below the position

  std::vector<shared_ring<R>> segment_;
  std::vector<typename shared_ring<R>::handle> handle_;
};

using rings =
    testing::Types<mpmc_ring<tick>, spsc_ring<tick>, mutex_ring<tick>, growing_ring<tick>, semaphore_ring<tick>>;
using locking_rings = testing::Types<mutex_ring<tick>, growing_ring<tick>, semaphore_ring<tick>>;

struct ring_name {
  template <class R>
  static std::string GetName(int) {
    return std::string(R::kind);
  }
};

TYPED_TEST_SUITE(CorruptTest, rings, ring_name);

// Not even calls without a deadline wait. In a child, which can be given up.
TYPED_TEST(CorruptTest, IndicesTooFarApart) {
  if (TypeParam::kind == "spsc_ring") GTEST_SKIP() << "each side looks at words of its own: see spsc";
  EXPECT_TRUE(child([this] {
                auto ring = *this->segment_[0].attach();
                tick m{};
                for (int i = 0; i != 5; ++i) {
                  if (ring.push(m) != status::ok || ring.pop(m) != status::ok) return false;
                }
                const std::size_t tail = this->counter_of([&] { EXPECT_EQ(ring.push(m), status::ok); });
                // A permit makes semaphore_ring look at its indices; a message that is
                // there is one in mpmc_ring, whatever tail says.
                if (TypeParam::kind != "semaphore_ring" && ring.pop(m) != status::ok) return false;
                const std::uint64_t sound = this->at(tail);
                for (const std::uint64_t off : {std::uint64_t{5}, std::uint64_t{1000}, std::uint64_t{1} << 40}) {
                  this->at(tail) = sound + (off << this->shift);
                  this->expect_corrupt_pushes(ring, off);
                  this->expect_corrupt_pops(ring, off);
                  if (testing::Test::HasFailure()) return false;
                  EXPECT_LE(ring.size_approx(), this->capacity);
                }
                // Nothing was moved: what was put wrong is put right, and all is there.
                this->at(tail) = sound;
                if (TypeParam::kind == "semaphore_ring") {
                  EXPECT_EQ(ring.try_pop(m), status::ok);
                }
                for (std::uint64_t i = 0; i != this->capacity; ++i) EXPECT_EQ(ring.try_push(m), status::ok);
                EXPECT_EQ(ring.try_push(m), status::full);
                return !testing::Test::HasFailure();
              }).succeeded());
}

using spsc = CorruptTest<spsc_ring<tick>>;
TEST_F(spsc, CountsTooFarApart) {
  EXPECT_TRUE(child([this] {
                auto ring = *segment_[0].attach();
                tick m{};
                for (int i = 0; i != 5; ++i) {
                  if (ring.push(m) != status::ok || ring.pop(m) != status::ok) return false;
                }
                const auto before = words();
                const std::size_t tail = counter_of([&] { EXPECT_EQ(ring.push(m), status::ok); });
                std::size_t upto = before.size() - 1;  // its line lies behind tail
                while (before[upto] == 6 || at(upto) != 6) --upto;
                const std::size_t head = counter_of([&] { EXPECT_EQ(ring.pop(m), status::ok); });
                if (tail == upto || tail == head || head == upto) return false;
                for (const std::uint64_t off : {std::uint64_t{5}, std::uint64_t{1000}, std::uint64_t{1} << 40}) {
                  // Five more that were begun, and not published, look like a producer's death.
                  if (off != 5) {
                    at(tail) = 6 + off;
                    expect_corrupt_pushes(ring, off);
                    if (testing::Test::HasFailure()) return false;
                    EXPECT_LE(ring.size_approx(), capacity);
                    at(tail) = 6;
                  }
                  for (const std::size_t word : {upto, head}) {
                    at(word) = 6 + off;
                    expect_corrupt_pops(ring, off);
                    if (testing::Test::HasFailure()) return false;
                    EXPECT_LE(ring.size_approx(), capacity);
                    at(word) = 6;
                  }
                }
                // Nothing was moved: what was put wrong is put right, and all is there.
                for (std::uint64_t i = 0; i != capacity; ++i) EXPECT_EQ(ring.try_push(m), status::ok);
                EXPECT_EQ(ring.try_push(m), status::full);
                return !testing::Test::HasFailure();
              }).succeeded());
}

// What a hostile head makes a producer believe it does not go on believing.
TEST_F(spsc, AHeadThatIsPutRightIsBelieved) {
  EXPECT_TRUE(child([this] {
                auto ring = *segment_[0].attach();
                tick m{};
                std::array<tick, capacity> some{};
                std::size_t head = 0;
                EXPECT_EQ(ring.push(m), status::ok);
                {
                  const auto before = words();
                  EXPECT_EQ(ring.pop(m), status::ok);
                  while (before[head] != 0 || at(head) != 1) ++head;
                }
                std::uint64_t pushed = 1;
                at(head) = 2 - capacity;
                pushed += ring.try_push_n(some).count;
                at(head) = 1;
                for (; ring.try_push(m) == status::ok; ++pushed) {
                  if (pushed == 10 * capacity) return false;
                }
                return pushed == 1 + capacity && ring.try_push(m) == status::full;
              }).succeeded());
}

// From the last line of all numbers to the first is no step from a line to the next.
TEST(SpscRing, ComesBackFromAHeadPastAllOthers) {
  auto segment = shared_ring<spsc_ring<std::uint64_t>>::create(location::anonymous(), {16, 4, 0600});
  ASSERT_TRUE(segment);
  auto ring = *segment->attach();
  std::uint64_t m = 0;
  for (std::uint64_t i = 0; i != 16; ++i) ASSERT_EQ(ring.push(100 + i), status::ok);
  for (std::uint64_t i = 0; i != 14; ++i) ASSERT_EQ(ring.pop(m), status::ok);
  const std::span words(static_cast<std::uint64_t*>(segment->memory().base()), segment->memory().size() / 8);
  ASSERT_EQ(std::ranges::count(words, 14), 1);
  std::uint64_t& head = *std::ranges::find(words, 14);
  head = ~std::uint64_t{0};
  EXPECT_EQ(ring.try_pop(m), status::corrupt);
  head = 14;
  for (std::uint64_t i = 14; i != 16; ++i) {
    EXPECT_EQ(ring.try_pop(m), status::ok);
    EXPECT_EQ(m, 100 + i);
  }
  EXPECT_EQ(ring.try_pop(m), status::empty);
}

class mpmc : public CorruptTest<mpmc_ring<tick>> {
 protected:
  // Which word is that of the slot of position 0, empty before and full now.
  template <class Words>
  std::size_t filled_since(const Words& before) {
    std::size_t slot = ring_offset({capacity, 4}) / 8;
    while (slot != before.size() && !(before[slot] == 0 && at(slot) == 1u << 12)) ++slot;
    return slot;
  }
};
TEST_F(mpmc, ASlotOfAnotherLap) {
  tick m{};
  ASSERT_EQ(ring().push(m), status::ok);
  const auto before = words();
  ASSERT_EQ(ring().push(m), status::ok);
  // The word of the slot of position 1, empty when before, was 1 << 14.
  std::size_t slot = 0;
  while (slot != before.size() && !(before[slot] == 1u << 14 && at(slot) == (1u << 14 | 1u << 12))) ++slot;
  ASSERT_NE(slot, before.size());
  ASSERT_EQ(ring().pop(m), status::ok);
  for (const std::uint64_t position : {2u, 4u, 6u, 77u}) {
    at(slot) = position << 14 | 1u << 12;
    ASSERT_EQ(ring().try_pop(m), status::corrupt) << position;
    EXPECT_EQ(ring().pop(m), status::corrupt) << position;
  }
  at(slot) = 1u << 14;  // as one has it who has claimed and not published
  EXPECT_EQ(ring().try_pop(m), status::busy);
}

// What matters only once somebody has died, and is scribbled over.
TEST_F(mpmc, RedeliveriesThatNobodyDoes) {
  at(roster_offset() / 8) = 1;  // deaths
  const std::size_t redeliverer = (ring_offset({capacity, 4}) + 4 * line_bytes) / 8;
  tick m{};
  at(redeliverer) = 1;  // this living member: it can't be told from one that is stopped
  EXPECT_EQ(ring().try_pop(m), status::busy);
  EXPECT_EQ(ring().pop_for(m, std::chrono::milliseconds(1)), status::timed_out);
  ASSERT_EQ(ring().push(m), status::ok);
  EXPECT_EQ(ring().try_pop(m), status::ok);
  at(redeliverer) = 4000;  // no member
  EXPECT_EQ(ring().try_pop(m), status::empty);
}

// One that names another slot's position is not taken, and then met again, for ever.
TEST_F(mpmc, AnOrphanInAnothersSlot) {
  at(roster_offset() / 8) = 1;
  const auto before = words();
  tick m{};
  ASSERT_EQ(ring().push(m), status::ok);
  const std::size_t slot = filled_since(before);
  ASSERT_NE(slot, before.size());
  at(slot) = 1u << 14 | 3u << 12;
  EXPECT_EQ(ring().try_pop(m), status::corrupt);
  at(roster_offset() / 8) = 2;
  at(slot) = 3u << 12;  // its own
  EXPECT_EQ(ring().try_pop(m), status::redelivered);
}

// Of a closed ring a message that seems to be in somebody's hands is waited for; what cannot be, is not.
TEST_F(mpmc, AMessageThatNobodyHasInHand) {
  const auto before = words();
  tick m{};
  ASSERT_EQ(ring().push(m), status::ok);
  const std::size_t slot = filled_since(before);
  ASSERT_NE(slot, before.size());
  ASSERT_EQ(ring().pop(m), status::ok);
  ring().close();
  at(slot) = 1u << 12;
  EXPECT_EQ(ring().try_pop(m), status::busy);
  EXPECT_EQ(ring().pop_for(m, std::chrono::milliseconds(1)), status::timed_out);
  at(slot) = 77u << 14 | 1u << 12;
  EXPECT_EQ(ring().pop(m), status::closed);
}

// A lock word that names a living member is nobody's to take: it may be stopped. In a
// child, which can be given up.
template <class R>
class LockTest : public CorruptTest<R> {};
TYPED_TEST_SUITE(LockTest, locking_rings, ring_name);

TYPED_TEST(LockTest, TheLivingAreWaitedForUntilTheDeadlineAndCloseWaitsForNobody) {
  const std::size_t lock =
      (ring_offset({this->capacity, 4}) + (TypeParam::kind == "semaphore_ring" ? 2 * line_bytes : 0)) / 8;
  EXPECT_TRUE(child([&] {
                auto ring = *this->segment_[0].attach();
                tick m{};
                EXPECT_EQ(ring.push(m), status::ok);
                const std::uint64_t free = this->at(lock);
                this->at(lock) = free + 1;  // held by the first member: our parent
                EXPECT_EQ(ring.try_push(m), status::busy);
                EXPECT_EQ(ring.try_pop(m), status::busy);
                EXPECT_EQ(ring.push_for(m, std::chrono::milliseconds(1)), status::timed_out);
                EXPECT_EQ(ring.pop_for(m, std::chrono::milliseconds(1)), status::timed_out);
                EXPECT_EQ(ring.size_approx(), 1u);
                ring.close();
                this->at(lock) = free;
                EXPECT_EQ(ring.push(m), status::closed);
                EXPECT_EQ(ring.pop(m), status::ok);
                EXPECT_EQ(ring.pop(m), status::closed);
                // Held by one that cannot be.
                this->at(lock) = free + 4000;
                EXPECT_EQ(ring.pop(m), status::closed);
                return !testing::Test::HasFailure();
              }).succeeded());
}

// A stand's words, and what no member can have there.
TEST(RendezvousRing, WordsThatContradictOneAnother) {
  EXPECT_TRUE(child([] {
                constexpr geometry shape{0, 4};
                auto segment = shared_ring<rendezvous_ring<tick>>::create(location::anonymous(), {0, 4, 0600});
                auto ring = segment->attach();
                auto* const words = static_cast<std::uint64_t*>(segment->memory().base());
                const std::size_t stands = (ring_offset(shape) + 2 * line_bytes) / 8;
                constexpr std::size_t one = 3;  // words a stand: offer, ask, event
                tick m{};
                const auto pushes = [&](status said, std::uint64_t word) {
                  EXPECT_EQ(ring->try_push(m), said) << word;
                  if (said != status::full) {
                    EXPECT_EQ(ring->push(m), said) << word;
                  }
                };
                const auto pops = [&](status said, std::uint64_t word) {
                  EXPECT_EQ(ring->try_pop(m), said) << word;
                  if (said != status::empty) {
                    EXPECT_EQ(ring->pop(m), said) << word;
                  }
                };
                for (const std::uint64_t word : {1u, 2u, 3u, 4u, 400u}) {  // its own offer
                  words[stands] = word;
                  pushes(status::corrupt, word);
                  words[stands] = 0;
                  pushes(status::full, word);
                }
                for (const std::uint64_t word : {1u, 2u, 4u, 6u}) {  // its own ask
                  words[stands + 1] = word;
                  pops(status::corrupt, word);
                  words[stands + 1] = 0;
                  pops(status::empty, word);
                }
                words[stands + one] = 4;  // others'
                pops(status::corrupt, 4);
                words[stands + one] = 0;
                words[stands + one + 1] = 4;
                pushes(status::corrupt, 4);
                pops(status::corrupt, 4);
                ring->close();
                words[stands + one + 1] = 2;  // passed a message, it seems, which is waited for
                EXPECT_EQ(ring->try_pop(m), status::busy);
                EXPECT_EQ(ring->pop_for(m, std::chrono::milliseconds(1)), status::timed_out);
                return !testing::Test::HasFailure();
              }).succeeded());
}

using semaphores = CorruptTest<semaphore_ring<tick>>;
TEST_F(semaphores, PermitsForWhatIsNotThere) {
  // `free` stands at the ring's start, `used` a line behind it; the count is the low half.
  const std::size_t free = ring_offset({capacity, 4}) / 8;
  const std::size_t used = free + line_bytes / 8;
  std::array<tick, 10> some{};
  at(used) = 1;
  ASSERT_EQ(ring().try_pop_n(some), (batch_result{status::corrupt, 0}));
  EXPECT_EQ(ring().pop_n(some), (batch_result{status::corrupt, 0}));
  at(used) = 0;
  at(free) = 100;
  ASSERT_EQ(ring().try_push_n(some), (batch_result{status::corrupt, 0}));
  EXPECT_EQ(ring().push_n(some), (batch_result{status::corrupt, 0}));
  EXPECT_EQ(ring().size_approx(), 0u);
  // Said to be closed, by the semaphore alone.
  at(used) = std::uint64_t{1} << 31;
  EXPECT_EQ(ring().try_pop(some[0]), status::corrupt);
  at(used) = std::uint64_t{7} << 32 | std::uint64_t{1} << 31;  // of another generation
  EXPECT_EQ(ring().try_pop(some[0]), status::corrupt);
  // After a death even a call that finds no permit looks at the indices.
  at(used) = 0;
  at(used + (line_bytes + 16) / 8) += 1000;  // head
  at(roster_offset() / 8) = 1;
  EXPECT_EQ(ring().try_pop(some[0]), status::corrupt);
}

}  // namespace
}  // namespace millrace
