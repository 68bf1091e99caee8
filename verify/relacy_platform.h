// The model checker's platform: the shipped headers, run by Relacy.
#ifndef MILLRACE_VERIFY_RELACY_PLATFORM_H_
#define MILLRACE_VERIFY_RELACY_PLATFORM_H_

// Relacy turns names of the standard library into macros. Whatever includes this
// file includes nothing after it; everything that shipped headers need is here.
#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <concepts>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <new>
#include <set>
#include <span>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "millrace/deadline.h"
#include "millrace/event_count.h"
#include "millrace/futex.h"
#include "millrace/platform.h"
#include "millrace/process.h"
#include "millrace/robust_mutex.h"
#include "verify/recorder.h"
#include "verify/site.h"

// clang-format off
#include <relacy/relacy.hpp>

#undef EAGAIN
#undef EBUSY
#undef EINTR
#undef EINVAL
#undef ETIMEDOUT
#undef EWOULDBLOCK
#undef FUTEX_WAIT
#undef FUTEX_WAKE
#undef TLS_T
#undef VAR
#undef VAR_T
#undef assert
#undef calloc
#undef delete
#undef errno
#undef free
#undef futex
#undef malloc
#undef memory_order_acq_rel
#undef memory_order_acquire
#undef memory_order_consume
#undef memory_order_relaxed
#undef memory_order_release
#undef memory_order_seq_cst
#undef new
#undef pthread_attr_t
#undef pthread_create
#undef pthread_join
#undef pthread_mutex_lock
#undef pthread_mutex_t
#undef pthread_mutex_unlock
#undef pthread_mutexattr_t
#undef pthread_t
#undef pthread_yield
#undef realloc
#undef sched_yield
#undef sem_destroy
#undef sem_getvalue
#undef sem_init
#undef sem_post
#undef sem_t
#undef sem_trywait
#undef sem_wait
// clang-format on

static_assert(rl::atomic_history_size == 8, "not the patched Relacy: depend on @relacy, see third_party/relacy.bzl");

namespace verify {

inline rl::debug_info info(const site& s) noexcept { return rl::debug_info(s.function, s.file(), s.line); }

// Relacy wants its objects destroyed at the end of each execution; in shared
// memory nobody destroys anything. So each is listed here, and dropped from here.
class registry {
 public:
  struct entry {
    entry* next;
    void (*drop)(entry*) noexcept;
  };

  static void forget_all() noexcept { first_ = nullptr; }  // an execution that failed drops nothing
  template <class F>
  static void for_each(F f) {
    for (const entry* e = first_; e != nullptr; e = e->next) f(e);
  }
  static void add(entry& e) noexcept {
    e.next = first_;
    first_ = &e;
  }
  static void drop_all() noexcept {
    while (entry* const e = first_) {
      first_ = e->next;
      e->drop(e);
    }
  }

 private:
  static inline entry* first_ = nullptr;
};

// A Relacy object whose destructor is run by the registry, not by its owner.
template <class Object>
class registered : registry::entry {
 public:
  registered() noexcept : object_() {
    drop = [](registry::entry* e) noexcept { static_cast<registered*>(e)->object_.~Object(); };
    registry::add(*this);
  }
  ~registered() {}
  registered(const registered&) = delete;
  registered& operator=(const registered&) = delete;

  Object& operator*() const noexcept { return object_; }
  const registry::entry* entry() const noexcept { return this; }

 private:
  union {
    mutable Object object_;
  };
};

constexpr rl::memory_order to_relacy(std::memory_order order) noexcept {
  switch (order) {
    case std::memory_order::relaxed:
      return rl::mo_relaxed;
    case std::memory_order::consume:
      return rl::mo_consume;
    case std::memory_order::acquire:
      return rl::mo_acquire;
    case std::memory_order::release:
      return rl::mo_release;
    case std::memory_order::acq_rel:
      return rl::mo_acq_rel;
    case std::memory_order::seq_cst:
      break;
  }
  return rl::mo_seq_cst;
}

// Relacy keeps C++11's rule that failure is not stronger than success.
constexpr std::memory_order strong_enough(std::memory_order success, std::memory_order failure) noexcept {
  if (failure == std::memory_order::seq_cst) return std::memory_order::seq_cst;
  if (failure != std::memory_order::acquire) return success;
  if (success == std::memory_order::relaxed) return std::memory_order::acquire;
  return success == std::memory_order::release ? std::memory_order::acq_rel : success;
}

inline std::memory_order asked(std::memory_order order, site s) noexcept {
  return active_mutation.at(mutation::kind::order, s) ? active_mutation.weakened : order;
}
inline std::memory_order asked_on_failure(std::memory_order order, site s) noexcept {
  return active_mutation.at(mutation::kind::failure_order, s) ? active_mutation.weakened : order;
}

inline void tell(step s) {
  s.thread = static_cast<unsigned>(rl::ctx().current_thread());
  recorder::installed->record(s);
}

inline void log(site where, const char* what, const void* object = nullptr) {
  rl::context& c = rl::ctx();
  if (c.collecting_history()) c.exec_log_msg(info(where), what);
  if (recorder::installed != nullptr) tell({.where = where, .object = object, .event = what});
}

// SIGKILL. A thread marked mortal may stop for ever before any of its steps: it
// jumps out of its body, as no destructor runs in a killed process.
class mortality {
 public:
  enum class what : std::uint8_t { other, store, payload };

  // Runs `body` as the calling thread's. It dies before one of its first `most`
  // steps, or not at all: the search decides. False if it died.
  template <class Body>
  static bool run(unsigned most, Body&& body) {
    return run_as({.now = stage::living, .left = rl::rand(most + 1)}, body) == stage::living;
  }

  // Where it would die the kernel marks it (`mark`), and it runs on: for at most `after`
  // steps, until it would wait, or until somebody has awaited its end.
  template <class Body>
  static bool run_lingering(unsigned most, unsigned after, std::function<void()> mark, Body&& body) {
    return run_as({.now = stage::living, .left = rl::rand(most + 1), .mark = std::move(mark), .after = after}, body) ==
           stage::living;
  }

  // It dies before its first access to a payload.
  template <class Body>
  static void run_to_payload(Body&& body) {
    run_as({.now = stage::living, .left = never, .to_payload = true}, body);
  }

  // It dies before it first waits for somebody.
  template <class Body>
  static void run_to_wait(Body&& body) {
    run_as({.now = stage::living, .left = never, .to_wait = true}, body);
  }

  // The calling thread begins a call of a ring.
  static void begin_call() noexcept {
    mine().commits = 0;
    mine().last = none;
  }

  // How often the calling thread has done the step by which its call pushes or pops,
  // since begin_call: a store, or a CAS, of that function which is the last of it.
  static unsigned commits() noexcept { return mine().commits; }

  static void step(site s, what kind = what::other) {
    fate& f = mine();
    if (f.now == stage::immortal) return;
    if (f.last.kind == what::store && commits_in(f.last.where)) ++f.commits;
    f.last = none;
    if (f.now == stage::living && f.left == 0 && f.mark) begin_to_linger(f);
    if (f.now == stage::lingering) {
      // Others run up to here, and nobody between here and the step.
      rl::ctx().enable_preemption();
      rl::ctx().sched();
      rl::ctx().disable_preemption();
    }
    if (f.left == 0 || f.now == stage::ended || (f.to_payload && kind == what::payload)) die(s);
    --f.left;
    f.last = {s, kind};
  }

  // The calling thread has just changed a word, by a CAS.
  static void updated(site s) {
    if (mine().now != stage::immortal) mine().last = {s, what::store};
  }

  static void before_wait(site s) {
    const fate& f = mine();
    if (f.now == stage::lingering || (f.now == stage::living && f.to_wait)) die(s);
  }

  // The end of `thread` is awaited: it does no further step. What it knew then, of all
  // threads, if it has run on after a mark.
  static const rl::timestamp_t* end(std::size_t thread, const rl::timestamp_t* knows) noexcept {
    fate& f = fates()[thread];
    if (f.now == stage::lingering) {
      f.now = stage::ended;
      note_last_words(f, knows);
    }
    return f.marked ? f.last_words.data() : nullptr;
  }

  static void before_execution() noexcept {
    std::for_each_n(fates(), most_threads, [](fate& f) { f.now = stage::immortal, f.marked = false; });
  }

 private:
  static constexpr std::size_t most_threads = 9;  // Relacy's own included
  enum class stage : std::uint8_t { immortal, living, lingering, ended, dead };
  static constexpr unsigned never = ~0u;
  struct done {
    site where;
    what kind;
  };
  static constexpr done none{{"", "", 0}, what::other};
  struct fate {
    stage now = stage::immortal;
    unsigned left = 0;  // steps before death, or the mark
    bool to_payload = false;
    bool to_wait = false;
    std::function<void()> mark{};
    unsigned after = 0;  // the mark, likewise
    bool marked = false;
    std::array<rl::timestamp_t, most_threads> last_words{};
    unsigned commits = 0;
    done last = none;
  };

  template <class Body>
  static stage run_as(const fate& f, Body&& body) {
    mine() = f;
    if (_setjmp(*out()) == 0) {
      body();
      if (preemption_is_off(mine())) rl::ctx().enable_preemption();
    }
    if (mine().now != stage::ended) note_last_words(mine(), rl::ctx().threadx_->acq_rel_order_);
    return std::exchange(mine().now, stage::immortal);
  }

  static void note_last_words(fate& f, const rl::timestamp_t* knows) noexcept {
    std::copy_n(knows, rl::ctx().get_thread_count(), f.last_words.begin());
  }

  static void begin_to_linger(fate& f) {
    f.now = stage::immortal;
    f.mark();
    f.marked = true;
    f.now = stage::lingering;
    f.left = rl::rand(f.after + 1);
    rl::ctx().disable_preemption();
  }
  static bool preemption_is_off(const fate& f) noexcept { return f.now == stage::lingering || f.now == stage::ended; }

  [[noreturn]] static void die(site s) {
    log(s, "SIGKILL");
    if (preemption_is_off(mine())) rl::ctx().enable_preemption();
    if (mine().now != stage::ended) mine().now = stage::dead;
    _longjmp(*out(), 1);
  }

  static bool commits_in(const site& s) noexcept {
    using namespace std::string_view_literals;
    static constexpr std::array functions{"publish"sv, "release"sv, "commit_push"sv, "commit_pop"sv,
                                          "commit"sv,  "done"sv,    "push_locked"sv, "pop_locked"sv};
    return std::string_view(s.file()).ends_with("_ring.h") &&
           std::find(functions.begin(), functions.end(), s.function) != functions.end();
  }

  static std::size_t me() noexcept { return static_cast<std::size_t>(rl::ctx().current_thread()); }
  static fate& mine() noexcept { return fates()[me()]; }
  static jmp_buf* out() noexcept { return &out_[me()]; }

  static fate* fates() noexcept {
    static std::array<fate, most_threads> all;
    return all.data();
  }
  static inline jmp_buf out_[most_threads];
};

// What Relacy's memory model leaves out: load buffering, stores that overtake each
// other in modification order, values more than seven stores old, and a failed CAS
// that reads a stale value (model/litmus_test.cc has each as a test). Two fences
// order plain accesses here, which in C++ takes an atomic between them: a missing
// release or acquire shows only in the executions that have no heavy fence between
// the two accesses. A light fence is a step and nothing else: what it asks of the
// *compiler* no model here tests.
struct relacy_platform {
  static constexpr unsigned spins = 0;  // polling is what the scheduler does anyway

  template <class T>
  class atomic {
   public:
    atomic() noexcept : atomic(T{}) {}
    // An explicit store: a default-constructed rl::atomic has no stale first value.
    atomic(T value, site s = site::here()) noexcept { (*object_).store(value, rl::mo_relaxed, info(s)); }
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    T load(std::memory_order order = std::memory_order::seq_cst, site s = site::here()) const noexcept {
      mortality::step(s);
      if (!page_of(this).there) fail("memory that is not committed is touched", s);
      return told(step::kind::load, s, (*object_).load(to_relacy(asked(order, s)), info(s)));
    }
    void store(T value, std::memory_order order = std::memory_order::seq_cst, site s = site::here()) noexcept {
      mortality::step(s, mortality::what::store);
      (*object_).store(value, to_relacy(asked(order, s)), info(s));
      told(step::kind::store, s, value);
    }
    T exchange(T value, std::memory_order order = std::memory_order::seq_cst, site s = site::here()) noexcept {
      mortality::step(s);
      return told(step::kind::update, s, (*object_).exchange(value, to_relacy(asked(order, s)), info(s)));
    }
    T fetch_add(T value, std::memory_order order = std::memory_order::seq_cst, site s = site::here()) noexcept {
      mortality::step(s);
      return told(step::kind::update, s, (*object_).fetch_add(value, to_relacy(asked(order, s)), info(s)));
    }
    T fetch_sub(T value, std::memory_order order = std::memory_order::seq_cst, site s = site::here()) noexcept {
      mortality::step(s);
      return told(step::kind::update, s, (*object_).fetch_sub(value, to_relacy(asked(order, s)), info(s)));
    }
    T fetch_or(T value, std::memory_order order = std::memory_order::seq_cst, site s = site::here()) noexcept {
      mortality::step(s);
      return told(step::kind::update, s, (*object_).fetch_or(value, to_relacy(asked(order, s)), info(s)));
    }
    T fetch_and(T value, std::memory_order order = std::memory_order::seq_cst, site s = site::here()) noexcept {
      mortality::step(s);
      return told(step::kind::update, s, (*object_).fetch_and(value, to_relacy(asked(order, s)), info(s)));
    }
    bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure,
                                 site s = site::here()) noexcept {
      return compare_exchange<false>(expected, desired, asked(success, s), asked_on_failure(failure, s), s);
    }
    bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure,
                               site s = site::here()) noexcept {
      return compare_exchange<true>(expected, desired, asked(success, s), asked_on_failure(failure, s), s);
    }

   private:
    friend struct relacy_platform;

    template <bool Weak>
    bool compare_exchange(T& expected, T desired, std::memory_order success, std::memory_order failure, site s) {
      mortality::step(s);
      const bool done =
          (*object_).compare_exchange(rl::bool_t<Weak>(), expected, desired, to_relacy(strong_enough(success, failure)),
                                      to_relacy(failure), info(s));
      if (done) mortality::updated(s);
      told(done ? step::kind::update : step::kind::failed_compare, s, expected);
      return done;
    }

    T told(step::kind what, site s, T found) const noexcept {
      if (recorder::installed != nullptr) {
        tell({.what = what,
              .where = s,
              .object = object_.entry(),
              .found = bits::of(found),
              .left = bits::of((*object_).debug_value())});
      }
      return found;
    }

    registered<rl::atomic<T>> object_;
  };

  // Unordered accesses are an error, and so is reading what was never written.
  template <millrace::message T>
  class plain {
   public:
    void read(T& out, site s = site::here()) const noexcept {
      mortality::step(s, mortality::what::payload);
      if (recorder::installed != nullptr) tell({.what = step::kind::read, .where = s, .object = object_.entry()});
      check_page(s, written_);
      out = (*object_)(info(s)).load().value;
      if (recorder::installed != nullptr) recorder::installed->returned(bits::of(out));
    }
    void write(const T& in, site s = site::here()) noexcept {
      mortality::step(s, mortality::what::payload);
      if (recorder::installed != nullptr) {
        tell({.what = step::kind::write, .where = s, .object = object_.entry(), .left = bits::of(in)});
      }
      written_ = page_of(this).backed;
      check_page(s, written_);
      (*object_)(info(s)).store(in);
    }

    // Handed out is a copy, which nobody else has; who gets at the message too early races
    // with either end, or finds one that was never written.
    T& begin_write(site s = site::here()) noexcept {
      write(T{}, s);
      return in_place_;
    }
    void end_write(site s = site::here()) noexcept { write(in_place_, s); }
    const T& begin_read(site s = site::here()) const noexcept {
      read(in_place_, s);
      return in_place_;
    }
    void end_read(site s = site::here()) const noexcept {
      T again;
      read(again, s);
    }

   private:
    // rl::var wants something to construct from 0 and to print.
    struct printable {
      T value;
      printable(int = 0) noexcept : value{} {}
      printable(const T& v) noexcept : value(v) {}
      friend std::ostream& operator<<(std::ostream& out, const printable& p) {
        if constexpr (requires { out << p.value; }) return out << p.value;
        return out << "a message";
      }
    };

    // What lies here has been in the page's memory since it was written.
    void check_page(site s, unsigned written) const noexcept {
      const page now = page_of(this);
      if (!now.there) fail("memory that is not committed is touched", s);
      if (now.backed != written) fail("what is read was in memory that has been given back", s);
    }

    registered<rl::var<printable>> object_;
    mutable T in_place_{};
    unsigned written_ = 0;
  };

  // What the kernel does is one step: it compares the word's latest value and
  // goes to sleep. (Its own barriers make it the latest with respect to whoever
  // wakes; to the caller nothing is promised, so nothing is ordered here.)
  static millrace::wait_result wait(const atomic<std::uint32_t>& word, std::uint32_t expected, millrace::deadline until,
                                    site s = site::here()) noexcept {
    mortality::step(s);
    mortality::before_wait(s);
    rl::context& c = rl::ctx();
    c.sched();
    const void* const object = word.object_.entry();
    if ((*word.object_).debug_value() != expected) {
      log(s, "futex wait: the word has changed", object);
      return millrace::wait_result::changed;
    }
    log(s, "futex wait: asleep", object);
    const rl::unpark_reason why = (*word.object_).wait(c, !until.is_never(), /*spurious*/ true, info(s));
    if (why == rl::unpark_reason_timeout) {
      log(s, "futex wait: timed out", object);
      return millrace::wait_result::timed_out;
    }
    log(s, why == rl::unpark_reason_normal ? "futex wait: woken" : "futex wait: woken for no reason", object);
    return millrace::wait_result::woken;
  }

  // On several words. The kernel looks at one after the other, under its lock for that word,
  // and sleeps if all were as expected when it looked: one that it has looked at may have
  // changed meanwhile, and then its wake is not missed.
  struct awaited {
    const atomic<std::uint32_t>* word;
    std::uint32_t expected;
  };
  static millrace::wait_result wait_any(std::span<const awaited> words, millrace::deadline until,
                                        site s = site::here()) noexcept {
    mortality::step(s);
    mortality::before_wait(s);
    rl::context& c = rl::ctx();
    sleeper_at_several& mine = sleepers()[static_cast<std::size_t>(c.current_thread())];
    mine = sleeper_at_several{};
    for (const auto& [word, expected] : words) {
      c.sched();
      if ((*word->object_).debug_value() != expected) {
        mine.words = {};
        log(s, "futex wait for several: a word has changed", word->object_.entry());
        return millrace::wait_result::changed;
      }
      mine.words[mine.count++] = word->object_.entry();
      log(s, "futex wait for several: unchanged", word->object_.entry());
    }
    c.sched();
    log(s, "futex wait for several: asleep");
    rl::unpark_reason why = rl::unpark_reason_normal;
    if (!mine.woken) {
      mine.parked = true;
      why = mine.place.park_current(c, !until.is_never(), /*spurious*/ true, /*switch*/ false, info(s));
    }
    mine.words = {};
    if (why == rl::unpark_reason_timeout) {
      log(s, "futex wait for several: timed out");
      return millrace::wait_result::timed_out;
    }
    log(s, why == rl::unpark_reason_normal ? "futex wait for several: woken"
                                           : "futex wait for several: woken for no reason");
    return millrace::wait_result::woken;
  }

  static void wake_all(const atomic<std::uint32_t>& word, site s = site::here()) noexcept {
    wake_some(word, rl::ctx().get_thread_count(), s);
  }

  // The seam has none but wake_all: this is for a ring that is to be convicted of it.
  static void wake_one(const atomic<std::uint32_t>& word, site s = site::here()) noexcept { wake_some(word, 1, s); }

  static void wake_some(const atomic<std::uint32_t>& word, rl::thread_id_t most, site s) noexcept {
    mortality::step(s);
    rl::context& c = rl::ctx();
    c.sched();
    log(s, "futex wake", word.object_.entry());
    // Relacy hands all that the waker knows of the others to the woken, which no
    // futex promises: so it wakes knowing nothing. Nobody else runs meanwhile.
    rl::timestamp_t* const knows = c.threadx_->acq_rel_order_;
    std::array<rl::timestamp_t, most_threads> kept;
    const auto count = static_cast<std::size_t>(c.get_thread_count());
    std::copy_n(knows, count, kept.begin());
    std::fill_n(knows, count, rl::timestamp_t{0});
    (*word.object_).wake(c, most, info(s));
    std::copy_n(kept.begin(), count, knows);
    for (sleeper_at_several& each : sleepers()) {
      if (most > 1 && !each.woken && std::ranges::count(each.words, word.object_.entry()) != 0) {
        each.woken = true;
        if (each.parked) each.place.unpark_all(c, info(s));
      }
    }
  }

  static void light_fence(site s = site::here()) noexcept {
    mortality::step(s);
    if (active_mutation.at(mutation::kind::no_fence, s)) return;
    rl::ctx().sched();
    log(s, "light fence");
  }

  // Every thread in turn is interrupted and executes a full barrier, wherever it
  // is; others run in between. Ours is first and last, as membarrier promises.
  static void heavy_fence(site s = site::here()) noexcept {
    mortality::step(s);
    if (active_mutation.at(mutation::kind::no_fence, s)) return;
    rl::context& c = rl::ctx();
    rl::thread_info_base* const self = c.threadx_;
    log(s, "heavy fence begins");
    fence_on(self);
    for (rl::thread_id_t i = 0; i != c.get_thread_count(); ++i) {
      if (i == self->index_) continue;
      c.sched();
      fence_on(threads_[static_cast<std::size_t>(i)]);
    }
    c.sched();
    fence_on(self);
    log(s, "heavy fence ends");
  }

  // Whoever ran on after its mark does so no more, and what it did is known.
  static void await_end(site s = site::here()) noexcept {
    rl::context& c = rl::ctx();
    for (rl::thread_id_t i = 0; i != c.get_thread_count(); ++i) {
      const auto thread = static_cast<std::size_t>(i);
      const rl::timestamp_t* const done = mortality::end(thread, threads_[thread]->acq_rel_order_);
      if (done == nullptr) continue;
      log(s, "the end of one that was killed is awaited");
      rl::timestamp_t* const known = c.threadx_->acq_rel_order_;
      for (rl::thread_id_t k = 0; k != c.get_thread_count(); ++k) known[k] = std::max(known[k], done[k]);
    }
  }

  static constexpr bool yields(unsigned /*turn*/) noexcept { return false; }
  static void relax(unsigned /*turn*/, site s = site::here()) noexcept {
    mortality::before_wait(s);
    rl::yield(1, info(s));
  }

  // Nothing that could be seen.
  static void back_off() noexcept {}
  static void fetch_to_write(const void*) noexcept {}

  static constexpr std::size_t moved_together = sizeof(std::uint64_t);  // so that each message is by itself
  static constexpr std::size_t chunk_bytes = 1;                         // a message's
  static std::size_t page_bytes() noexcept { return millrace::line_bytes; }

  // How many pages more may be committed: set before the threads run.
  static constexpr unsigned enough_pages = 1u << 30;
  static inline unsigned pages_left = enough_pages;

  static bool commit(void* at, std::size_t bytes, site s = site::here()) noexcept {
    mortality::step(s);
    rl::ctx().sched();
    log(s, "commit");
    return for_pages(at, bytes, [](page& p) {
      if (p.there) return true;
      if (pages_left == 0) return false;
      --pages_left;
      p.there = true;
      return true;
    });
  }
  static void decommit(void* at, std::size_t bytes, site s = site::here()) noexcept {
    mortality::step(s);
    rl::ctx().sched();
    log(s, "decommit");
    (void)for_pages(at, bytes, [](page& p) {
      if (p.there) ++pages_left;
      p.there = false;
      ++p.backed;
      return true;
    });
  }

  // How far each thread's steps are known to the calling one (happens-before).
  static std::uint64_t known_of(unsigned thread) noexcept { return rl::ctx().threadx_->acq_rel_order_[thread]; }

  static constexpr std::size_t most_threads = 8;

  static void before_execution() noexcept {
    mortality::before_execution();
    sleepers().fill(sleeper_at_several{});
    pages().fill(page{});
    pages_left = enough_pages;
  }

  // Called once an execution, before its threads run.
  static void set_thread(rl::thread_info_base* thread) noexcept {
    threads_[static_cast<std::size_t>(thread->index_)] = thread;
  }

 private:
  // Relacy's fence acts for the thread that its context believes to be running.
  static void fence_on(rl::thread_info_base* thread) noexcept {
    rl::context& c = rl::ctx();
    rl::thread_info_base* const self = c.threadx_;
    c.disable_preemption();
    c.threadx_ = thread;
    c.atomic_thread_fence_seq_cst();
    c.threadx_ = self;
    c.enable_preemption();
  }

  static inline std::array<rl::thread_info_base*, most_threads> threads_{};

  // As the kernel has it. One that was never committed nor decommitted is there.
  struct page {
    std::uintptr_t number = 0;
    bool there = true;
    unsigned backed = 0;  // how often its memory has been taken back
  };
  static std::uintptr_t page_number(const void* at) noexcept {
    return reinterpret_cast<std::uintptr_t>(at) / millrace::line_bytes;
  }
  // Each in a place by its number: those of one ring are in different ones.
  static std::array<page, 256>& pages() noexcept {
    static std::array<page, 256> all;
    return all;
  }
  template <class F>
  static bool for_pages(void* at, std::size_t bytes, F f) noexcept {
    for (std::uintptr_t n = page_number(at); n != page_number(at) + bytes / millrace::line_bytes; ++n) {
      page& p = pages()[n % pages().size()];
      if (p.number != n) p = {n};
      if (!f(p)) return false;
    }
    return true;
  }
  static page page_of(const void* at) noexcept {
    const page& p = pages()[page_number(at) % pages().size()];
    return p.number == page_number(at) ? p : page{};
  }
  static void fail(const char* what, site s) noexcept {
    if (recorder::installed != nullptr) tell({.where = s, .event = what});
    rl::ctx().fail_test(what, rl::test_result_user_assert_failed, info(s));
  }

  // One thread that waits for any of several words.
  struct sleeper_at_several {
    std::array<const void*, 8> words{};  // that the kernel has looked at
    std::size_t count = 0;
    bool woken = false;
    bool parked = false;
    rl::waitset<most_threads> place{};
  };
  static std::array<sleeper_at_several, most_threads>& sleepers() noexcept {
    static std::array<sleeper_at_several, most_threads> all;
    return all;
  }
};

static_assert(millrace::platform<relacy_platform>);

}  // namespace verify

#endif  // MILLRACE_VERIFY_RELACY_PLATFORM_H_
