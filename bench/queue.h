// What a queue has to offer to be measured, and the loops that measure it.
#ifndef MILLRACE_BENCH_QUEUE_H_
#define MILLRACE_BENCH_QUEUE_H_

#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <utility>

#include "bench/board.h"
#include "bench/clock.h"
#include "bench/message.h"
#include "bench/work.h"
#include "millrace/platform.h"

namespace millrace::bench {

enum class role : std::uint8_t { producer, consumer, both };

// A worker's end of a queue of messages T; it is made and used by that worker alone. It has
// at least one of these pairs.
template <class P, class T>
concept trying = requires(P p, const T& in, T& out) {
  { p.try_push(in) } -> std::same_as<bool>;
  { p.try_pop(out) } -> std::same_as<bool>;
};
template <class P, class T>
concept blocking = requires(P p, const T& in, T& out) {
  p.push(in);
  p.pop(out);
};
// How many went in (came out).
template <class P, class T>
concept batching = requires(P p, std::span<const T> in, std::span<T> out) {
  { p.try_push_n(in) } -> std::same_as<std::size_t>;
  { p.try_pop_n(out) } -> std::same_as<std::size_t>;
};

// A queue as the harness sees it. Made by one process or thread; `port` is called by
// each worker, in a process of its own where work says so.
template <class Q>
concept measurable = requires(Q q, const work& w, board& b, role r) {
  typename Q::value_type;
  {Q(w, b)};
  {q.port(w, r)};
};

struct worker {
  const work& job;
  board& all;
  role side;
  std::uint32_t number;  // on its side

  desk& own() const noexcept { return all.desks[side == role::producer ? number : job.producers + number]; }
  bool enough() const noexcept { return all.enough.load(std::memory_order_relaxed) != 0; }
  // Of a process with all its threads, where the worker has one.
  std::int64_t cpu_ns() const noexcept { return job.where == place::processes ? process_cpu_ns() : own_cpu_ns(); }
};

// The same, whatever its type.
class queue {
 public:
  queue() = default;
  queue(const queue&) = delete;
  queue& operator=(const queue&) = delete;
  virtual ~queue() = default;

  // Attaches, calls `begin`, and does the worker's part.
  virtual void labour(const worker& w, void (*begin)(const worker&)) = 0;

  // Of memory that it takes; 0: not known.
  virtual std::size_t bytes() const noexcept = 0;
};

// Between a try that failed and the next.
class patience {
 public:
  explicit patience(waiting how) noexcept : spins_(how == waiting::spin) {}
  void operator()() const noexcept {
    if (spins_) {
      native::relax(0);
    } else {
      ::sched_yield();
    }
  }

 private:
  bool spins_;
};

inline constexpr std::size_t most_batch = 64;
inline constexpr std::uint64_t stretch = 64;  // messages between looks at the clock on the wall
inline constexpr std::uint64_t few = 4;       // likewise, where each instruction may take 100 us: see instructions.h

// How long consumers look for messages that have been sent and do not come.
inline constexpr std::chrono::milliseconds given_up{200};

// `All`: every kind of work; else, as compiling it takes its time, only streams of single messages
// by tries, or, where there are none, by blocking calls.
template <class Port, class T, bool All>
class labourer {
 public:
  static constexpr bool tries = trying<Port, T>;
  static constexpr bool blocks = blocking<Port, T> && (All || !tries);
  static constexpr bool batches = batching<Port, T> && All;

  labourer(Port& port, const worker& w) noexcept : port_(port), w_(w), wait_(w.job.how) {}

  void work() { w_.side == role::producer ? produce() : consume(); }

 private:
  void produce() {
    while (!w_.enough()) {
      if (w_.job.what == task::idle) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      } else if (w_.job.batch > 1) {
        send_batch();
      } else {
        for (std::uint64_t i = 0; i != stretch; ++i) send(next());
      }
      w_.own().moved.store(sent_, std::memory_order_relaxed);
    }
    // The last one tells the consumers, where they would sleep for ever.
    const bool last = w_.all.producers_left.fetch_sub(1, std::memory_order_acq_rel) == 1;
    if (last && sleeps()) send_ends();
  }

  void consume() {
    if (sleeps()) {
      while (receive_one()) {
      }
    } else {
      drain();
    }
    w_.own().books = books_;
  }

  // Whether its own blocking calls are made: also by one that has no others.
  bool sleeps() const noexcept { return blocks && (w_.job.how == waiting::block || !tries); }

  mark next() noexcept { return mark_of(w_.number, sent_++); }

  void send(mark m) {
    message_.stamp(m);
    if constexpr (blocks) {
      if (sleeps()) {
        port_.push(message_);
        return;
      }
    }
    if constexpr (tries) {
      while (!port_.try_push(message_)) wait_();
    }
  }

  [[gnu::noinline]] void send_ends() {
    for (std::uint32_t i = 0; i != w_.job.consumers; ++i) send(the_end);
  }

  void send_batch() {
    if constexpr (batches) {
      for (std::size_t i = 0; i != w_.job.batch; ++i) batch_[i].stamp(next());
      std::span<const T> left(batch_.data(), w_.job.batch);
      for (;;) {
        left = left.subspan(port_.try_push_n(left));
        if (left.empty()) return;
        wait_();
      }
    }
  }

  // False: no more will come.
  bool receive_one() {
    if constexpr (blocks) {
      port_.pop(message_);
      if (message_.stamped() == the_end) return false;
      books_.enter(message_);
      if (++received_ % stretch == 0) publish();
      return true;
    }
    return false;
  }

  void drain() {
    deadline give_up = deadline::never();
    for (;;) {
      const std::uint64_t before = received_;
      if (w_.job.batch > 1) {
        receive_batch();
      } else {
        receive_some();
      }
      if (received_ != before) {
        publish();
        give_up = deadline::never();
      }
      if (received_ - before >= stretch) continue;
      if (w_.all.producers_left.load(std::memory_order_acquire) == 0) {
        if (all_arrived()) return;
        if (give_up.is_never()) give_up = deadline::after(given_up);
        if (deadline::clock::now() > give_up.when()) return;
      }
      wait_();
    }
  }

  void receive_some() {
    if constexpr (tries) {
      for (std::uint64_t i = 0; i != stretch && port_.try_pop(message_); ++i) {
        books_.enter(message_);
        ++received_;
      }
    }
  }

  void receive_batch() {
    if constexpr (batches) {
      std::size_t n = 1;
      for (std::uint64_t most = received_ + stretch; n != 0 && received_ < most; received_ += n) {
        n = port_.try_pop_n(std::span<T>(batch_.data(), w_.job.batch));
        for (std::size_t i = 0; i != n; ++i) books_.enter(batch_[i]);
      }
    }
  }

  void publish() noexcept { w_.own().moved.store(received_, std::memory_order_relaxed); }

  bool all_arrived() const noexcept {
    std::uint64_t sent = 0;
    std::uint64_t received = 0;
    for (std::uint32_t i = 0; i != w_.job.workers(); ++i) {
      (i < w_.job.producers ? sent : received) += w_.all.desks[i].moved.load(std::memory_order_relaxed);
    }
    return received >= sent;
  }

  Port& port_;
  const worker& w_;
  patience wait_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  ledger books_{};
  T message_{};
  std::array<T, most_batch> batch_{};
};

// One message at a time, there and back; the producer's side counts how long that takes.
template <class Port, class T>
class traveller {
 public:
  traveller(Port& out, Port& in, const worker& w) noexcept : out_(out), in_(in), w_(w) {}

  void work() { w_.side == role::producer ? produce() : consume(); }

  // The queue's own blocking calls, or tries without a pause.
  static constexpr bool able(waiting how) noexcept {
    return how == waiting::block ? blocking<Port, T> : how == waiting::spin && trying<Port, T>;
  }

 private:
  static constexpr std::chrono::microseconds until_asleep{100};

  void produce() {
    histogram& trips = w_.all.trips;
    for (std::uint64_t sent = 0; !w_.enough();) {
      if (w_.job.what == task::wake_up) std::this_thread::sleep_for(until_asleep);
      const mark m = mark_of(w_.number, sent);
      const std::int64_t from = monotonic_ns();
      send(m);
      receive();
      const auto took = static_cast<std::uint64_t>(monotonic_ns() - from);
      if (w_.all.warm.load(std::memory_order_relaxed) != 0) trips.add(took);
      if (message_.stamped() != m) break;  // which is found out from the books
      w_.own().moved.store(++sent, std::memory_order_relaxed);
    }
    send(the_end);
  }

  void consume() {
    ledger books;
    for (std::uint64_t received = 0; receive(), message_.stamped() != the_end;) {
      send(message_.stamped());
      books.enter(message_);
      w_.own().moved.store(++received, std::memory_order_relaxed);
    }
    w_.own().books = books;
  }

  void send(mark m) {
    message_.stamp(m);
    if constexpr (blocking<Port, T>) {
      if (w_.job.how == waiting::block) {
        out_.push(message_);
        return;
      }
    }
    if constexpr (trying<Port, T>) {
      while (!out_.try_push(message_)) {
      }
    }
  }

  void receive() {
    if constexpr (blocking<Port, T>) {
      if (w_.job.how == waiting::block) {
        in_.pop(message_);
        return;
      }
    }
    if constexpr (trying<Port, T>) {
      while (!in_.try_pop(message_)) {
      }
    }
  }

  Port& out_;
  Port& in_;
  const worker& w_;
  T message_{};
};

// What a push and a pop cost where nobody else is there. Each message is checked on the spot, as books would
// cost as much as a queue.
template <class Port, class T>
class soloist {
 public:
  soloist(Port& port, const worker& w) noexcept : port_(port), w_(w) {}

  void work() {
    for (std::uint64_t pairs = 0; !w_.enough();) {
      for (const std::uint64_t end = pairs + few; pairs != end; ++pairs) push_and_pop(mark_of(w_.number, pairs));
      w_.own().moved.store(pairs, std::memory_order_relaxed);
    }
    w_.own().books.torn = wrong_;
  }

 private:
  void push_and_pop(mark m) {
    out_.stamp(m);
    bool done = true;
    if constexpr (trying<Port, T>) {
      done = port_.try_push(out_) && port_.try_pop(in_);
    } else {
      port_.push(out_);
      port_.pop(in_);
    }
    wrong_ += done && in_.intact() && in_.stamped() == m ? 0 : 1;
  }

  Port& port_;
  const worker& w_;
  std::uint64_t wrong_ = 0;
  T out_{};
  T in_{};
};

// A queue that has no more to offer than one message's way there and back.
template <class Q>
concept only_for_trips = Q::only_for_trips;

template <measurable Q, bool All>
class measured final : public queue {
  using value = typename Q::value_type;
  using port = decltype(std::declval<Q&>().port(std::declval<const work&>(), role::producer));
  using part = labourer<port, value, All>;

 public:
  measured(const work& w, board& b) : queue_(w, b) {
    if (travels(w)) back_.emplace(w, b);
  }

  // Whether it has the calls for that.
  static constexpr bool able(const work& w) noexcept {
    if (travels(w)) return All && traveller<port, value>::able(w.how);
    if (only_for_trips<Q>) return false;
    if (w.what == task::alone) return trying<port, value> || blocking<port, value>;
    if (w.batch > 1) return part::batches;
    return w.how == waiting::block ? part::blocks : part::tries || part::blocks;
  }

  void labour(const worker& w, void (*begin)(const worker&)) override {
    const bool alone = w.job.what == task::alone;
    port own = queue_.port(w.job, alone ? role::both : w.side);
    if (alone) return carry_out(soloist<port, value>(own, w), w, begin);
    if constexpr (All) {
      if (travels(w.job)) {
        const bool first = w.side == role::producer;
        port other = back_->port(w.job, first ? role::consumer : role::producer);
        carry_out(traveller<port, value>(first ? own : other, first ? other : own, w), w, begin);
        return;
      }
    }
    carry_out(part(own, w), w, begin);
  }

  std::size_t bytes() const noexcept override {
    if constexpr (requires { queue_.bytes(); }) return queue_.bytes();
    return 0;
  }

 private:
  static constexpr bool travels(const work& w) noexcept {
    return w.what == task::round_trip || w.what == task::wake_up;
  }

  template <class Part>
  static void carry_out(Part it, const worker& w, void (*begin)(const worker&)) {
    begin(w);
    it.work();
    w.own().ended_ns = monotonic_ns();
    w.own().cpu_ns = w.cpu_ns() - w.own().cpu_ns;
  }

  Q queue_;
  std::optional<Q> back_{};
};

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_QUEUE_H_
