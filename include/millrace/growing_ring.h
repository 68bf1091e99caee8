// A ring with a limit for a capacity: its memory comes as it fills, and goes as it drains.
#ifndef MILLRACE_GROWING_RING_H_
#define MILLRACE_GROWING_RING_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>

#include "millrace/mutex_ring.h"
#include "millrace/pages.h"
#include "millrace/platform.h"
#include "millrace/ring.h"

namespace millrace {

// Slots in chunks of memory, of which only those are backed that messages lie in, and one
// or two more. Their addresses are all there from the start, and cost nothing.
//
//   [ control | chunk 0 | chunk 1 | ... | chunk n-1 | end ]
//
// Position p lies in the chunk of number (p - base) / per_chunk, and that in the place
// (number mod n). Invariants, outside the lock and at every instruction inside it:
//
//  G1 The chunks low..high-1 are committed. All messages lie in them. low < high.
//  G2 Those of given..low-1 hold nothing, and have not been given back yet. high - given
//     <= n: no two of given..high-1 are in one place. No others hold anything.
//  G3 A push commits a chunk and then raises high. A pop, when it has committed itself,
//     raises low, decommits, and then raises given. Whoever is killed between a
//     system call and the word behind it leaves a call to be made once more, by the next
//     that comes by: to commit what is committed, or to decommit what holds nothing, does
//     no harm. So there is nothing to repair.
//  G4 base changes only while the ring is empty: the next message then lies where chunk low
//     begins. So a queue that is emptied now and then goes on in the memory that it has.
//  G5 As of G1, an empty ring has a chunk: whoever finds no memory finds messages, too, and
//     is woken when they are popped.
//
// A pop leaves the chunk of what it popped last, so that a queue which is emptied where a
// chunk ends makes no system call for each message either.
template <message T, class Platform>
class growing_slots {
  template <class U>
  using atomic = typename Platform::template atomic<U>;
  using slot = typename Platform::template plain<T>;

 public:
  // Slots in a chunk.
  static constexpr std::uint64_t per_chunk = std::max<std::size_t>(1, Platform::chunk_bytes / sizeof(slot));

  static std::size_t bytes(const geometry& g) noexcept {
    return chunk_0_before() + chunks(g) * chunk_bytes() + sizeof(end_mark);
  }

  // What is not reserved at creation.
  static extent growing(const geometry& g) noexcept {
    return {chunk_0_before() + chunk_bytes(), bytes(g) - sizeof(end_mark)};
  }

  static void construct(void* at, const geometry& g) noexcept {
    std::construct_at(static_cast<control*>(at));
    std::construct_at(end_of(at, g));
    std::byte* const first = chunk_0(at);
    if constexpr (!std::is_trivially_default_constructible_v<slot>) {  // those that are touch nothing
      for (std::uint64_t i = 0; i != chunks(g); ++i) {
        std::uninitialized_default_construct_n(reinterpret_cast<slot*>(first + i * chunk_bytes()), per_chunk);
      }
    }
    if (chunks(g) > 1) Platform::decommit(first + chunk_bytes(), (chunks(g) - 1) * chunk_bytes());
  }

  growing_slots(void* at, const geometry& g) noexcept
      : shared_(static_cast<control*>(at)),
        end_(end_of(at, g)),
        first_(chunk_0(at)),
        chunk_bytes_(chunk_bytes()),
        chunks_(chunks(g)) {}

  // All of these under the lock, this one first.
  bool look(std::uint64_t head, std::uint64_t tail) noexcept {
    base_ = get(shared_->base);
    given_ = get(shared_->given);
    low_ = get(shared_->low);
    high_ = get(shared_->high);
    // In any state whatever, these numbers are at most n apart: no loop, and no system
    // call, goes beyond that.
    const std::uint64_t held = high_ - given_;
    const std::uint64_t first = number(head) - given_;
    const std::uint64_t last = chunks_up_to(tail) - given_;
    return held <= chunks_ && low_ - given_ < held && low_ - given_ <= first && first <= held && last <= held;
  }

  std::uint64_t ready(std::uint64_t head, std::uint64_t tail, std::uint64_t n) noexcept {
    if (head == tail) begin_anew(head);
    const std::uint64_t end = chunks_up_to(tail + n);
    if (end > high_) {
      give_back(number(head));
      while (high_ != end && Platform::commit(place(high_), chunk_bytes_)) raise_high();
      // No memory, or no such place any more: the touch tells whose file has been truncated.
      if (high_ != end && end_->whole.load(std::memory_order_relaxed) == 0) return 0;
    }
    return std::min(n, high_ * per_chunk - (tail - base_));
  }

  slot& operator[](std::uint64_t position) const noexcept {
    return reinterpret_cast<slot*>(place(number(position)))[(position - base_) % per_chunk];
  }

  void emptied(std::uint64_t head) noexcept { give_back(number(head - 1)); }

  std::uint64_t committed_bytes() const noexcept {
    const std::uint64_t given = get(shared_->given);  // first: it only grows, and never past high
    return std::min(get(shared_->high) - given, chunks_) * chunk_bytes_;
  }

 private:
  struct control {
    alignas(line_bytes) atomic<std::uint64_t> base{0};
    atomic<std::uint64_t> given{0};
    atomic<std::uint64_t> low{0};
    atomic<std::uint64_t> high{1};
  };
  struct end_mark {
    alignas(line_bytes) atomic<std::uint32_t> whole{1};
  };

  static std::size_t round_up(std::size_t bytes) noexcept {
    const std::size_t page = Platform::page_bytes();
    return (bytes + page - 1) / page * page;
  }
  static std::size_t chunk_bytes() noexcept { return round_up(per_chunk * sizeof(slot)); }

  // As many as messages can lie in, if the first is the last of its chunk's.
  static std::uint64_t chunks(const geometry& g) noexcept { return (g.capacity + per_chunk - 2) / per_chunk + 1; }

  // Chunk 0 begins where the first page does behind the control: at most so far from its begin.
  static std::size_t chunk_0_before() noexcept { return sizeof(control) + Platform::page_bytes(); }
  static std::byte* chunk_0(void* at) noexcept {
    const auto begin = reinterpret_cast<std::uintptr_t>(at);
    return static_cast<std::byte*>(at) + (round_up(begin + sizeof(control)) - begin);
  }
  static end_mark* end_of(void* at, const geometry& g) noexcept {
    return reinterpret_cast<end_mark*>(static_cast<std::byte*>(at) + bytes(g)) - 1;
  }

  // relaxed, here and where they are written: the lock orders them.
  static std::uint64_t get(const atomic<std::uint64_t>& word) noexcept { return word.load(std::memory_order_relaxed); }

  std::uint64_t number(std::uint64_t position) const noexcept { return (position - base_) / per_chunk; }
  // Of the first chunk in which nothing lies before `position`.
  std::uint64_t chunks_up_to(std::uint64_t position) const noexcept {
    return (position - base_ + per_chunk - 1) / per_chunk;
  }
  std::byte* place(std::uint64_t number) const noexcept { return first_ + number % chunks_ * chunk_bytes_; }

  // G4. What a pop that was killed has left to give back goes first.
  void begin_anew(std::uint64_t head) noexcept {
    give_back(std::min(number(head), high_ - 1));
    const std::uint64_t base = head - low_ * per_chunk;
    if (base == base_) return;
    base_ = base;
    shared_->base.store(base, std::memory_order_relaxed);
  }

  void raise_high() noexcept { shared_->high.store(++high_, std::memory_order_relaxed); }

  // All chunks before `first`, in which nothing lies any more (G3).
  void give_back(std::uint64_t first) noexcept {
    if (first - given_ - 1 >= chunks_) return;  // there are none; or more than there can be
    Platform::light_fence();  // the compiler must not say that they hold nothing before the pop is committed
    shared_->low.store(first, std::memory_order_relaxed);
    const std::uint64_t from = given_ % chunks_;
    const std::uint64_t count = first - given_;
    const std::uint64_t before_the_end = std::min(count, chunks_ - from);
    Platform::decommit(place(given_), before_the_end * chunk_bytes_);
    if (count != before_the_end) Platform::decommit(first_, (count - before_the_end) * chunk_bytes_);
    shared_->given.store(first, std::memory_order_relaxed);
    given_ = low_ = first;
  }

  control* shared_;
  end_mark* end_;
  std::byte* first_;
  std::size_t chunk_bytes_;
  std::uint64_t chunks_;
  // As found under the lock, by `look`, and kept since.
  std::uint64_t base_ = 0;
  std::uint64_t given_ = 0;
  std::uint64_t low_ = 0;
  std::uint64_t high_ = 0;
};

// An *unbounded* buffer, as far as there are such: `capacity` is a limit, up to 2^31, that is
// meant not to be reached, and costs address space only. Memory is taken chunk by chunk (64
// KiB, or one message if that is larger) as messages come, and given back to the system as
// they are popped, but for one chunk; which a queue that stays short does not leave.
//
// In all else it is a mutex_ring, with one difference: `full` means that the limit is reached,
// *or* that the system has no memory for another chunk. Nothing is lost by that. A push that waits
// for room tries again whenever something has been popped, and an empty ring has room
// for a chunk's worth in any case. Of a batch that much is pushed for which there is memory.
//
// Killed inside, one leaves at most its chunk, or its batch's chunks, committed and unused: they
// are used, or given back, when the ring comes by.
//
// At creation only the first chunk is reserved, so a memory that is too small for the limit shows
// only as `full`. ring_options::prefault and huge_pages are refused, as they would take all
// at once. A process that locks its memory (mlockall) takes all of a segment that it maps.
template <message T, class Platform = native>
class growing_ring : public ring_under_mutex<T, Platform, growing_slots<T, Platform>> {
  using base = ring_under_mutex<T, Platform, growing_slots<T, Platform>>;

 public:
  static constexpr std::string_view kind = "growing_ring";
  using base::base;

  static extent growing(const geometry& g) noexcept {
    const extent slots = growing_slots<T, Platform>::growing(g);
    return {slots.from + sizeof(typename base::control), slots.to + sizeof(typename base::control)};
  }

  // How much memory there is for messages at the moment: a multiple of a chunk.
  std::uint64_t committed_bytes() const noexcept { return this->slots().committed_bytes(); }
};

}  // namespace millrace

#endif  // MILLRACE_GROWING_RING_H_
