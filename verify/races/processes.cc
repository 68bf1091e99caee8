#include "verify/races/processes.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "verify/races/jostled.h"

namespace millrace::races {

struct alignas(line_bytes) counter {
  std::atomic<std::uint64_t> value{0};  // written by one process
};

struct notebook::control {
  std::atomic<std::uint32_t> started{0};         // futex: set once, by the parent
  std::atomic<std::uint32_t> enough{0};          // set by the parent when the time is up
  std::atomic<std::uint32_t> producers_left{0};  // see channel
};

namespace {

using clock = std::chrono::steady_clock;

// Time is counted in ticks that passed while this process ran, so that one which
// was stopped with its children (Ctrl-Z) does not take the pause for a hang.
constexpr std::chrono::milliseconds tick{100};
constexpr unsigned patience = 20;  // ticks without a message sent or received

// Ticks for what is in the ring when sending has ended, and for the processes to end.
// Many: on a busy machine a process that has all done may wait seconds for a core.
unsigned time_to_drain(const plan& p) { return 5 * patience + static_cast<unsigned>(p.ends.capacity / 4096); }

// Duplicates make arrivals outnumber departures; a consumer whose notes are full stops.
std::uint64_t arrivals_room(std::uint64_t items, std::uint32_t producers) { return 2 * items * producers + 65536; }

constexpr std::size_t control_bytes = line_bytes;
static_assert(sizeof(notebook::control) <= control_bytes);

std::size_t notebook_bytes(const plan& p) {
  const std::size_t workers = p.ends.producers + p.ends.consumers;
  return control_bytes + workers * sizeof(counter) + p.ends.producers * p.items * sizeof(departure) +
         p.ends.consumers * arrivals_room(p.items, p.ends.producers) * sizeof(arrival);
}

counter* counters(std::byte* base) { return reinterpret_cast<counter*>(base + control_bytes); }

std::uint64_t now_ns() {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now().time_since_epoch()).count());
}

constexpr int could_not_attach = 3;
constexpr int push_failed = 4;

int produce(port& ring, std::uint32_t me, const plan& p, const notebook& notes, std::atomic<std::uint64_t>& sent) {
  const auto log = notes.departures(me);
  for (std::uint64_t i = 0; i != p.items && notes.shared().enough.load(std::memory_order_relaxed) == 0; ++i) {
    if (ring.push(pack(me, i, p.seed)) != status::ok) return push_failed;
    log[i] = {ring.last_slot(), now_ns()};
    sent.store(i + 1, std::memory_order_release);
  }
  ring.finish();
  return 0;
}

int consume(port& ring, std::uint32_t me, const plan& p, const notebook& notes, std::atomic<std::uint64_t>& received) {
  const auto log = notes.arrivals(me);
  parcel m;
  for (std::uint64_t i = 0; i != log.size() && ring.pop(m); ++i) {
    log[i] = {arrival::nobody, 0};
    if (intact(m, p.seed)) log[i] = {static_cast<std::uint32_t>(m.producer), static_cast<std::uint32_t>(m.sequence)};
    received.store(i + 1, std::memory_order_release);
  }
  return 0;
}

int work(channel& ring, std::uint32_t worker, const plan& p, const notebook& notes, std::atomic<std::uint64_t>& done) {
  auto& shared = notes.shared();
  const bool producer = worker < p.ends.producers;
  const std::uint32_t me = producer ? worker : worker - p.ends.producers;
  const auto end = producer ? ring.produce(me, shared.producers_left) : ring.consume(me, shared.producers_left);
  if (end == nullptr) return could_not_attach;
  jostled::seed(p.seed + worker);
  while (shared.started.load(std::memory_order_acquire) == 0) futex_wait(shared.started, 0, deadline::never());
  return producer ? produce(*end, me, p, notes, done) : consume(*end, me, p, notes, done);
}

// What ends a run early, except what the caller was started to ignore (nohup).
sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  for (const int s : {SIGINT, SIGQUIT, SIGTERM, SIGHUP}) {
    struct sigaction now {};
    sigaction(s, nullptr, &now);
    if (now.sa_handler != SIG_IGN) sigaddset(&set, s);
  }
  return set;
}

// Blocked, so that they are waited for instead of handled.
class blocked_signals {
 public:
  blocked_signals() {
    signal(SIGCHLD, SIG_DFL);  // a parent that ignored it has passed that on: children would not be there to wait for
    sigprocmask(SIG_BLOCK, &watched_, &before_);
  }
  blocked_signals(const blocked_signals&) = delete;
  blocked_signals& operator=(const blocked_signals&) = delete;
  ~blocked_signals() { sigprocmask(SIG_SETMASK, &before_, nullptr); }

  // The next of them, or -1 after one tick without.
  int next() const {
    const timespec wait{0, std::chrono::nanoseconds(tick).count()};
    return sigtimedwait(&watched_, nullptr, &wait);
  }

 private:
  const sigset_t watched_ = watched_signals();
  sigset_t before_{};
};

// The children of one run; none outlives it.
class family {
 public:
  explicit family(const plan& p) : producers_(p.ends.producers) {}
  family(const family&) = delete;
  family& operator=(const family&) = delete;
  ~family() { kill_all(); }

  void add(pid_t child, std::uint32_t worker) { living_.push_back({child, worker}); }
  bool empty() const { return living_.empty(); }

  // Buries those that have ended; says how one ended badly.
  std::string reap() {
    std::string bad;
    std::erase_if(living_, [&](const member& m) {
      int how = 0;
      if (waitpid(m.pid, &how, WNOHANG) != m.pid) return false;
      if (WIFSIGNALED(how)) {
        bad =
            name(m) + " was killed by signal " + std::to_string(WTERMSIG(how)) + " (" + strsignal(WTERMSIG(how)) + ")";
      }
      if (WIFEXITED(how) && WEXITSTATUS(how) == could_not_attach) bad = name(m) + " could not attach to the ring";
      if (WIFEXITED(how) && WEXITSTATUS(how) == push_failed) bad = name(m) + "'s push failed on an open ring";
      return true;
    });
    return bad;
  }

  // "producer 2 after 17 messages, consumer 1 after 5 messages"
  std::string still_there(const notebook& notes) const {
    std::string all;
    for (const member& m : living_) {
      if (!all.empty()) all += ", ";
      all += name(m) + " after " + std::to_string(notes.done(m.worker).load(std::memory_order_relaxed)) + " messages";
    }
    return all;
  }

  void kill_all() {
    for (const member& m : living_) kill(m.pid, SIGKILL);
    for (const member& m : living_) waitpid(m.pid, nullptr, 0);
    living_.clear();
  }

 private:
  struct member {
    pid_t pid;
    std::uint32_t worker;
  };

  std::string name(const member& m) const {
    if (m.worker < producers_) return "producer " + std::to_string(m.worker + 1);
    return "consumer " + std::to_string(m.worker - producers_ + 1);
  }

  std::uint32_t producers_;
  std::vector<member> living_;
};

}  // namespace

notebook::notebook(void* base, std::size_t bytes, const plan& p)
    : base_(static_cast<std::byte*>(base)),
      bytes_(bytes),
      producers_(p.ends.producers),
      consumers_(p.ends.consumers),
      items_(p.items) {}

notebook::notebook(notebook&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      bytes_(other.bytes_),
      producers_(other.producers_),
      consumers_(other.consumers_),
      items_(other.items_) {}

notebook::~notebook() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

result<notebook> notebook::create(const plan& p) {
  const std::size_t bytes = notebook_bytes(p);
  // Not reserved: few runs write as much as they might.
  void* const base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (base == MAP_FAILED) {
    return error{errc::no_space, errno, "notes",
                 "no memory for " + std::to_string(bytes) + " bytes of notes; ask for fewer --items"};
  }
  notebook notes(base, bytes, p);
  std::construct_at(&notes.shared())->producers_left.store(p.ends.producers, std::memory_order_relaxed);
  for (std::uint32_t i = 0; i != p.ends.producers + p.ends.consumers; ++i) {
    std::construct_at(counters(notes.base_) + i);
  }
  return notes;
}

notebook::control& notebook::shared() const { return *reinterpret_cast<control*>(base_); }

std::atomic<std::uint64_t>& notebook::done(std::uint32_t worker) const { return counters(base_)[worker].value; }

std::span<departure> notebook::departures(std::uint32_t producer) const {
  auto* const all = reinterpret_cast<departure*>(counters(base_) + producers_ + consumers_);
  return {all + producer * items_, items_};
}

std::span<arrival> notebook::arrivals(std::uint32_t consumer) const {
  auto* const all = reinterpret_cast<arrival*>(departures(producers_).data());
  const std::uint64_t room = arrivals_room(items_, producers_);
  return {all + consumer * room, room};
}

std::uint64_t notebook::sent(std::uint32_t producer) const { return done(producer).load(std::memory_order_acquire); }

std::uint64_t notebook::received(std::uint32_t consumer) const {
  return done(producers_ + consumer).load(std::memory_order_acquire);
}

std::uint64_t notebook::total_sent() const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i != producers_; ++i) sum += sent(i);
  return sum;
}

std::uint64_t notebook::total_received() const {
  std::uint64_t sum = 0;
  for (std::uint32_t i = 0; i != consumers_; ++i) sum += received(i);
  return sum;
}

history notebook::read() const {
  history h;
  for (std::uint32_t i = 0; i != producers_; ++i) {
    h.sent.push_back(sent(i));
    h.pushed.emplace_back(departures(i).first(sent(i)));
  }
  for (std::uint32_t i = 0; i != consumers_; ++i) h.received.emplace_back(arrivals(i).first(received(i)));
  return h;
}

result<done> rehearse(const contender& ring, const plan& p) {
  const blocked_signals signals;  // none may end this process while the ring has a name
  if (const auto made = ring.create(p.ends, p.name); !made) return made.error();
  return done{};
}

result<outcome> run(const contender& ring, const plan& p, const std::function<void(const notebook&)>& progress) {
  auto notes = notebook::create(p);
  if (!notes) return notes.error();
  const blocked_signals signals;  // none may end this process while the ring has a name
  const auto made = ring.create(p.ends, p.name);
  if (!made) return made.error();

  outcome o{.notes = *std::move(notes)};
  family children(p);
  const pid_t parent = getpid();
  for (std::uint32_t i = 0; i != p.ends.producers + p.ends.consumers; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      // Ctrl-C reaches every process of the terminal: here it stays blocked, and the parent decides.
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != parent) _exit(0);  // it died before the call
      _exit(work(**made, i, p, o.notes, o.notes.done(i)));
    }
    if (child < 0) {
      return error{errc::limit, errno, "processes",
                   std::string("cannot fork (") + std::strerror(errno) + "); ask for fewer --producers or --consumers"};
    }
    children.add(child, i);
  }

  const auto begun = clock::now();
  o.notes.shared().started.store(1, std::memory_order_release);
  futex_wake_all(o.notes.shared().started);

  std::uint64_t seen = 0;
  unsigned idle = 0;      // ticks since a message was sent or received
  unsigned overtime = 0;  // ticks since sending was told to end
  while (!children.empty()) {
    const int got = signals.next();
    if (got > 0 && got != SIGCHLD) {
      o.interrupted = got;
      children.kill_all();
      break;
    }
    if (std::string bad = children.reap(); !bad.empty()) {
      o.died = std::move(bad);
      children.kill_all();
      break;
    }
    if (got == SIGCHLD) continue;
    const std::uint64_t moved = o.notes.total_sent() + o.notes.total_received();
    idle = moved == seen ? idle + 1 : 0;
    seen = moved;
    if (clock::now() - begun > p.most) {
      o.notes.shared().enough.store(1, std::memory_order_relaxed);
      ++overtime;
    }
    if (idle > patience) o.hung = "nothing moved for 2 s: " + children.still_there(o.notes);
    if (idle <= patience && overtime > time_to_drain(p)) {
      o.hung = "did not end when told to: " + children.still_there(o.notes);
    }
    if (!o.hung.empty()) {
      children.kill_all();
      break;
    }
    progress(o.notes);
  }
  o.took = clock::now() - begun;
  return o;
}

}  // namespace millrace::races
