// Who is measured: a table of queues behind one face.
#ifndef MILLRACE_BENCH_CONTENDER_H_
#define MILLRACE_BENCH_CONTENDER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bench/machine.h"
#include "bench/queue.h"

namespace millrace::bench {

enum class origin : std::uint8_t { ours, reference, peer, kernel, limit };

struct traits {
  std::string_view name;
  origin from;
  std::string_view package{};     // of Debian, where a peer comes from
  bool between_processes = true;  // else there are pointers in it, or it has no place to live but a heap
  bool one_to_one = false;        // one producer, one consumer
  bool fifo = true;
  bool apart = false;         // measured only where a section names it
  bool waits_inside = false;  // spins in its calls: not with more workers than cores
  std::string_view note{};

  // Of one producer's messages to one consumer. What a peer does is only said.
  bool answers_for_order() const noexcept { return from == origin::ours && fifo; }
};

struct contender : traits {
  // What it can be put to; made anew for each run. Nullptr: it has no such size or calls.
  std::unique_ptr<queue> (*make)(const work&, board&) = nullptr;
  bool (*able)(const work&) = nullptr;

  bool installed() const noexcept { return make != nullptr; }

  bool can(const work& w) const noexcept {
    if (!installed()) return false;
    if (waits_inside && w.workers() > cores().size()) return false;
    if (w.where == place::processes && !between_processes) return false;
    if (one_to_one && (w.producers > 1 || w.consumers > 1)) return false;
    return able(w);
  }
};

// The shapes that are compiled: each size with the usual capacity, the least size with others; and
// for which of them every kind of work.
template <template <class T, std::size_t Capacity> class Q, class F>
auto with_shape(const work& w, F f) {
  if (w.bytes == 8 && w.capacity == 64) return f.template operator()<Q<parcel<8>, 64>, false>();
  if (w.bytes == 8 && w.capacity == 1024) return f.template operator()<Q<parcel<8>, 1024>, true>();
  if (w.bytes == 8 && w.capacity == 65536) return f.template operator()<Q<parcel<8>, 65536>, false>();
  if (w.bytes == 64 && w.capacity == 1024) return f.template operator()<Q<parcel<64>, 1024>, false>();
  if (w.bytes == 256 && w.capacity == 1024) return f.template operator()<Q<parcel<256>, 1024>, false>();
  if (w.bytes == 1024 && w.capacity == 1024) return f.template operator()<Q<parcel<1024>, 1024>, false>();
  if (w.bytes == 4096 && w.capacity == 1024) return f.template operator()<Q<parcel<4096>, 1024>, false>();
  return f.template operator()<void, false>();
}

// For a Q that is measured with eight bytes and 1,024 slots only.
template <class Q, class T, std::size_t Capacity>
using only_one = std::conditional_t<sizeof(T) == 8 && Capacity == 1024, Q, void>;

template <template <class T, std::size_t Capacity> class Q>
contender contend(const traits& t) {
  return {t,
          [](const work& w, board& b) {
            return with_shape<Q>(w, [&]<class Shape, bool All>() -> std::unique_ptr<queue> {
              if constexpr (measurable<Shape>) return std::make_unique<measured<Shape, All>>(w, b);
              return nullptr;
            });
          },
          [](const work& w) {
            return with_shape<Q>(w, [&]<class Shape, bool All>() {
              if constexpr (measurable<Shape>) return measured<Shape, All>::able(w);
              return false;
            });
          }};
}

// Each adds its own; without `make` what is not installed.
void add_ours(std::vector<contender>& all);
void add_references(std::vector<contender>& all);
void add_memberless(std::vector<contender>& all);
void add_boost(std::vector<contender>& all);
void add_moodycamel(std::vector<contender>& all);
void add_atomic_queue(std::vector<contender>& all);
void add_ck(std::vector<contender>& all);
void add_dpdk(std::vector<contender>& all);
void add_libcds(std::vector<contender>& all);
void add_tbb(std::vector<contender>& all);
void add_kernel(std::vector<contender>& all);
void add_channels(std::vector<contender>& all);
void add_limits(std::vector<contender>& all);

// Ours first.
const std::vector<contender>& contenders();

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_CONTENDER_H_
