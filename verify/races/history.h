// What was sent, what arrived, and what that says about the ring between.
#ifndef MILLRACE_VERIFY_RACES_HISTORY_H_
#define MILLRACE_VERIFY_RACES_HISTORY_H_

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace millrace::races {

// 64 bytes, far more than a machine copies in one step, of which every word
// follows from the first two and the run's seed: a mixture of two messages shows.
struct parcel {
  std::uint64_t producer = 0;
  std::uint64_t sequence = 0;
  std::array<std::uint64_t, 5> payload{};
  std::uint64_t checksum = 0;

  friend bool operator==(const parcel&, const parcel&) = default;
};
static_assert(sizeof(parcel) == 64);

parcel pack(std::uint64_t producer, std::uint64_t sequence, std::uint64_t seed);
bool intact(const parcel& p, std::uint64_t seed);

// A consumer's note of one pop.
struct arrival {
  std::uint32_t producer = 0;
  std::uint32_t sequence = 0;

  static constexpr std::uint32_t nobody = 0xffffffff;  // as producer: it came torn
  friend bool operator==(const arrival&, const arrival&) = default;
};

// A producer's note of one push.
struct departure {
  std::uint32_t slot = 0;
  std::uint64_t at_ns = 0;  // on the monotonic clock, just after the push
};

struct history {
  std::vector<std::uint64_t> sent;                   // by producer: it sent 0, 1, ... up to this
  std::vector<std::span<const arrival>> received;    // by consumer, in the order of its pops
  std::vector<std::span<const departure>> pushed{};  // by producer, one for each that it sent; only for `tell`
};

// A torn message arrived as none of those that were sent: what it was made of
// counts as lost too, unless it arrived whole elsewhere.
struct damage {
  std::uint64_t lost = 0;        // sent, and never arrived whole
  std::uint64_t duplicated = 0;  // arrivals of a message after its first
  std::uint64_t torn = 0;        // arrivals of what nobody sent
  std::uint64_t reordered = 0;   // arrivals that a consumer should have had before another of the same producer

  bool any() const { return lost + duplicated + torn + reordered != 0; }
  friend bool operator==(const damage&, const damage&) = default;
};

damage judge(const history& h);

// How often each message arrived whole: counts[producer][sequence].
std::vector<std::vector<std::uint32_t>> count_arrivals(const history& h);

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_HISTORY_H_
