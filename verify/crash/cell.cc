#include "verify/crash/cell.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <initializer_list>
#include <new>
#include <stdexcept>
#include <thread>
#include <unordered_map>
#include <utility>

#include "millrace/deadline.h"
#include "verify/crash/accounts.h"

namespace millrace::crash {
namespace {

using namespace std::chrono_literals;

constexpr std::array table{
    operation{"try_push", verb::try_push},
    operation{"try_pop", verb::try_pop},
    operation{"push", verb::push},
    operation{"pop", verb::pop},
    operation{"try_push_n", verb::try_push_n, batch},
    operation{"try_pop_n", verb::try_pop_n, batch},
    operation{"push_n", verb::push_n, batch},
    operation{"pop_n", verb::pop_n, batch},
    operation{"push+sleeper", verb::push, 1, true},
    operation{"pop+sleeper", verb::pop, 1, true},
    operation{"push_n+sleeper", verb::push_n, batch, true},
    operation{"pop_n+sleeper", verb::pop_n, batch, true},
    operation{"reserve", verb::reserve},
    operation{"withdraw", verb::withdraw},
    operation{"peek", verb::peek},
    operation{"reserve+sleeper", verb::reserve, 1, true},
    operation{"peek+sleeper", verb::peek, 1, true},
    operation{"select_push", verb::select_push},
    operation{"select_pop", verb::select_pop},
    operation{"close", verb::close},
    operation{"close+sleeper", verb::close, 1, true},
    operation{"join", verb::join},
    operation{"leave", verb::leave},
    operation{.name = "keeper-joins", .what = verb::join_again, .by_keeper = true},
    operation{.name = "keeper-leaves", .what = verb::leave_again, .by_keeper = true},
    operation{.name = "keeper-settles-push", .what = verb::join_again, .dead = verb::try_push, .by_keeper = true},
    operation{.name = "keeper-settles-pop", .what = verb::join_again, .dead = verb::try_pop, .by_keeper = true},
    operation{.name = "create", .what = verb::create},
    operation{.name = "create_sysv", .what = verb::create, .sysv = true},
    operation{.name = "drain-after-push", .what = verb::drain, .dead = verb::try_push},
    operation{.name = "drain-after-pop", .what = verb::drain, .dead = verb::try_pop},
    operation{.name = "drain-after-reserve", .what = verb::drain, .dead = verb::reserve},
    operation{.name = "drain-after-peek", .what = verb::drain, .dead = verb::peek},
    operation{.name = "peek-after-pop", .what = verb::peek, .dead = verb::try_pop},
    operation{.name = "push-after-pop", .what = verb::try_push, .dead = verb::try_pop},
};

bool pushes(verb v) {
  return v == verb::try_push || v == verb::try_push_n || v == verb::push || v == verb::push_n || v == verb::reserve ||
         v == verb::select_push;
}
bool pops(verb v) {
  return v == verb::try_pop || v == verb::try_pop_n || v == verb::pop || v == verb::pop_n || v == verb::peek ||
         v == verb::select_pop || v == verb::drain;
}
bool is_in_place(verb v) { return v == verb::reserve || v == verb::withdraw || v == verb::peek; }

sleeper sleeper_of(const cell& c) {
  if (!c.what->sleeper) return sleeper::none;
  if (pops(c.what->what)) return sleeper::pusher;
  if (c.what->what == verb::close && c.from == state::full) return sleeper::pusher;
  return sleeper::popper;
}

bool is_batch(verb v) { return v == verb::try_push_n || v == verb::try_pop_n || v == verb::push_n || v == verb::pop_n; }
bool selects(verb v) { return v == verb::select_push || v == verb::select_pop; }

bool drops(const ring_type& r) { return r.options.on_death == delivery::drop; }
bool is_lossy(const ring_type& r) { return r.options.fidelity == fidelity::lossy; }

std::uint64_t capacity_of(const ring_type& r) { return r.rendezvous ? 0 : capacity; }

bool lies_across_the_end(state s) { return s == state::wrapped || s == state::run; }

// How many messages are in the ring before the operation.
std::uint32_t held_before(const cell& c) {
  switch (c.from) {
    case state::empty:
      return 0;
    case state::one:
      return 1;
    case state::full:
      return capacity;
    case state::wrapped:
    case state::run:
      break;
  }
  switch (sleeper_of(c)) {
    case sleeper::popper:
      return 0;
    case sleeper::pusher:
      return capacity;
    case sleeper::none:
      break;
  }
  return 2;
}

constexpr auto for_preparations = 10s;
constexpr int most_tries = 4;  // until an operation goes the way that was recorded

// Memory that all processes of one strike share.
class mailboxes {
 public:
  mailboxes() : at_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {
    if (at_ == MAP_FAILED) throw std::bad_alloc();
  }
  mailboxes(const mailboxes&) = delete;
  mailboxes& operator=(const mailboxes&) = delete;
  ~mailboxes() { ::munmap(at_, bytes); }
  mailbox& operator[](std::size_t i) const { return static_cast<mailbox*>(at_)[i]; }

 private:
  static constexpr std::size_t bytes = 5 * sizeof(mailbox);
  void* at_;
};

// What is wrong; found, and told to `strike`.
struct failure {
  std::string what;
};

// A named segment must not outlive us, however we end: the kernel sees to that if
// what holds it is ours alone. Once for the life of this process.
void own_shared_memory() {
  static const bool done = [] {
    const auto write = [](const char* path, const std::string& text) {
      const int file = ::open(path, O_WRONLY | O_CLOEXEC);
      const bool ok = file >= 0 && ::write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size());
      ::close(file);
      return ok;
    };
    const std::string user = fmt::format("0 {} 1", ::geteuid()), group = fmt::format("0 {} 1", ::getegid());
    bool own = ::unshare(CLONE_NEWNS | CLONE_NEWIPC) == 0;
    if (!own) {
      own = ::unshare(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC) == 0 && write("/proc/self/setgroups", "deny") &&
            write("/proc/self/uid_map", user) && write("/proc/self/gid_map", group);
    }
    own = own && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
          ::mount("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") == 0;
    if (!own) throw std::runtime_error(fmt::format("needs a /dev/shm of its own ({})", std::strerror(errno)));
    return true;
  }();
  (void)done;
}

// Who comes afterwards.
struct setting {
  bool crowded = false;        // and finds no place but that of one who was killed
  bool fresh_receives = true;  // or, at a broadcast, only sends
};

// Those in which a strike is tried: the dead one's claims are settled by whoever meets
// them, or by the one who takes its place.
std::vector<setting> settings(const cell& c) {
  if (c.what->by_keeper && c.what->dead) return {{.crowded = true}};
  std::vector<setting> all{{}};
  if (c.how != blow::kill) return all;
  all.push_back({.crowded = true});
  if (c.ring->broadcasts) all.push_back({.crowded = true, .fresh_receives = false});
  return all;
}

// Everybody in one strike: a survivor who has been there from the start, the
// victim, perhaps a sleeper, perhaps one who is killed first, and one who comes
// when all is over.
class scene {
 public:
  explicit scene(const cell& c, const setting& in = {})
      : c_(c), in_(in), members_(places(c, in.crowded)), at_(prepare_place(c)), old_("the survivor", at_, mail_[0]) {
    books_.senders.resize(5);
    books_.received.resize(5);
    victim_.emplace("the victim", at_, mail_[1], !c_.what->by_keeper);
    if (c_.what->creates()) return;
    come(old_, survivors);
    if (c_.from != state::run) go_round();
    if (c_.what->what != verb::join) come(*victim_, victim_consumer, receives(c_.what->what));
    if (c_.from == state::run) go_round();
    if (c_.what->what == verb::leave_again) obey(*victim_, {.what = verb::join_again}, "joining again");
    if (c_.what->dead) {
      first_.emplace("the first victim", at_, mail_[4], true);
      come(*first_, firsts_consumer, pops(*c_.what->dead));
    }
    for (std::uint32_t i = 0; i != held_before(c_); ++i) put_one();
    // Only the victim has those before it that the sleeper waits for.
    if (c_.ring->broadcasts && pops(c_.what->what) && c_.what->sleeper) (void)drain_all();
    if (c_.what->sleeper) put_to_sleep();
    if (!c_.what->dead) return;
    first_->tell({.what = *c_.what->dead, .producer = firsts, .traced = true});
    await_mark(first_->pid());
  }
  scene(const scene&) = delete;
  scene& operator=(const scene&) = delete;
  ~scene() {
    for (std::optional<actor>* a : {&victim_, &sleeper_, &first_, &fresh_}) a->reset();
    old_.die();
    if (c_.what->creates()) (void)shared_memory::unlink(at_.where);
  }

  pid_t first() const { return first_->pid(); }

  // Whatever the living do about it is done when this returns.
  // False if it was killed elsewhere than there.
  bool kill_first(const trace& t, std::uint32_t step) {
    const bool there = go_to(first_->pid(), t, {step, false}, [] {}) == arrival::there;
    first_->die();
    owed_[firsts_consumer] = false;
    take_stock(*first_, *c_.what->dead, 1, firsts, c_.ring->broadcasts ? firsts_consumer : victim_consumer);
    await_rest({&old_, &*victim_});
    return there;
  }

  // The victim goes to the mark before its operation. From here on all must get
  // on within `patience`.
  void begin(std::chrono::milliseconds patience) {
    patience_ = patience;
    books_.senders[victims].begun = pushes(c_.what->what) ? c_.what->count : 0;
    if (c_.what->by_keeper) struck_ = victim_->halt_keeper();
    victim_->tell({.what = c_.what->what,
                   .count = c_.what->count,
                   .producer = victims,
                   .traced = !c_.what->by_keeper,
                   .receives = !c_.what->by_keeper,  // who never pops would hold up a broadcast, and rightly
                   .patience = c_.what->what == verb::drain ? for_preparations : -1ms});
    if (c_.what->by_keeper) {
      await_sleep(*victim_, "the victim does not wait for its keeper");
    } else {
      struck_ = victim_->pid();
      await_mark(struck_);
    }
  }

  // The thread that performs the operation, stopped where that begins.
  pid_t struck() const { return struck_; }

  // Takes away, or brings, what a victim sleeps for.
  void wake_victim() {
    if (pushes(c_.what->what)) {
      (void)receive(old_, {.what = verb::try_pop_n, .count = c_.what->count}, survivors);
      // A receiver of a broadcast, too, once it has what it slept for.
      if (c_.ring->broadcasts && sleeper_goes_on()) {
        (void)receive(*sleeper_, {.what = verb::drain}, sleeper_consumer);
      }
    } else {
      (void)send(old_, {.what = verb::try_push, .producer = olds});
    }
  }

  void kill() {
    victim_->die();
    owed_[victim_consumer] = false;
    take_stock(*victim_, c_.what->what, c_.what->count, victims, victim_consumer);
    // Until the death has been reported, what the dead one held is held: a ring may say that it
    // is empty, and have an orphan later. Where it is crowded, whoever comes hears of it first.
    if (!in_.crowded && !c_.what->creates()) await_rest({&old_});
    meet();
    go_on();
  }

  void stop() {
    if (!victim_->leave_stopped(patience_)) throw failure{"the victim does not stop"};
    while_stopped();
    ::kill(victim_->pid(), SIGCONT);
    const deadline until = deadline::after(patience_);
    while (!victim_->finish(1ms)) {
      if (!c_.what->by_keeper && asleep(victim_->pid())) wake_victim();
      if (deadline::clock::now() >= until.when()) throw failure{"the victim hangs after SIGCONT"};
    }
    take_stock(*victim_, c_.what->what, c_.what->count, victims, victim_consumer);
    // Who comes finds only the place that the victim leaves.
    const bool makes_room = in_.crowded || c_.ring->broadcasts;
    if (makes_room) victim_leaves();
    meet();
    go_on();
    if (!makes_room) victim_leaves();
  }

  void judge() const {
    for (std::uint32_t i = 0; c_.ring->broadcasts && i != books_.received.size(); ++i) judge_receiver(i);
    if (c_.ring->broadcasts) return;
    balance b = settle(books_);
    if (drops(*c_.ring)) {
      b.lost -= std::min(b.lost, dropped_);
      if (b.redelivered != 0) throw failure{"a message is redelivered by a ring that drops it"};
    }
    if (!b.even()) throw failure{b.describe()};
  }

 private:
  // Who the messages are from, and who got them.
  enum sender_number : std::uint32_t { olds, victims, sleepers, freshs, firsts };
  enum consumer_number : std::uint32_t { survivors, sleeper_consumer, victim_consumer, newcomers, firsts_consumer };

  static std::uint32_t places(const cell& c, bool crowded) {
    const std::uint32_t survivor_and_victim = 2;
    // The keeper settles what the dead one held where there is no other place.
    if (c.what->by_keeper) return survivor_and_victim + 1 + (crowded || c.what->dead ? 0 : 2);
    const std::uint32_t others = (sleeper_of(c) != sleeper::none ? 1 : 0) + (c.what->dead ? 1 : 0);
    return survivor_and_victim + (crowded ? others : 2);
  }

  // Whether one that is to do this has to be a receiver of a broadcast.
  static bool receives(verb what) { return pops(what) || what == verb::join || what == verb::leave; }

  workplace prepare_place(const cell& c) {
    workplace at{.type = c.ring, .options = c.ring->options};
    at.options.capacity = capacity_of(*c.ring);
    at.options.members = members_ * c.ring->places;
    if (c.what->creates()) {
      own_shared_memory();
      at.where = c.what->sysv ? location::sysv(0x6d72) : location::posix("millrace-crash");
      return at;
    }
    auto made = c.ring->create(at.where, at.options);
    if (!made) throw std::runtime_error(made.error().message);
    ring_ = *std::move(made);
    at.inherited = ring_.get();
    return at;
  }

  // Attaches. What the victim was to create, it finds or creates.
  void come(actor& who, consumer_number number, bool receiving = true) {
    if (c_.what->creates() && obey(who, {.what = verb::open}, "opening").why != status::ok) {
      throw failure{fmt::format("{} can neither open nor create the ring", who.name())};
    }
    if (obey(who, {.what = verb::join, .receives = receiving}, "joining").why != status::ok) {
      throw failure{fmt::format("{} finds no place at the ring", who.name())};
    }
    if (!c_.ring->broadcasts || !receiving) return;
    // It is owed what is sent from here on: the rest counts as if it had had it.
    for (std::uint32_t p = 0; p != books_.senders.size(); ++p) {
      for (std::uint32_t i = 0; i != books_.senders[p].committed; ++i) {
        receipt had;
        had.producer = p;
        had.sequence = i & 0x7fffffffu;
        books_.received[number].push_back(had);
      }
    }
    owed_[number] = true;
  }

  // One that could run, and is not let, does not hang: a busy machine may keep a process waiting for seconds.
  static void finish(actor& who, std::chrono::milliseconds within, std::string_view when) {
    if (who.finish(within)) return;
    for (const deadline until = deadline::after(50s); !at_rest({&who}) && deadline::clock::now() < until.when();) {
    }
    if (!who.done()) throw failure{fmt::format("{} hangs {} ({})", who.name(), when, whereabouts(who.pid()))};
  }

  void await(actor& who, std::string_view when) const { finish(who, patience_, when); }

  const mailbox& obey(actor& who, order o, std::string_view when = "") const {
    if (o.patience.count() < 0) o.patience = patience_;
    who.tell(o);
    // An order's own patience comes first: what it says is more than a hang.
    finish(who, 2 * patience_, when);
    return who.mail();
  }

  void note(const mailbox& mail, consumer_number consumer) {
    for (std::uint32_t i = 0; i != mail.count; ++i) {
      books_.received[consumer].push_back(receipt_of(mail.messages[i], mail.redelivered[i], seed));
    }
    missed_[consumer] = mail.missed;
  }

  status receive(actor& who, const order& o, consumer_number consumer, std::string_view when = "") {
    const mailbox& mail = obey(who, o, when);
    note(mail, consumer);
    return mail.why;
  }

  status send(actor& who, order o, std::string_view when = "") {
    sender& from = books_.senders[o.producer];
    o.first = static_cast<std::uint32_t>(from.begun);
    const mailbox& mail = obey(who, o, when);
    from.begun += mail.count;
    from.committed += mail.count;
    return mail.why;
  }

  // Whose hands prepare the ring. What goes through them counts as the survivor's.
  actor& hands() { return c_.from == state::run ? *victim_ : old_; }

  // So that what it is to hold lies across the end of its slots.
  void go_round() {
    if (!lies_across_the_end(c_.from)) return;
    for (std::uint32_t i = 0; i != capacity - 1; ++i) {
      put_one();
      if (receive(hands(), {.what = verb::pop}, survivors) != status::ok) throw failure{"the ring was not emptied"};
    }
  }

  void put_one() {
    if (send(hands(), {.what = verb::push, .producer = olds}) != status::ok) throw failure{"the ring was not filled"};
  }

  void put_to_sleep() {
    sleeper_.emplace("the sleeper", at_, mail_[2]);
    const bool popper = sleeper_of(c_) == sleeper::popper;
    come(*sleeper_, sleeper_consumer, popper);
    sleeper_->tell({.what = popper ? verb::pop : verb::push, .producer = sleepers});
    books_.senders[sleepers].begun = popper ? 0 : 1;
    await_sleep(*sleeper_, "the sleeper does not fall asleep");
  }

  void await_sleep(const actor& who, const char* otherwise) const {
    const deadline until = deadline::after(patience_);
    while (!asleep(who.pid())) {
      if (deadline::clock::now() >= until.when()) throw failure{otherwise};
      std::this_thread::yield();
    }
  }

  // What one knew when it was killed, or says now.
  void take_stock(const actor& who, verb what, std::uint32_t count, sender_number number, consumer_number consumer) {
    const mailbox& mail = who.mail();
    const bool answered = mail.answered.load(std::memory_order_acquire) != 0;
    if (pushes(what)) books_.senders[number] = {answered ? mail.count : count, answered ? mail.count : 0};
    if (!pops(what)) return;
    if (answered) return note(mail, consumer);
    dropped_ += what == verb::drain ? 1 : count;
    for (std::uint32_t i = 0; i != (what == verb::drain ? mailbox::room : count); ++i) {
      books_.in_hands.push_back(receipt_of(mail.messages[i], false, seed));
    }
  }

  // Nobody runs, and nobody is going to.
  static bool at_rest(std::initializer_list<const actor*> all) {
    const auto look = [&] {
      std::uint64_t sum = 1;
      for (const actor* a : all) {
        const std::uint64_t one = rest(a->pid());
        if (one == 0) return std::uint64_t{0};
        sum = sum * 31 + one;
      }
      return sum;
    };
    const std::uint64_t before = look();
    std::this_thread::sleep_for(1ms);
    return before != 0 && look() == before;
  }

  void await_rest(std::initializer_list<const actor*> all) const {
    const deadline until = deadline::after(patience_);
    while (!at_rest(all)) {
      if (deadline::clock::now() >= until.when()) throw failure{"the others do not come to rest after a death"};
    }
  }

  void wait_for_sleeper(std::initializer_list<const actor*> all) const {
    const deadline until = deadline::after(patience_);
    while (!sleeper_->done() && !at_rest(all)) {
      if (deadline::clock::now() >= until.when()) throw failure{"the sleeper neither sleeps nor goes on"};
    }
  }

  // The sleeper goes on, or sleeps for ever and rightly so; and a newcomer comes.
  void meet() {
    if (c_.what->creates()) come(old_, survivors);
    fresh_.emplace("the newcomer", at_, mail_[3]);
    if (sleeper_)
      settle_sleeper();
    else
      come(*fresh_, newcomers, in_.fresh_receives);
  }

  void settle_sleeper() {
    wait_for_sleeper({&old_, &*sleeper_});
    const bool slept = !sleeper_goes_on();
    come(*fresh_, newcomers, in_.fresh_receives);
    if (slept) wait_for_sleeper({&old_, &*sleeper_, &*fresh_});
    if (slept && sleeper_->done()) throw failure{"the sleeper goes on only when a newcomer comes"};
    const bool popper = sleeper_of(c_) == sleeper::popper;
    if (slept) {
      // A try is the witness; afterwards the sleeper is woken as usual. (Of a broadcast a newcomer has nothing to pop.)
      const status said =
          popper ? receive(c_.ring->broadcasts ? old_ : *fresh_, {.what = verb::try_pop}, survivors, "trying to pop")
                 : send(*fresh_, {.what = verb::try_push, .producer = freshs}, "trying to push");
      // A push hears busy where a message waits to be redelivered, which it does
      // until the others have been popped: no room, either.
      if (said != (popper ? status::empty : status::full) && (popper || said != status::busy)) {
        throw failure{fmt::format("the sleeper sleeps for ever, where a try says {}", to_string(said))};
      }
      const status cure = popper ? send(*fresh_, {.what = verb::push, .producer = freshs}, "pushing") : drain_all();
      if (cure != (popper ? status::ok : status::empty)) {
        throw failure{
            fmt::format("the sleeper sleeps for ever, and a {} says {}", popper ? "push" : "pop", to_string(cure))};
      }
      await(*sleeper_, "although it was woken");
      (void)sleeper_goes_on();
    }
  }

  // Whether there is one that sleeps no more.
  bool sleeper_goes_on() {
    if (!sleeper_ || !sleeper_->done()) return false;
    if (std::exchange(heard_sleeper_, true)) return true;
    const bool popper = sleeper_of(c_) == sleeper::popper;
    const mailbox& mail = sleeper_->mail();
    if (popper) {
      note(mail, sleeper_consumer);
    } else {
      books_.senders[sleepers].begun = books_.senders[sleepers].committed = mail.count;
    }
    if (mail.why != status::ok && !(c_.what->what == verb::close && mail.why == status::closed)) {
      throw failure{fmt::format("the sleeper's call says {}", to_string(mail.why))};
    }
    return true;
  }

  // The victim is alive: whatever it holds up, it holds up. Nobody may be harmed.
  void while_stopped() {
    const auto pop_all = [&] {
      for (std::uint32_t i = 0; i != capacity + batch; ++i) {
        if (receive(old_, {.what = verb::try_pop}, survivors, "popping beside one that is stopped") != status::ok) {
          return;
        }
      }
    };
    const auto push_all = [&] {
      for (std::uint32_t i = 0; i != capacity + batch; ++i) {
        if (send(old_, {.what = verb::try_push, .producer = olds}, "pushing beside one that is stopped") !=
            status::ok) {
          return;
        }
      }
    };
    if (c_.what->creates()) {
      // A System V segment is waited for while its creator lives.
      if (!c_.what->sysv) obey(old_, {.what = verb::open}, "opening");
      return;
    }
    const bool spsc = c_.ring->one_to_one;
    if (spsc && sleeper_) return;  // both ends are taken
    // What comes last lets a blocked victim get on.
    if (pops(c_.what->what)) {
      if (!spsc) pop_all();  // the one consumer is the victim
      push_all();
    } else {
      // Twice round: one that is stopped while it joins a broadcast must not be overrun.
      for (int round = 0; round != (c_.ring->broadcasts ? 2 : 1); ++round) {
        if (!spsc) push_all();
        pop_all();
      }
    }
  }

  // What the one who was there says when there is no more. All get all of a broadcast.
  status drain_all() {
    const auto drain = [&](actor& who, consumer_number number) {
      return receive(who, {.what = verb::drain}, number, "draining");
    };
    if (c_.ring->broadcasts) {
      if (owed_[sleeper_consumer] && sleeper_goes_on()) (void)drain(*sleeper_, sleeper_consumer);
      if (owed_[newcomers]) (void)drain(*fresh_, newcomers);
    }
    return drain(old_, survivors);
  }

  // It was stopped, and has come to its end. Of a broadcast it has had all that was sent meanwhile.
  void victim_leaves() {
    if (c_.what->what == verb::leave) {
      owed_[victim_consumer] = false;
      return;
    }
    if (c_.ring->broadcasts && receives(c_.what->what)) {
      drained(*victim_, receive(*victim_, {.what = verb::drain}, victim_consumer, "draining"), status::empty);
      judge_receiver(victim_consumer);
      owed_[victim_consumer] = false;
    }
    obey(*victim_, {.what = verb::leave});
  }

  // Of a broadcast. Each that lives has had every message since it came, or knows that it has missed it.
  void judge_receiver(std::uint32_t number) const {
    const auto& had = books_.received[number];
    const std::uint64_t missed = missed_[number];
    balance b = settle({books_.senders, {had}});
    if (!owed_[number] || b.lost <= missed) b.lost = 0;
    if (!b.even()) throw failure{fmt::format("receiver {}: {}", number, b.describe())};
    if (!owed_[number]) return;
    std::uint64_t begun = 0;
    std::uint64_t committed = 0;
    for (const sender& s : books_.senders) {
      begun += s.begun;
      committed += s.committed;
    }
    const std::uint64_t known = had.size() + missed;
    if (known < committed || known > begun) {
      throw failure{
          fmt::format("receiver {} has had {} and missed {}, and {} were sent", number, had.size(), missed, committed)};
    }
  }

  // Drain, refill, drain: the one who was there and the one who came, in turn.
  void go_on() {
    const bool closes = c_.what->what == verb::close;
    const status first = drain_all();
    if (first != status::empty && !(closes && first == status::closed)) drained(old_, first, status::empty);
    if (closes) return finish_closing();
    const std::uint64_t most = capacity_of(*c_.ring);
    const status more =
        send(*fresh_, {.what = verb::fill, .count = static_cast<std::uint32_t>(most), .producer = freshs}, "refilling");
    const std::uint64_t room = fresh_->mail().count;
    const bool lossy = is_lossy(*c_.ring);  // there is always room
    if (more != (lossy ? status::ok : status::full) || room != most + (lossy ? 1 : 0)) {
      throw failure{
          fmt::format("there is room for {} of {} messages; one more push says {}", room, most, to_string(more))};
    }
    drained(old_, drain_all(), status::empty);
    if (c_.what->what == verb::join || c_.what->what == verb::leave || c_.what->by_keeper) count_places();
  }

  // Whoever was killed in close may have closed the ring or not; the next one does.
  void finish_closing() {
    obey(*fresh_, {.what = verb::close}, "closing");
    drained(old_, drain_all(), status::closed);
    const status s = send(*fresh_, {.what = verb::try_push, .producer = freshs}, "pushing");
    if (s != status::closed) throw failure{fmt::format("a push on a closed ring says {}", to_string(s))};
  }

  static void drained(const actor& who, status said, status expected) {
    if (said == expected) return;
    throw failure{fmt::format("{} pops {} messages and then hears {}, not {}", who.name(), who.mail().count,
                              to_string(said), to_string(expected))};
  }

  void count_places() {
    std::uint32_t taken = 2;
    if (c_.how == blow::stop) {
      // The victim, who leaves one later.
      if (!c_.ring->broadcasts && !in_.crowded && c_.what->what != verb::leave) ++taken;
      if (c_.what->what == verb::join_again) ++taken;
    }
    const std::uint32_t left = obey(old_, {.what = verb::settle}, "joining once more").count;
    if (left != members_ - taken) {
      throw failure{fmt::format("{} places are left of {}, {} of which are in use", left, members_, taken)};
    }
  }

  const cell& c_;
  const setting in_;
  pid_t struck_ = -1;
  const std::uint32_t members_;
  std::chrono::milliseconds patience_ = for_preparations;
  books books_;
  std::uint64_t dropped_ = 0;              // messages that may have been in dead hands
  std::array<std::uint64_t, 5> missed_{};  // of a broadcast, by consumer
  std::array<bool, 5> owed_{};             // likewise: whether it is a receiver, and lives
  bool heard_sleeper_ = false;             // that it has gone on
  mailboxes mail_;
  std::unique_ptr<segment> ring_;
  workplace at_;
  actor old_;
  std::optional<actor> first_;
  std::optional<actor> victim_;
  std::optional<actor> sleeper_;
  std::optional<actor> fresh_;
};

}  // namespace

std::span<const operation> operations() { return table; }

bool possible(const cell& c) {
  if ((is_in_place(c.what->what) || (c.what->dead && is_in_place(*c.what->dead))) && !c.ring->in_place) return false;
  if (is_batch(c.what->what) && !c.ring->batches) return false;
  if (selects(c.what->what) && !c.ring->selects) return false;
  if (c.what->creates()) return c.from == state::empty;
  if (c.from == state::run) {
    const bool claims = pushes(c.what->what) || pops(c.what->what) || c.what->what == verb::withdraw;
    if (!c.ring->runs || !claims || c.what->dead) return false;
  }
  if (c.what->by_keeper && c.ring->places != 1) return false;  // a byte_channel takes two at once
  // It is always empty, and full; and who was killed in a try has left nothing.
  if (c.ring->rendezvous) return c.from == state::empty && !c.what->dead;
  if (c.what->dead) {
    // Where the first victim has something to do, and the second meets it.
    if (c.what->what == verb::try_push) return c.from == state::full;
    return c.from != (pushes(*c.what->dead) ? state::full : state::empty);
  }
  switch (sleeper_of(c)) {
    case sleeper::none:
      return true;
    case sleeper::popper:
      return c.from == state::empty || lies_across_the_end(c.from);
    case sleeper::pusher:
      return !is_lossy(*c.ring) && (c.from == state::full || lies_across_the_end(c.from));
  }
  return false;
}

std::string strike_point::name() const {
  return fmt::format("{}{}{}", before == 0 ? "" : fmt::format("{}/", before), at.step, at.asleep ? "s" : "");
}

std::optional<strike_point> read_point(std::string_view text) {
  strike_point p;
  const char* const end = text.data() + text.size();
  auto read = std::from_chars(text.data(), end, p.at.step);
  if (read.ec == std::errc{} && read.ptr != end && *read.ptr == '/') {
    p.before = p.at.step;
    read = std::from_chars(read.ptr + 1, end, p.at.step);
  }
  const std::string_view rest(read.ptr, static_cast<std::size_t>(end - read.ptr));
  if (read.ec != std::errc{} || (!rest.empty() && rest != "s")) return std::nullopt;
  p.at.asleep = rest == "s";
  return p;
}

play rehearse(const cell& c, const std::function<void()>& alive) try {
  const auto perform = [&](scene& s) {
    s.begin(for_preparations);
    return record(
        s.struck(), [&] { s.wake_victim(); }, alive, c.what->by_keeper);
  };
  play p;
  scene s(c);
  if (!c.what->dead) {
    p.acts.push_back({0, perform(s)});
    return p;
  }
  p.first = record(
      s.first(), [] {}, alive);
  // The first one dies half-way, and behind each step that may have claimed something.
  const auto end = static_cast<std::uint32_t>(p.first.steps.size() - 1);
  for (std::uint32_t i = 1; i <= end; ++i) {
    if (i != end / 2 && !p.first.steps[i - 1].locks) continue;
    for (int tries = 0; tries != most_tries; ++tries) {
      scene again(c);
      if (!again.kill_first(p.first, i)) continue;
      p.acts.push_back({i, perform(again)});
      break;
    }
  }
  return p;
} catch (const failure& why) {
  throw std::runtime_error(why.what);
}

std::vector<kill_point> points(const trace& t, blow how) {
  constexpr std::uint32_t rounds = 8;  // more than anything but a wait, or to clear memory, goes
  const auto seen = [how](const trace::step& s) {
    // One that goes on afterwards has what it loaded before. An atomic operation may be
    // for another thread of the process, which acts upon it.
    return s.kernel || s.locks || s.seen == sight::store || (how == blow::stop && s.seen == sight::load);
  };
  struct visits {
    std::uint32_t first = 0;  // so many of the first ones were chosen
    std::uint32_t last = 0;   // the step
  };
  std::unordered_map<std::uintptr_t, visits> of;
  for (std::uint32_t i = 0; i != t.steps.size(); ++i) of[t.steps[i].at].last = i;
  std::vector<kill_point> some = all_points(t);
  std::erase_if(some, [&](const kill_point& p) {
    const trace::step& s = t.steps[p.step];
    visits& here = of[s.at];
    const bool chosen = seen(s) && (here.first++ < rounds || here.last == p.step);
    return !chosen && !p.asleep && p.step + 1 != t.steps.size();
  });
  return some;
}

std::vector<kill_point> all_points(const trace& t) {
  std::vector<kill_point> all;
  for (std::uint32_t i = 0; i != t.steps.size(); ++i) {
    all.push_back({i, false});
    if (t.steps[i].sleeps && !t.by_keeper) all.push_back({i, true});  // its sleep is the end
  }
  return all;
}

namespace {

finding strike_in(const setting& in, const cell& c, const play& p, const act& a, const kill_point& point,
                  std::chrono::milliseconds patience) {
  finding f;
  try {
    scene s(c, in);
    const bool as_recorded = !c.what->dead || s.kill_first(p.first, a.before);
    s.begin(patience);
    const arrival got = go_to(s.struck(), a.what, point, [&] { s.wake_victim(); });
    if (got == arrival::hung) throw failure{"the victim does not get there"};
    f.elsewhere = got == arrival::elsewhere || !as_recorded;
    c.how == blow::kill ? s.kill() : s.stop();
    s.judge();
  } catch (const failure& why) {
    f.wrong = why.what + (in.crowded ? " (whoever comes takes the place of the dead)" : "");
  }
  return f;
}

}  // namespace

finding strike(const cell& c, const play& p, const act& a, const kill_point& point,
               std::chrono::milliseconds patience) {
  bool elsewhere = false;
  for (const setting& in : settings(c)) {
    finding f{.wrong = {}, .elsewhere = true};
    for (int i = 0; i != most_tries && f.elsewhere && f.wrong.empty(); ++i) f = strike_in(in, c, p, a, point, patience);
    if (!f.wrong.empty()) return f;
    elsewhere = elsewhere || f.elsewhere;
  }
  return {.wrong = {}, .elsewhere = elsewhere};
}

}  // namespace millrace::crash
