#include "verify/fuzz/play.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "millrace/broadcast_ring.h"
#include "millrace/byte_ring.h"
#include "millrace/layout.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/rendezvous_ring.h"
#include "millrace/roster.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "verify/fuzz/hostile.h"

namespace millrace::fuzz {

void fail(const char* what) {
  std::fprintf(stderr, "fuzz: %s\n", what);
  std::abort();
}

void scribbler::strike(const scribble& s) {
  std::byte* const to = segment_.data() + s.at;
  std::array<std::byte, 8> before;
  std::memcpy(before.data(), to, before.size());
  const std::uint64_t value = (((std::bit_cast<std::uint64_t>(before) & s.keep) ^ s.flip) + s.add);
  const auto after = std::bit_cast<std::array<std::byte, 8>>(value);
  std::memcpy(to, after.data(), after.size());
  ++struck_;
  ++struck_in_call_;
}

void scribbler::step() {
  if (steps_ == last_step_) _longjmp(killed_, 1);
  // No loop goes round its slots, or its skipped ones, more than a few times.
  const std::size_t most_steps = 100 * segment_.size() / sizeof(std::uint64_t);
  if (++steps_ > most_steps * (1 + struck_in_call_)) fail("a call does not end");
  while (!waiting_.empty() && waiting_.front().delay == 0) {
    strike(waiting_.front());
    waiting_.pop_front();
  }
  if (!waiting_.empty()) --waiting_.front().delay;
}

namespace {

struct letter {
  std::uint64_t number;
  std::uint32_t from;
  std::uint64_t body;
};

// Bytes, and zeros behind their end.
class reader {
 public:
  explicit reader(std::span<const std::uint8_t> bytes) : rest_(bytes) {}

  bool done() const { return rest_.empty(); }
  std::uint64_t take(std::size_t bytes) {
    std::uint64_t value = 0;
    const std::size_t n = std::min(bytes, rest_.size());
    for (std::size_t i = 0; i != n; ++i) value |= std::uint64_t{rest_[i]} << 8 * i;
    rest_ = rest_.subspan(n);
    return value;
  }

 private:
  std::span<const std::uint8_t> rest_;
};

// A move is a byte: the low half says which, the highest bit whose; the next one whether
// a single message is moved in place, and the one below whether that is withdrawn.
enum move : std::uint8_t {
  strike,        // scribble
  lie_in_wait,   // delay, scribble: later, in the midst of a call
  try_push,      //
  try_pop,       //
  try_push_n,    // how many
  try_pop_n,     // how many
  push_until,    //
  pop_until,     //
  push_n_until,  // how many
  pop_n_until,   // how many
  size_approx,   //
  close,         //
  attach,        // having let go of what one had
  kill,          // in its next call: before which step
  alarm,         // as a keeper does
  moves,
};

template <class R>
constexpr bool holds_bytes = requires(const R& r) {
  r.bytes_at(0, 0);
};

template <class R>
class game {
  using value = typename R::value_type;

 public:
  explicit game(const geometry& shape)
      : shape_(shape),
        size_(ring_offset(shape) + R::bytes(shape)),
        segment_(static_cast<std::byte*>(::operator new (size_, std::align_val_t{line_bytes}))),
        enemy_({segment_.get(), size_}) {
    std::memset(segment_.get(), 0, size_);
    hostile::face(nullptr);
    write_header(segment_.get(), ring_description::of<R>(shape));
    R::construct(segment_.get() + ring_offset(shape), shape);
    hostile::face(&enemy_);
    for (std::uint32_t place = 0; place != members_.size(); ++place) join(place);
  }

  void play(reader& script) {
    while (!script.done()) {
      const std::uint64_t byte = script.take(1);
      const auto what = static_cast<move>((byte & 0xf) % moves);
      const auto place = static_cast<std::uint32_t>(byte >> 7);
      enemy_.begin_call();
      if (what == strike) {
        enemy_.strike(read_scribble(script));
      } else if (what == lie_in_wait) {
        const auto delay = static_cast<unsigned>(script.take(1));
        scribble s = read_scribble(script);
        s.delay = delay;
        enemy_.lie_in_wait(s);
      } else if (what == attach) {
        join(place);
      } else if (what == kill) {
        members_[place].dies_in = script.take(1);
      } else if (members_[place].ring) {
        in_place_ = (byte >> 6 & 1) != 0;
        withdrawn_ = (byte >> 5 & 1) != 0;
        call(what, place, script);
      }
    }
  }

 private:
  struct deleter {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{line_bytes}); }
  };

  struct member {
    std::optional<R> ring;
    std::optional<std::size_t> dies_in{};
    bool dead = false;
  };

  scribble read_scribble(reader& script) const {
    scribble s;
    s.at = script.take(2) * 8 % size_;
    const std::uint64_t form = script.take(1);
    if (form < 0x80) {  // a little more, or less, in some field of the word
      s.add = static_cast<std::uint64_t>(static_cast<std::int8_t>(script.take(1))) << (form % 64);
    } else {
      s.flip = script.take(1 + form % 8) << (form / 8 % 8 * 8);
      if (form >= 0xc0) s.keep = 0;
    }
    return s;
  }

  roster<hostile> everyone(const geometry& shape) const { return {segment_.get() + roster_offset(), shape.members}; }

  // As a keeper does it, for a new process in this place, whoever had it before.
  void join(std::uint32_t place) {
    member& who = members_[place];
    if constexpr (broadcasting_ring<R>) {
      if (who.ring) who.ring->end_receiving();
    }
    who.ring.reset();
    who.dies_in.reset();
    const auto shape = inspect<R>(segment_.get(), size_, any_shape, "segment");
    if (!shape) {
      const std::string& text = shape.error().message;
      if (!enemy_.has_struck()) fail("a sound segment is refused");
      if (!text.starts_with("segment: ") || text.size() > 2000) fail("an error is not a line about the segment");
      if (std::any_of(text.begin(), text.end(), [](unsigned char c) { return c < 0x20 || c > 0x7e; })) {
        fail("an error's text shows what was scribbled");
      }
      return;
    }
    if (place >= shape->members) return;
    roster<hostile> all = everyone(*shape);
    who.ring.emplace(segment_.get() + ring_offset(*shape), *shape, membership<hostile>{all, place});
    const std::uint32_t id = roster<hostile>::alarmed | (place + 1);
    if (who.dead) {
      all.life_of(place).store(id | roster<hostile>::died, std::memory_order_relaxed);
      who.ring->settle();
      all.report_death();
      who.ring->alarm();
      who.dead = false;
    }
    all.life_of(place).store(id, std::memory_order_release);
    if constexpr (broadcasting_ring<R>) who.ring->begin_receiving();
  }

  void die(std::uint32_t place) {
    members_[place] = {{}, {}, true};
    roster<hostile> all = everyone(shape_);
    all.life_of(place).store(roster<hostile>::alarmed | roster<hostile>::died, std::memory_order_release);
    all.report_death();
    anybody_died_ = true;
  }

  void call(move what, std::uint32_t place, reader& script) {
    const std::size_t count = what == try_push_n || what == try_pop_n || what == push_n_until || what == pop_n_until
                                  ? script.take(1) % 70
                                  : 1;
    std::vector<value> some(count);  // of their own size: nothing may be read or written beyond
    member& who = members_[place];
    const auto act = [&] { make(what, *who.ring, some); };
    if (!who.dies_in) return act();
    enemy_.kill_in(act, *who.dies_in);
    die(place);
  }

  void make(move what, R& ring, std::span<value> some) {
    const deadline passed = deadline::at(deadline::clock::time_point{});
    const std::size_t count = some.size();
    const auto one = [](status s) { return batch_result{s, delivered(s) ? std::size_t{1} : 0}; };
    if constexpr (writes_in_place<R> && reads_in_place<R>) {
      const auto write = [&](auto slot) {
        if (slot) *slot = some[0];
        if constexpr (holds_bytes<R>) {
          if (slot) std::ranges::fill(ring.bytes_at(slot.slot(), ring.max_message()), std::byte{1});
          if (slot) slot->length = ring.max_message();
        }
        if (slot && !withdrawn_) slot.commit();
        return one(slot.why());
      };
      const auto read = [&](auto found) {
        if (found) some[0] = *found;
        if constexpr (holds_bytes<R>) {
          const auto ones = [](std::byte b) { return b == std::byte{1}; };
          const bool whole = !found || std::ranges::all_of(ring.bytes_at(found.slot(), found->length), ones);
          if (!whole && !enemy_.has_struck()) fail("a message arrives with other bytes");
        }
        return one(found.why());
      };
      if (in_place_ && what == try_push) return judge(write(ring.try_reserve()), count, {status::full, status::busy});
      if (in_place_ && what == try_pop) return judge(read(ring.try_peek()), count, {status::empty, status::busy});
      if (in_place_ && what == push_until) return judge(write(ring.reserve_until(passed)), count, {status::timed_out});
      if (in_place_ && what == pop_until) return judge(read(ring.peek_until(passed)), count, {status::timed_out});
    }
    switch (what) {
      case try_push:
        return judge(one(ring.try_push(some[0])), count, {status::full, status::busy});
      case try_pop:
        return judge(one(ring.try_pop(some[0])), count, {status::empty, status::busy});
      case try_push_n:
        return judge(ring.try_push_n(some), count, {status::full, status::busy});
      case try_pop_n:
        return judge(ring.try_pop_n(some), count, {status::empty, status::busy});
      case push_until:
        return judge(one(ring.push_until(some[0], passed)), count, {status::timed_out});
      case pop_until:
        return judge(one(ring.pop_until(some[0], passed)), count, {status::timed_out});
      case push_n_until:
        return judge(ring.push_n_until(some, passed), count, {status::timed_out});
      case pop_n_until:
        return judge(ring.pop_n_until(some, passed), count, {status::timed_out});
      case size_approx:
        if (ring.size_approx() > ring.capacity()) fail("size_approx says more than the capacity");
        return;
      case close:
        return ring.close();
      case alarm:
        return ring.alarm();
      default:
        return;
    }
  }

  void judge(const batch_result& got, std::size_t asked, std::initializer_list<status> failures) const {
    const bool known = got.why == status::ok || got.why == status::closed || got.why == status::corrupt ||
                       got.why == status::redelivered ||
                       std::find(failures.begin(), failures.end(), got.why) != failures.end();
    if (!known) fail("a call gives an answer that it doesn't have");
    if (got.count > asked) fail("more moved than was asked for");
    if (got.why == status::ok && got.count == 0 && asked != 0) fail("a call says ok and has moved nothing");
    if (enemy_.has_struck()) return;
    if (got.why == status::corrupt) fail("a sound ring is called corrupt");
    if (got.why == status::redelivered && !anybody_died_) fail("a message is redelivered, and nobody has died");
  }

  geometry shape_;
  std::size_t size_;
  std::unique_ptr<std::byte, deleter> segment_;  // nothing of ours on either side: ASan sees who leaves it
  scribbler enemy_;
  std::array<member, 2> members_;
  bool anybody_died_ = false;
  bool in_place_ = false;  // of the move
  bool withdrawn_ = false;
};

template <class R>
void play_on(geometry shape, reader& script) {
  if (!R::refuse(shape).empty()) shape.capacity = std::bit_ceil(shape.capacity);
  game<R>(shape).play(script);
}

}  // namespace

void play(std::span<const std::uint8_t> script) {
  constexpr std::array<std::uint64_t, 7> capacities{1, 2, 3, 4, 7, 8, 64};
  reader rest(script);
  const std::uint64_t kind = rest.take(1);
  const std::uint64_t capacity = capacities[rest.take(1) % capacities.size()];
  const geometry shape{capacity, static_cast<std::uint32_t>(2 + rest.take(1) % 20),
                       kind / 4 % 2 == 0 ? delivery::redeliver : delivery::drop};
  switch (kind / 32) {
    case 2:
      return play_on<byte_ring<hostile>>(
          {capacity, shape.members, shape.on_death, false, {}, static_cast<std::uint32_t>(capacity * 5)}, rest);
    case 4:
      return play_on<broadcast_ring<letter, hostile>>(shape, rest);
    case 5:
      return play_on<broadcast_ring<letter, hostile>>({capacity, shape.members, {}, false, fidelity::lossy}, rest);
    default:
      break;
  }
  if (kind / 8 % 4 == 3) {
    return play_on<rendezvous_ring<letter, hostile>>({0, shape.members, shape.on_death}, rest);
  }
  switch (kind % 4) {
    case 0:
      return play_on<mpmc_ring<letter, hostile>>(shape, rest);
    case 1:
      return play_on<spsc_ring<letter, hostile>>(shape, rest);
    case 2:
      return play_on<mutex_ring<letter, hostile>>(shape, rest);
    default:
      return play_on<semaphore_ring<letter, hostile>>(shape, rest);
  }
}

}  // namespace millrace::fuzz
