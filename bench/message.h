// What is sent, and the books that are kept on it.
#ifndef MILLRACE_BENCH_MESSAGE_H_
#define MILLRACE_BENCH_MESSAGE_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace millrace::bench {

inline constexpr std::uint32_t most_producers = 64;

// Names a message: [ producer + 1 : 8 | number : 56 ]. Never 0, which some queues keep for themselves.
using mark = std::uint64_t;

inline constexpr unsigned number_bits = 56;
inline constexpr mark the_end = ~mark{0};  // tells one consumer to leave

constexpr mark mark_of(std::uint32_t producer, std::uint64_t number) noexcept {
  return mark{producer + 1} << number_bits | number;
}
constexpr std::uint64_t number_of(mark m) noexcept { return m & ((mark{1} << number_bits) - 1); }
constexpr std::uint32_t producer_of(mark m) noexcept { return static_cast<std::uint32_t>(m >> number_bits) - 1; }

// A message of so many bytes, with its mark at either end.
template <std::size_t Bytes>
struct parcel {
  static_assert(Bytes % sizeof(mark) == 0 && Bytes != 0);

  mark words[Bytes / sizeof(mark)];

  void stamp(mark m) noexcept {
    words[0] = m;
    words[Bytes / sizeof(mark) - 1] = m;
  }
  mark stamped() const noexcept { return words[0]; }
  bool intact() const noexcept { return words[0] == words[Bytes / sizeof(mark) - 1]; }
};

// Six times the squares of the numbers below n, added up, modulo 2^64.
constexpr std::uint64_t checksum_of_all(std::uint64_t n) noexcept { return (n - 1) * n * (2 * n - 1); }

// What one consumer got of one producer. Of numbers in a row only the end is noted, so that the books
// cost less than the queues do.
class account {
 public:
  void add(std::uint64_t number) noexcept {
    if (number == next_) [[likely]] {
      ++next_;
    } else {
      begin_row(number);
    }
  }

  std::uint64_t count() const noexcept { return count_ + (next_ - first_); }
  // Of the numbers' squares: a loss and a double do not cancel out.
  std::uint64_t checksum() const noexcept { return checksum_ + checksum_of_all(next_) - checksum_of_all(first_); }
  std::uint64_t reordered() const noexcept { return reordered_; }

 private:
  void begin_row(std::uint64_t number) noexcept {
    count_ = count();
    checksum_ = checksum();
    reordered_ += number < next_ ? 1 : 0;
    first_ = number;
    next_ = number + 1;
  }

  std::uint64_t first_ = 0;  // of the row
  std::uint64_t next_ = 0;
  std::uint64_t count_ = 0;  // of those before the row
  std::uint64_t checksum_ = 0;
  std::uint64_t reordered_ = 0;
};

// A consumer's books.
struct ledger {
  std::array<account, most_producers> of{};
  std::uint64_t torn = 0;  // or from nobody

  template <std::size_t Bytes>
  void enter(const parcel<Bytes>& p) noexcept {
    const std::uint32_t producer = producer_of(p.stamped());
    if (!p.intact() || producer >= most_producers) {
      ++torn;
    } else {
      of[producer].add(number_of(p.stamped()));
    }
  }
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_MESSAGE_H_
