// Places for messages of any length, one beside each slot of an mpmc_ring.
#ifndef MILLRACE_BYTE_RING_H_
#define MILLRACE_BYTE_RING_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "millrace/mpmc_ring.h"
#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/roster.h"

namespace millrace {

// What a slot holds: how much of its place is the message.
struct frame {
  std::uint32_t length = 0;
};

// The ring of a byte_channel.
//
//   [ mpmc_ring of frames | place x capacity, each of max_message bytes, rounded up to 16 ]
//
//  B1 A place belongs to whoever has its slot in hand (mpmc_ring M2): it is written to only between
//     reserve and commit, and read only between peek and release. So all that mpmc_ring shows of its
//     slots, by models too, holds of places: whole, in order, once, and settled by a death.
//  B2 A length is read once, and cut at max_message; places are found by masked numbers and a
//     private copy of max_message. So whatever the segment holds, no access leaves a place.
template <class Platform = native>
class byte_ring : public mpmc_ring<frame, Platform> {
  using frames = mpmc_ring<frame, Platform>;

 public:
  static constexpr std::string_view kind = "byte_ring";
  static constexpr std::uint32_t longest = std::uint32_t{1} << 30;
  static constexpr std::size_t alignment = 16;  // of a place

  static std::string refuse(const geometry& g) {
    const std::string why = refuse_unless_within("max_message", g.max_message, longest);
    return why.empty() ? frames::refuse(g) : why;
  }

  static std::size_t bytes(const geometry& g) noexcept { return offset(g) + g.capacity * stride(g); }

  byte_ring(void* at, const geometry& g, const membership<Platform>& who) noexcept
      : frames(at, g, who),
        places_(static_cast<std::byte*>(at) + offset(g)),
        stride_(stride(g)),
        max_message_(g.max_message) {}

  std::uint32_t max_message() const noexcept { return max_message_; }

  // The first `length` bytes, or all there are, of the place of the slot of that number,
  // which is in hand.
  std::span<std::byte> bytes_at(std::uint64_t number, std::size_t length) const noexcept {
    return {places_ + number * stride_, std::min<std::size_t>(length, max_message_)};
  }

 private:
  static constexpr std::size_t rounded(std::size_t n) noexcept { return (n + alignment - 1) / alignment * alignment; }
  static std::size_t stride(const geometry& g) noexcept { return rounded(g.max_message); }
  static std::size_t offset(const geometry& g) noexcept { return rounded(frames::bytes(g)); }

  std::byte* places_;
  std::size_t stride_;
  std::uint32_t max_message_;
};

}  // namespace millrace

#endif  // MILLRACE_BYTE_RING_H_
