// The rings to kill somebody in, whatever their type.
#ifndef MILLRACE_VERIFY_CRASH_RINGS_H_
#define MILLRACE_VERIFY_CRASH_RINGS_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "millrace/deadline.h"
#include "millrace/result.h"
#include "millrace/shared_memory.h"
#include "millrace/shared_ring.h"
#include "millrace/status.h"
#include "verify/races/history.h"

namespace millrace::crash {

using races::parcel;

// What a pop brought; of a batch, too.
struct popped {
  status why;  // ok where messages were redelivered, too
  std::size_t count = 0;
  bool redelivered = false;  // they had been in a dead consumer's hands
};

// A member's place at a ring. Each call is one call of the ring itself.
class seat {
 public:
  seat() = default;
  seat(const seat&) = delete;
  seat& operator=(const seat&) = delete;
  virtual ~seat() = default;

  virtual status try_push(const parcel& m) = 0;
  virtual popped try_pop(parcel& m) = 0;
  virtual batch_result try_push_n(std::span<const parcel> m) = 0;
  virtual popped try_pop_n(std::span<parcel> m) = 0;
  virtual status push(const parcel& m, deadline until) = 0;
  virtual popped pop(parcel& m, deadline until) = 0;
  virtual batch_result push_n(std::span<const parcel> m) = 0;
  virtual popped pop_n(std::span<parcel> m) = 0;
  // In place, where the ring has that; else by a copy.
  virtual status reserve(const parcel& m, deadline until) = 0;
  virtual void withdraw() = 0;
  virtual popped peek(parcel& m, deadline until) = 0;
  // Beside a ring that is not ready (select.h).
  virtual status select_push(const parcel& m) = 0;
  virtual popped select_pop(parcel& m) = 0;
  virtual void close() = 0;
  // How many messages it has missed: of a lossy broadcast.
  virtual std::uint64_t missed() const { return 0; }
};

// A ring in a segment, to attach to.
class segment {
 public:
  segment() = default;
  segment(const segment&) = delete;
  segment& operator=(const segment&) = delete;
  virtual ~segment() = default;

  // Nothing if every place is taken. Of a broadcast: whether it receives, from here on.
  virtual std::unique_ptr<seat> attach(bool receives = true) = 0;
};

struct ring_type {
  std::string_view name;
  bool one_to_one;       // one producer and one consumer at a time
  bool mortal;           // its users do not survive a death
  bool in_place;         // messages can be written and read where they lie
  bool rendezvous;       // it has no capacity
  bool batches;          // more than one message a call
  bool selects;          // it can be waited for beside others
  bool broadcasts;       // each receiver gets every message
  bool runs;             // whoever was the last to claim claims in a way of its own
  ring_options options;  // all but capacity and members
  std::uint32_t places;  // of members, that a seat takes
  result<std::unique_ptr<segment>> (*create)(const location& where, const ring_options& options);
  result<std::unique_ptr<segment>> (*open_or_create)(const location& where, const ring_options& options);
};

// The library's first, then the mortal ones.
std::span<const ring_type> ring_types();

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_RINGS_H_
