// Kills a process in the middle of a call, or the only sender of a channel, again and
// again, and says how long it is until one that sleeps because of it has been told.
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "millrace/boost_ring.h"
#include "millrace/broadcast.h"
#include "millrace/channel.h"
#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "millrace/mpmc_ring.h"
#include "millrace/mutex_ring.h"
#include "millrace/result.h"
#include "millrace/semaphore_ring.h"
#include "millrace/shared_ring.h"
#include "millrace/spsc_ring.h"
#include "tools/command_line.h"
#include "verify/crash/actor.h"
#include "verify/crash/halting.h"
#include "verify/races/history.h"

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

constexpr auto patience = 5s;

enum class moment : std::uint8_t {
  holding,  // a claim or a lock, with its message half written
  waking,   // its message is in the ring, and the sleeper not woken
};

// In memory that all processes share.
struct board {
  std::atomic<std::uint32_t> begin{0};     // futex: the survivor's n-th pop
  std::atomic<std::uint32_t> begun{0};     // about to call
  std::atomic<std::uint32_t> finished{0};  // futex
  clock::time_point when{};                // it finished
  std::atomic<std::uint32_t> attached{0};  // futex: the victim
  std::atomic<std::uint32_t> go{0};        // futex: it shall push
  std::atomic<std::uint32_t> caught{0};    // futex: the victim is where it shall be killed
  std::atomic<bool> missed{false};         // or past it
};

void await_change(const std::atomic<std::uint32_t>& word, std::uint32_t wanted, const char* who) {
  const deadline until = deadline::after(patience);
  for (std::uint32_t now = word.load(); now != wanted; now = word.load()) {
    if (futex_wait(word, now, until) == wait_result::timed_out) throw std::runtime_error(std::string(who) + " hangs");
  }
}

void set(std::atomic<std::uint32_t>& word, std::uint32_t value) {
  word.store(value);
  futex_wake_all(word);
}

class process {
 public:
  explicit process(const std::function<void()>& body) : pid_(::fork()) {
    if (pid_ < 0) throw std::runtime_error(std::string("cannot fork: ") + std::strerror(errno));
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    ::_exit(1);
  }
  process(const process&) = delete;
  process& operator=(const process&) = delete;
  ~process() {
    kill();
    ::waitpid(pid_, nullptr, 0);
  }

  pid_t pid() const { return pid_; }
  void kill() const { ::kill(pid_, SIGKILL); }

 private:
  pid_t pid_;
};

template <class T>
T need(result<T> r) {
  if (!r) throw std::runtime_error(r.error().message);
  return *std::move(r);
}

struct shared_board {
  shared_board()
      : at(static_cast<board*>(
            ::mmap(nullptr, sizeof(board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0))) {
    if (at == MAP_FAILED) throw std::bad_alloc();
    std::construct_at(at);
  }
  shared_board(const shared_board&) = delete;
  shared_board& operator=(const shared_board&) = delete;
  ~shared_board() { ::munmap(at, sizeof(board)); }
  board* operator->() const { return at; }

  void await_sleep(pid_t survivor, std::uint32_t turn) const {
    const deadline until = deadline::after(patience);
    while (at->begun != turn || !asleep(survivor)) {
      if (deadline::clock::now() > until.when()) throw std::runtime_error("the survivor does not sleep");
      std::this_thread::sleep_for(20us);
    }
  }

  double stall_since(clock::time_point killed) const {
    return std::chrono::duration<double, std::micro>(at->when - killed).count();
  }

  board* at;
};

template <class Ring>
class stage {
 public:
  stage() : segment_(create()), mine_(need(segment_.attach())) {}

  // Microseconds from each kill to the survivor's message.
  std::vector<double> stalls(moment how, std::uint32_t kills) {
    const process survivor([&] { survive(); });
    std::vector<double> all;
    for (std::uint32_t turn = 1; all.size() != kills; ++turn) {
      if (const auto stall = one(how, turn, survivor.pid())) all.push_back(*stall);
    }
    std::ranges::sort(all);
    return all;
  }

 private:
  static constexpr bool locks = Ring::kind == "mutex_ring" || Ring::kind == "semaphore_ring";

  static shared_ring<Ring> create() {
    return need(shared_ring<Ring>::create(location::anonymous(), {.capacity = 4, .members = 8}));
  }

  // The message that the victim keeps from the survivor is its own, or one behind its
  // claim, or under its lock. Nothing if it did not come to that.
  std::optional<double> one(moment how, std::uint32_t turn, pid_t survivor) {
    const bool holding = how == moment::holding;
    const process victim([&] { be_caught(how, turn); });
    await_change(board_->attached, turn, "the victim");
    if (holding && locks) push();
    if (!holding) let_sleep(survivor, turn);
    set(board_->go, turn);
    await_change(board_->caught, turn, "the victim");
    if (holding && !locks) push();
    if (holding) let_sleep(survivor, turn);
    const auto killed = clock::now();
    victim.kill();
    await_change(board_->finished, turn, "the survivor");
    if (board_->missed.exchange(false)) return std::nullopt;
    return board_.stall_since(killed);
  }

  void let_sleep(pid_t survivor, std::uint32_t turn) {
    set(board_->begin, turn);
    board_.await_sleep(survivor, turn);
  }

  void push() {
    if (mine_.try_push({}) != status::ok) throw std::runtime_error("a push into a ring with room fails");
  }

  void survive() {
    auto ring = need(segment_.attach());
    races::parcel m;
    for (std::uint32_t turn = 1;; ++turn) {
      await_change(board_->begin, turn, "the director");
      board_->begun = turn;
      if (ring.pop(m) != status::ok) return;
      board_->when = clock::now();
      set(board_->finished, turn);
    }
  }

  void be_caught(moment how, std::uint32_t turn) {
    auto ring = need(segment_.attach());
    set(board_->attached, turn);
    await_change(board_->go, turn, "the director");
    (how == moment::holding ? halting::at_message : halting::at_wake) = [&, turn] {
      if (::gettid() != ::getpid()) return;  // the keeper
      set(board_->caught, turn);
      for (;;) ::pause();
    };
    (void)ring.try_push({});
    // An alarm for the last death has just woken the survivor.
    board_->missed = true;
    set(board_->caught, turn);
    for (;;) ::pause();
  }

  shared_board board_;
  shared_ring<Ring> segment_;
  typename shared_ring<Ring>::handle mine_;
};

// Microseconds from each death of a channel's only sender until its sleeping receiver
// has been told `closed`. The end is for good: each death has a channel of its own.
template <class Channel>
std::vector<double> endings(std::uint32_t kills) {
  constexpr std::uint64_t room = Channel::kind.starts_with("rendezvous") ? 0 : 4;
  const shared_board board;
  std::vector<double> all;
  for (std::uint32_t turn = 1; turn <= kills; ++turn) {
    auto made = need(Channel::create(location::anonymous(), {.capacity = room, .members = 2}));
    const process sender([&] {
      const auto out = need(made.attach_sender());
      set(board->attached, turn);
      for (;;) ::pause();
    });
    await_change(board->attached, turn, "the sender");
    const process receiver([&] {
      auto in = need(made.attach_receiver());
      races::parcel m;
      board->begun = turn;
      if (in.pop(m) != status::closed) return;
      board->when = clock::now();
      set(board->finished, turn);
    });
    board.await_sleep(receiver.pid(), turn);
    const auto killed = clock::now();
    sender.kill();
    await_change(board->finished, turn, "the receiver");
    all.push_back(board.stall_since(killed));
  }
  std::ranges::sort(all);
  return all;
}

double share(const std::vector<double>& sorted, double part) {
  return sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
}

void print(std::string_view kind, std::string_view killed, const std::vector<double>& all) {
  fmt::print("{:<16} {:<11} {:>8} {:>8.0f} {:>8.0f} {:>8.0f}\n", kind.substr(0, kind.find(' ')), killed, all.size(),
             share(all, 0.5), share(all, 0.99), share(all, 1));
  std::fflush(stdout);
}

template <class Ring>
void measure(std::uint32_t kills, moment how) {
  print(Ring::kind, how == moment::holding ? "holding" : "waking", stage<Ring>().stalls(how, kills));
}

template <class Channel>
void measure_end(std::uint32_t kills) {
  print(Channel::kind, "only sender", endings<Channel>(kills));
}

int stall(int argc, char** argv) {
  command_line line(
      "stall",
      "Kills a producer in mid-push, again and again, and measures how long it is until a sleeping consumer has the\n"
      "message that this kept from it; and a channel's only sender, until its sleeping receiver has been told of the\n"
      "end. In microseconds, from just before the kill.",
      "Exit status: 0; 1 if somebody hangs; 2 for bad input.");
  std::uint32_t kills = 1000;
  line.number("--kills", kills, 1, 1'000'000, "for each row");
  if (const auto status = line.parse(argc, argv)) return *status;
  using races::parcel;
  fmt::print("{:<16} {:<11} {:>8} {:>8} {:>8} {:>8}\n", "ring", "killed", "times", "median", "99%", "longest");
  measure<mutex_ring<parcel, halting>>(kills, moment::holding);
  measure<semaphore_ring<parcel, halting>>(kills, moment::holding);
  measure<mpmc_ring<parcel, halting>>(kills, moment::holding);
  measure<spsc_ring<parcel, halting>>(kills, moment::waking);  // it holds nothing
  measure<mutex_ring<parcel, halting>>(kills, moment::waking);
  measure<semaphore_ring<parcel, halting>>(kills, moment::waking);
  measure<mpmc_ring<parcel, halting>>(kills, moment::waking);
  measure_end<channel<parcel, spsc_ring<parcel>>>(kills);
  measure_end<channel<parcel, mutex_ring<parcel>>>(kills);
  measure_end<channel<parcel, semaphore_ring<parcel>>>(kills);
  measure_end<channel<parcel>>(kills);
  measure_end<channel<parcel, boost_ring<parcel>>>(kills);
  measure_end<rendezvous<parcel>>(kills);
  measure_end<broadcast<parcel>>(kills);
  return 0;
}

}  // namespace
}  // namespace millrace::crash

int main(int argc, char** argv) try { return millrace::crash::stall(argc, argv); } catch (const std::exception& e) {
  std::fprintf(stderr, "stall: %s\n", e.what());
  return 1;
}
