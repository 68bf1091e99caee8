#include "verify/races/zoo/stage.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <span>
#include <thread>

namespace millrace::races {

void pause_a_little() noexcept { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }

void stage::enter(unsigned actor, condition cue) noexcept {
  here = this;
  me = actor;
  cast_[me].process.store(getpid(), std::memory_order_relaxed);
  cast_[me].thread.store(static_cast<pid_t>(syscall(SYS_gettid)), std::memory_order_relaxed);
  wait_for(cue, phase::at_a_gate);
}

// release: what the actor noted, for whoever watches and reads it.
void stage::leave() noexcept { cast_[me].now.store(phase::done, std::memory_order_release); }

void stage::halt_at(point where, condition until) noexcept {
  cast_[me].until = until;
  cast_[me].halts_at = where;
}

// Once: at the first time that it comes there.
void stage::halt() noexcept {
  cast_[me].halts_at = point::nowhere;
  wait_for(cast_[me].until, phase::halted);
}

void stage::wait_for(condition holds, phase meanwhile) noexcept {
  cast_[me].gate.store(holds, std::memory_order_relaxed);
  cast_[me].now.store(meanwhile, std::memory_order_relaxed);
  while (holds != nullptr && !holds(*this)) pause_a_little();
  cast_[me].now.store(phase::playing, std::memory_order_relaxed);
}

// Those at a gate wait for the others: what does not hold when all others sleep
// will never hold.
bool stage::is_stuck(unsigned actor, const look& seen) const noexcept {
  if (seen.now == phase::playing) return seen.asleep;
  if (seen.now != phase::at_a_gate && seen.now != phase::halted) return false;
  const condition holds = cast_[actor].gate.load(std::memory_order_relaxed);
  return holds != nullptr && !holds(*this);
}

void stage::note_sent() noexcept { cast_[me].sent.fetch_add(1, std::memory_order_relaxed); }

void stage::note_received(const arrival& a) noexcept {
  const std::uint32_t n = cast_[me].received.load(std::memory_order_relaxed);
  cast_[me].arrivals[n] = a;
  cast_[me].received.store(n + 1, std::memory_order_relaxed);
}

bool stage::halted(unsigned actor) const noexcept { return of(actor) == phase::halted; }
bool stage::done(unsigned actor) const noexcept { return of(actor) == phase::done; }
bool stage::dead(unsigned actor) const noexcept { return of(actor) == phase::dead; }

bool stage::settled(unsigned actor) const noexcept {
  if (done(actor)) return true;
  const look first = look_at(actor);
  if (!first.asleep) return false;
  pause_a_little();
  return look_at(actor) == first;
}

bool stage::over() const noexcept {
  for (unsigned a = 0; a != actors_; ++a) {
    if (!done(a) && !dead(a)) return false;
  }
  // acquire: pairs with leave.
  for (unsigned a = 0; a != actors_; ++a) cast_[a].now.load(std::memory_order_acquire);
  return true;
}

// No deadline decides this. If all sleep, or wait at a gate, at two looks, and none
// has done anything between them, then there was an instant at which all did; and
// nobody else is there.
bool stage::hung() const noexcept {
  std::array<look, most_actors> first;
  for (unsigned a = 0; a != actors_; ++a) first[a] = look_at(a);
  pause_a_little();
  bool anyone = false;
  for (unsigned a = 0; a != actors_; ++a) {
    if (first[a].now == phase::done || first[a].now == phase::dead) continue;
    anyone = true;
    if (!is_stuck(a, first[a])) return false;
  }
  for (unsigned a = 0; a != actors_; ++a) {
    if (look_at(a) != first[a]) return false;
  }
  return anyone;
}

void stage::bury(unsigned actor) noexcept { cast_[actor].now.store(phase::dead, std::memory_order_relaxed); }

pid_t stage::process(unsigned actor) const noexcept { return cast_[actor].process.load(std::memory_order_relaxed); }
pid_t stage::thread(unsigned actor) const noexcept { return cast_[actor].thread.load(std::memory_order_relaxed); }

history stage::notes(unsigned producers) const {
  history h;
  for (unsigned a = 0; a != actors_; ++a) {
    const seat& who = cast_[a];
    if (a < producers) {
      h.sent.push_back(who.sent.load(std::memory_order_relaxed));
    } else {
      h.received.emplace_back(std::span(who.arrivals).first(who.received.load(std::memory_order_relaxed)));
    }
  }
  return h;
}

stage::look stage::look_at(unsigned actor) const noexcept {
  const phase before = of(actor);
  if (before != phase::playing) return {.now = before};  // to sleep at a gate is not to sleep in a ring
  std::array<char, 64> path;
  std::snprintf(path.data(), path.size(), "/proc/%d/task/%d/status", process(actor), thread(actor));
  std::array<char, 4096> text;
  const int file = open(path.data(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {.now = before};
  const ssize_t got = read(file, text.data(), text.size() - 1);
  close(file);
  if (got <= 0) return {.now = before};
  text[static_cast<std::size_t>(got)] = '\0';
  const char* const state = std::strstr(text.data(), "\nState:\t");
  constexpr const char* counter = "\nvoluntary_ctxt_switches:\t";
  const char* const times = std::strstr(text.data(), counter);
  if (state == nullptr || times == nullptr || of(actor) != before) return {.now = of(actor)};
  return {before, state[std::strlen("\nState:\t")] == 'S', std::strtoull(times + std::strlen(counter), nullptr, 10)};
}

}  // namespace millrace::races
