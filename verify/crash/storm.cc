#include "verify/crash/storm.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <random>
#include <span>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/platform.h"

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr std::uint64_t slots = 8;         // of the ring: full and empty all the time
constexpr std::uint32_t places = 8;        // far fewer than there will be dead
constexpr std::uint32_t most_at_once = 3;  // messages in a batch
constexpr auto round_time = 500ms;
constexpr auto patience = 5s;
constexpr auto watch_time = 5ms;  // for a stall, at most

constexpr std::uint32_t most_senders = 1u << 13;   // in a round
constexpr std::uint32_t most_receipts = 1u << 20;  // in a round, of one consumer
constexpr std::uint32_t enough_receipts = most_receipts / 2;

// What one worker writes. Its successor goes on behind it.
struct alignas(line_bytes) post {
  std::atomic<std::uint64_t> calls{0};       // finished
  std::atomic<std::uint32_t> count{0};       // consumer: receipts in its log
  std::array<parcel, most_at_once> hands{};  // consumer: where its pops put messages
};

// Of one producer, from its first message to its death.
struct ledger {
  std::atomic<std::uint32_t> begun{0};
  std::atomic<std::uint32_t> committed{0};
};

enum class role : std::uint8_t { producer, consumer, closer, drainer };
constexpr std::uint32_t most_posts = 5;  // two producers, two consumers, and the one who drains

// In a shared mapping of zeros.
struct notes {
  std::atomic<std::uint32_t> enough{0};  // producers shall end
  std::array<post, most_posts> posts{};
  std::array<ledger, most_senders> senders{};
  std::array<std::array<receipt, most_receipts>, most_posts> logs;  // left unwritten until used
};

class shared_notes {
 public:
  shared_notes()
      : at_(::mmap(nullptr, sizeof(notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {
    if (at_ == MAP_FAILED) throw std::bad_alloc();
  }
  shared_notes(const shared_notes&) = delete;
  shared_notes& operator=(const shared_notes&) = delete;
  ~shared_notes() { ::munmap(at_, sizeof(notes)); }

  notes* operator->() const { return static_cast<notes*>(at_); }
  notes& operator*() const { return *static_cast<notes*>(at_); }

 private:
  void* at_;
};

struct task {
  role what = role::producer;
  std::uint32_t post = 0;      // whose notes it continues
  std::uint32_t sender = 0;    // producer
  std::uint64_t messages = 0;  // seed of this round's messages
  std::uint64_t choices = 0;   // seed of what it does
};

constexpr int could_not_attach = 3;
constexpr int call_failed = 4;

constexpr std::uint32_t closer = 0;  // as sender: whoever gets one of its messages ends

class worker {
 public:
  worker(seat& ring, notes& all, const task& t)
      : ring_(ring), notes_(all), task_(t), post_(all.posts[t.post]), choose_(t.choices) {}

  int work() {
    switch (task_.what) {
      case role::producer:
        return produce();
      case role::consumer:
        return consume();
      case role::closer:
        return send(1, true) == status::ok ? 0 : call_failed;
      case role::drainer:
        return drain();
    }
    return call_failed;
  }

 private:
  int produce() {
    while (notes_.enough.load(std::memory_order_relaxed) == 0) {
      const auto n = static_cast<std::uint32_t>(choose_() % 8 == 0 ? most_at_once : 1);
      const status s = send(n, choose_() % 2 == 0);
      if (s != status::ok && !would_block(s)) return call_failed;
    }
    return 0;
  }

  // It is noted before the call what may go out, and after it what has.
  status send(std::uint32_t n, bool blocking) {
    ledger& mine = notes_.senders[task_.sender];
    const std::uint32_t done = mine.committed.load(std::memory_order_relaxed);
    std::array<parcel, most_at_once> m;
    for (std::uint32_t i = 0; i != n; ++i) m[i] = races::pack(task_.sender, done + i, task_.messages);
    mine.begun.store(done + n, std::memory_order_release);
    batch_result r;
    if (n == 1) {
      const bool in_place = choose_() % 4 == 0;
      if (in_place && !blocking) ring_.withdraw();
      r.why = in_place   ? ring_.reserve(m[0], deadline::never())
              : blocking ? ring_.push(m[0], deadline::never())
                         : ring_.try_push(m[0]);
      r.count = r.why == status::ok ? 1 : 0;
    } else {
      const std::span<const parcel> all(m.data(), n);
      r = blocking ? ring_.push_n(all) : ring_.try_push_n(all);
    }
    const auto sent = static_cast<std::uint32_t>(r.count);
    mine.committed.store(done + sent, std::memory_order_release);
    mine.begun.store(done + sent, std::memory_order_release);
    post_.calls.fetch_add(1, std::memory_order_relaxed);
    return r.why;
  }

  int consume() {
    for (;;) {
      const bool blocking = choose_() % 2 == 0;
      const bool many = choose_() % 8 == 0;
      parcel& one = post_.hands[0];
      const popped p = many                 ? (blocking ? ring_.pop_n(post_.hands) : ring_.try_pop_n(post_.hands))
                       : choose_() % 4 == 0 ? ring_.peek(one, deadline::never())
                                            : (blocking ? ring_.pop(one, deadline::never()) : ring_.try_pop(one));
      if (p.why != status::ok && !would_block(p.why)) return call_failed;
      if (note(p)) return 0;
    }
  }

  // Whether a farewell was among them.
  bool note(const popped& p) {
    bool farewell = false;
    std::uint32_t count = post_.count.load(std::memory_order_relaxed);
    for (std::size_t i = 0; i != p.count && count != most_receipts; ++i) {
      const receipt r = receipt_of(post_.hands[i], p.redelivered, task_.messages);
      farewell = farewell || r.producer == closer;
      notes_.logs[task_.post][count++] = r;
    }
    post_.count.store(count, std::memory_order_release);
    post_.calls.fetch_add(1, std::memory_order_relaxed);
    return farewell;
  }

  int drain() {
    const deadline until = deadline::after(patience);
    for (unsigned turn = 0;; ++turn) {
      const popped p = ring_.try_pop(post_.hands[0]);
      if (p.why == status::empty) return 0;
      if (p.why != status::ok && (p.why != status::busy || deadline::clock::now() >= until.when())) return call_failed;
      (void)note(p);
      native::relax(turn);
    }
  }

  seat& ring_;
  notes& notes_;
  const task& task_;
  post& post_;
  std::minstd_rand choose_;
};

std::string describe_end(int how) {
  if (WIFSIGNALED(how)) return fmt::format("was killed by signal {}", WTERMSIG(how));
  if (WEXITSTATUS(how) == could_not_attach) return "found no free place at the ring";
  if (WEXITSTATUS(how) == call_failed) return "made a call that failed on an open ring";
  return fmt::format("ended with status {}", WEXITSTATUS(how));
}

class storm {
 public:
  explicit storm(const weather& w) : weather_(w), random_(w.seed), side_(w.ring->one_to_one ? 1 : 2) {
    ring_options options = w.ring->options;
    options.capacity = w.ring->rendezvous ? 0 : slots;
    options.members = places * w.ring->places;
    options.keep_open = true;  // at the end of a round nobody is there
    auto made = w.ring->create(location::anonymous(), options);
    if (!made) throw std::runtime_error(made.error().message);
    ring_ = *std::move(made);
  }
  storm(const storm&) = delete;
  storm& operator=(const storm&) = delete;
  ~storm() {
    for (hand& h : hands_) end(h);
  }

  toll rage(const std::function<void(const toll&)>& progress) {
    const auto until = clock::now() + std::chrono::duration_cast<clock::duration>(weather_.length);
    while (clock::now() < until && toll_.hung.empty()) one_round(until, progress);
    return std::move(toll_);
  }

 private:
  // A process of ours.
  struct hand {
    task todo{};
    pid_t pid = -1;
  };

  // The round's books are closed when its messages have all been received. The
  // ring is the same from the first round to the last.
  void one_round(clock::time_point until, const std::function<void(const toll&)>& progress) {
    notes_.emplace();
    in_hands_.clear();
    senders_ = closer + 1;
    const std::uint64_t seed = random_();
    hands_.clear();
    for (std::uint32_t i = 0; i != 2 * side_; ++i) {
      hands_.push_back({.todo = {.what = i < side_ ? role::producer : role::consumer, .post = i, .messages = seed}});
    }
    for (hand& h : hands_) start(h);

    const auto end_of_round = std::min(until, clock::now() + round_time);
    while (clock::now() < end_of_round && senders_ + 8 < most_senders && !logs_are_full() && toll_.hung.empty()) {
      std::this_thread::sleep_for(std::chrono::microseconds(500 + random_() % 4000));
      kill_one(hands_[random_() % hands_.size()]);
      progress(toll_);
    }
    finish(seed);
    close_books();
  }

  bool logs_are_full() const {
    return std::ranges::any_of((*notes_)->posts, [](const post& p) { return p.count.load() >= enough_receipts; });
  }

  void start(hand& h) {
    if (h.todo.what == role::producer) h.todo.sender = senders_++;
    h.todo.choices = random_();
    const pid_t me = ::getpid();
    h.pid = ::fork();
    if (h.pid < 0) throw std::runtime_error(std::string("cannot fork: ") + std::strerror(errno));
    if (h.pid != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != me) ::_exit(1);  // it died before the call
    const auto ring = ring_->attach();
    if (ring == nullptr) ::_exit(could_not_attach);
    ::_exit(worker(*ring, **notes_, h.todo).work());
  }

  static void end(hand& h) {
    if (h.pid <= 0) return;
    ::kill(h.pid, SIGKILL);
    ::waitpid(h.pid, nullptr, 0);
    h.pid = -1;
  }

  void kill_one(hand& h) {
    int how = 0;
    if (::waitpid(h.pid, &how, WNOHANG) == h.pid) {
      h.pid = -1;
      toll_.hung.push_back(fmt::format("{} {}", name(h), describe_end(how)));
      return;
    }
    const auto before = clock::now();
    end(h);
    ++toll_.kills;
    const bool consumer = h.todo.what == role::consumer;
    for (const parcel& m : (*notes_)->posts[h.todo.post].hands) {
      if (consumer) in_hands_.push_back(receipt_of(m, false, h.todo.messages));
    }
    // The only one of its side is missed at once: the stall is the time till it is replaced.
    if (side_ == 1) start(h);
    watch(before);
    if (side_ != 1) start(h);
  }

  std::uint64_t calls() const {
    std::uint64_t sum = 0;
    for (const post& p : (*notes_)->posts) sum += p.calls.load(std::memory_order_relaxed);
    return sum;
  }

  // How long, at a stretch, no call is finished from the kill on, until the
  // survivors have been round the ring, where they meet whatever the dead one left.
  void watch(clock::time_point killed) {
    auto last = killed;
    auto longest = clock::duration::zero();
    std::uint64_t seen = calls();
    const std::uint64_t enough = seen + 4 * slots;
    while (seen < enough) {
      std::this_thread::sleep_for(20us);
      const auto now = clock::now();
      longest = std::max(longest, now - last);
      if (const std::uint64_t n = calls(); n != seen) {
        seen = n;
        last = now;
        if (now - killed > watch_time) break;
      }
      if (now - last > patience) {
        toll_.hung.push_back(fmt::format("nobody finishes a call any more, {} kills into the storm", toll_.kills));
        return;
      }
    }
    toll_.stalls.push_back(std::chrono::duration<double, std::micro>(longest).count());
  }

  // Whether one of the role ended by itself, and well.
  bool one_ended(role r) {
    const auto until = clock::now() + patience;
    for (;;) {
      for (hand& h : hands_) {
        int how = 0;
        if (h.todo.what != r || h.pid <= 0 || ::waitpid(h.pid, &how, WNOHANG) != h.pid) continue;
        h.pid = -1;
        if (how != 0) toll_.hung.push_back(fmt::format("{} {}", name(h), describe_end(how)));
        return how == 0;
      }
      if (clock::now() >= until) break;
      std::this_thread::sleep_for(100us);
    }
    for (const hand& h : hands_) {
      if (h.todo.what == r && h.pid > 0) toll_.hung.push_back(fmt::format("{} does not end", name(h)));
    }
    return false;
  }

  std::string name(const hand& h) const {
    switch (h.todo.what) {
      case role::producer:
        return fmt::format("producer {}", h.todo.sender);
      case role::consumer:
        return fmt::format("consumer {}", h.todo.post - side_ + 1);
      case role::closer:
        return "the one who says farewell";
      case role::drainer:
        break;
    }
    return "the one who drains";
  }

  // Producers end, consumers are told to, and what is still there is drained. Each
  // consumer is told when the last one has ended: a batch could take two farewells.
  void finish(std::uint64_t seed) {
    (*notes_)->enough.store(1, std::memory_order_relaxed);
    if (!toll_.hung.empty()) return;
    for (std::uint32_t i = 0; i != side_; ++i) {
      if (!one_ended(role::producer)) return;
    }
    for (std::uint32_t i = 0; i != side_; ++i) {
      if (!one_more(role::closer, seed) || !one_ended(role::consumer)) return;
    }
    (void)one_more(role::drainer, seed);
  }

  bool one_more(role r, std::uint64_t seed) {
    hands_.push_back({.todo = {.what = r, .post = most_posts - 1, .messages = seed}});
    start(hands_.back());
    return one_ended(r);
  }

  void close_books() {
    for (hand& h : hands_) end(h);
    books b;
    for (std::uint32_t i = 0; i != senders_; ++i) {
      const ledger& l = (*notes_)->senders[i];
      b.senders.push_back({l.begun.load(), l.committed.load()});
    }
    for (std::uint32_t i = 0; i != most_posts; ++i) {
      const auto& log = (*notes_)->logs[i];
      const std::uint32_t count = (*notes_)->posts[i].count.load();
      b.received.emplace_back(log.begin(), log.begin() + count);
      toll_.received += count;
    }
    b.in_hands = in_hands_;
    // After a hang nobody has drained the ring: what is missing may still be in it.
    balance round = settle(b);
    if (!toll_.hung.empty()) round.lost = 0;
    toll_.sum += round;
  }

  const weather& weather_;
  std::mt19937_64 random_;
  std::uint32_t side_;  // producers, and consumers
  std::unique_ptr<segment> ring_;
  std::optional<shared_notes> notes_;
  std::vector<hand> hands_;
  std::vector<receipt> in_hands_;
  std::uint32_t senders_ = 0;
  toll toll_;
};

}  // namespace

toll rage(const weather& w, const std::function<void(const toll&)>& progress) {
  ::prctl(PR_SET_TIMERSLACK, 1);  // a stall is measured to some 20 microseconds
  return storm(w).rage(progress);
}

}  // namespace millrace::crash
