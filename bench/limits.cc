// What no queue can go below: a word on a line each way, looked at all the time or slept on.
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "bench/contender.h"
#include "bench/placed.h"
#include "millrace/ring.h"

namespace millrace::bench {
namespace {

struct alignas(line_bytes) mailed {
  std::atomic<mark> word{0};
};

struct alignas(line_bytes) slept_on {
  mark word = 0;
  std::atomic<std::uint32_t> turn{0};
};

class line {
 public:
  using value_type = parcel<8>;
  static constexpr bool only_for_trips = true;

  line(const work&, board&) {}

  struct port_type {
    typename placed<mailed>::view at;
    mark last = 0;

    bool try_push(const value_type& m) noexcept {
      at->word.store(m.stamped(), std::memory_order_release);
      return true;
    }
    bool try_pop(value_type& m) noexcept {
      const mark now = at->word.load(std::memory_order_acquire);
      if (now == last) return false;
      last = now;
      m.stamp(now);
      return true;
    }
  };
  port_type port(const work& w, role) { return {line_.seen_by(w)}; }

 private:
  placed<mailed> line_;
};

class futex {
 public:
  using value_type = parcel<8>;
  static constexpr bool only_for_trips = true;

  futex(const work&, board&) {}

  struct port_type {
    typename placed<slept_on>::view at;
    std::uint32_t last = 0;

    void push(const value_type& m) noexcept {
      at->word = m.stamped();
      at->turn.fetch_add(1, std::memory_order_release);
      ::syscall(SYS_futex, &at->turn, FUTEX_WAKE, 1, nullptr, nullptr, 0);
    }
    void pop(value_type& m) noexcept {
      while (at->turn.load(std::memory_order_acquire) == last) {
        ::syscall(SYS_futex, &at->turn, FUTEX_WAIT, last, nullptr, nullptr, 0);
      }
      ++last;
      m.stamp(at->word);
    }
  };
  port_type port(const work& w, role) { return {word_.seen_by(w)}; }

 private:
  placed<slept_on> word_;
};

template <class T, std::size_t Capacity>
using bare_line = only_one<line, T, Capacity>;
template <class T, std::size_t Capacity>
using bare_futex = only_one<futex, T, Capacity>;

}  // namespace

void add_limits(std::vector<contender>& all) {
  all.push_back(contend<bare_line>({.name = "limit: bare lines", .from = origin::limit, .one_to_one = true}));
  all.push_back(contend<bare_futex>({.name = "limit: bare futexes", .from = origin::limit, .one_to_one = true}));
}

}  // namespace millrace::bench
