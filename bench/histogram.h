// How long things took: counts in buckets that are at most 3 % wide.
#ifndef MILLRACE_BENCH_HISTOGRAM_H_
#define MILLRACE_BENCH_HISTOGRAM_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace millrace::bench {

class histogram {
 public:
  void add(std::uint64_t value) noexcept {
    ++counts_[bucket_of(value)];
    ++count_;
    most_ = std::max(most_, value);
  }

  void merge(const histogram& other) noexcept {
    for (std::size_t i = 0; i != buckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    most_ = std::max(most_, other.most_);
  }

  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t most() const noexcept { return most_; }

  // The least value that `part` of all do not exceed, rounded up to its bucket's end.
  std::uint64_t quantile(double part) const noexcept {
    const auto wanted = static_cast<std::uint64_t>(part * static_cast<double>(count_));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i != buckets; ++i) {
      seen += counts_[i];
      if (seen > wanted) return std::min(end_of(i), most_);
    }
    return most_;
  }

 private:
  static constexpr unsigned step_bits = 5;
  static constexpr std::size_t steps = std::size_t{1} << step_bits;  // to a doubling
  static constexpr std::size_t buckets = (40 - step_bits + 1) * steps;

  static std::size_t bucket_of(std::uint64_t v) noexcept {
    if (v < steps) return v;
    const auto shift = static_cast<unsigned>(std::bit_width(v)) - 1 - step_bits;
    return std::min<std::size_t>((shift + 1) * steps + ((v >> shift) - steps), buckets - 1);
  }
  static std::uint64_t end_of(std::size_t bucket) noexcept {
    if (bucket < steps) return bucket;
    const std::size_t shift = bucket / steps - 1;
    return ((bucket % steps + steps + 1) << shift) - 1;
  }

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0;
  std::uint64_t most_ = 0;
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_HISTOGRAM_H_
