// A ring in shared memory: created or opened by name, key or descriptor, checked, attached to.
#ifndef MILLRACE_SHARED_RING_H_
#define MILLRACE_SHARED_RING_H_

#include <sys/types.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "millrace/futex.h"
#include "millrace/keeper.h"
#include "millrace/layout.h"
#include "millrace/pages.h"
#include "millrace/process.h"
#include "millrace/result.h"
#include "millrace/ring.h"
#include "millrace/roster.h"
#include "millrace/shared_memory.h"

namespace millrace {

struct ring_options {
  std::uint64_t capacity = 1024;                     // messages; each ring says which numbers it takes
  std::uint32_t members = 128;                       // handles that may be attached at once
  mode_t mode = 0600;                                // exactly this, whatever the umask
  delivery on_death = delivery::redeliver;           // of what a killed consumer had in its hands
  bool keep_open = false;                            // of a channel: see channel.h
  millrace::fidelity fidelity = fidelity::lossless;  // of a broadcast: see broadcast.h
  std::uint32_t max_message = 0;                     // bytes, of a byte_channel
  bool prefault = false;    // of this mapping: see shared_memory.h. What is refused is an error,
  bool huge_pages = false;  // and nothing is left of a segment that was made for it

  geometry shape() const noexcept { return {capacity, members, on_death, keep_open, fidelity, max_message}; }
};

// Empty, or one line that says why no `Ring` in shared memory has this geometry.
template <ring Ring>
std::string refuse(const geometry& g) {
  std::string why = Ring::refuse(g);
  if (!why.empty() && g.capacity == 0) why += "; rendezvous_ring has that";
  if (why.empty()) why = refuse_unless_within("members", g.members, max_members);
  if (why.empty() && g.max_message != 0 && !requires(const Ring& r) { r.max_message(); }) {
    why = "max_message " + std::to_string(g.max_message) + " is for a byte_channel: all messages here have one size";
  }
  return why;
}

// The shape of the `Ring` in a segment of `size` bytes from `base` on, which may hold
// anything: an error unless all of a ring like `wanted` is there (see read_header).
template <ring Ring>
result<geometry> inspect(const void* base, std::size_t size, const geometry& wanted, const std::string& object) {
  auto shape = read_header(base, size, ring_description::of<Ring>(wanted), object);
  if (!shape) return shape;
  if (const std::string why = refuse<Ring>(*shape); !why.empty()) {
    return error{errc::foreign, 0, object, object + ": its header is damaged (" + why + "); unlink it"};
  }
  if (const std::size_t promised = ring_offset(*shape) + Ring::bytes(*shape); size < promised) {
    return error{errc::foreign, 0, object,
                 object + ": holds " + std::to_string(size) + " bytes, its header promises " +
                     std::to_string(promised) + "; it was cut off: unlink it"};
  }
  return shape;
}

// The segment of a `Ring`, mapped into this process. Movable, and its handles stay good; they refer
// to it and must not outlive it. One that was moved from may only be destroyed, or asked to attach. Inherited by fork,
// and then usable in the child.
//
// Setting up prints nothing: an error's message is a line fit to be shown. It waits
// for nobody but a living process that is initialising the same System V segment,
// and for that one at most two seconds (errc::limit). A process that is killed
// while it creates leaves nothing, or something that the next creator finishes.
template <ring Ring>
class shared_ring {
 public:
  using value_type = typename Ring::value_type;

  // A handle: the ring, and a member's place in it, left when the handle goes. For
  // one thread at a time. Not for a child of fork, which attaches its own: there, and where it
  // was moved from, it is a ring of nobody else's, the smallest there is, empty and closed. If
  // its process is killed, the others settle what it held, and its place is free again.
  class handle : public Ring {
   public:
    handle(handle&& other) noexcept
        : Ring(other),
          keeper_(std::exchange(other.keeper_, nullptr)),
          closed_(other.closed_),
          place_(other.place_),
          forked_(&handle::shut, this) {
      other.forked_.forget();
      shut(&other);
    }
    handle& operator=(handle&&) = delete;
    ~handle() {
      if (attached()) keeper_->leave(place_);
    }

    // Its number in members().
    std::uint32_t place() const noexcept { return place_; }

   protected:
    // Whether the place is this handle's: not one that was moved from, nor a parent's.
    bool attached() const noexcept { return keeper_ != nullptr && keeper_->mine(); }

   private:
    friend class shared_ring;
    handle(Ring ring, keeper* of, const Ring* closed, std::uint32_t at) noexcept
        : Ring(std::move(ring)), keeper_(of), closed_(closed), place_(at), forked_(&handle::shut, this) {}

    static void shut(void* whom) noexcept {
      auto* const h = static_cast<handle*>(whom);
      static_cast<Ring&>(*h) = *h->closed_;
    }

    keeper* keeper_;
    const Ring* closed_;
    std::uint32_t place_;
    fork_witness forked_;
  };

  // errc::exists if something is there already.
  static result<shared_ring> create(const location& where, const ring_options& options = {}) {
    const geometry g = options.shape();
    if (auto wrong = refusal(where, options)) return *std::move(wrong);
    return checked(shared_memory::create(where, payload_bytes(g), options.mode, constructor(g), growing(g)), g,
                   options);
  }

  // Whatever its capacity; errc::incompatible if it holds another kind of ring or message.
  static result<shared_ring> open(const location& where) { return checked(shared_memory::open(where), any_shape); }

  // errc::incompatible if it is there with another capacity or number of members.
  static result<shared_ring> open_or_create(const location& where, const ring_options& options = {}) {
    const geometry g = options.shape();
    if (auto wrong = refusal(where, options)) return *std::move(wrong);
    return checked(shared_memory::open_or_create(where, payload_bytes(g), options.mode, constructor(g), growing(g)), g,
                   options);
  }

  // A memfd that was inherited or received; the descriptor stays the caller's.
  static result<shared_ring> adopt(int descriptor) { return checked(shared_memory::adopt(descriptor), any_shape); }

  // Takes a member's place: a free one, or that of one that was killed, once what it
  // held is settled. errc::limit if all are taken by the living. The first call in
  // a process starts its keeper for this segment (keeper.h), a thread that sleeps. Any
  // number of threads may call it at once; a child forked while another thread was in
  // here opens the segment anew. errc::system, limit or no_space where the system
  // refuses what the keeper needs, errc::foreign if the segment has been truncated, errc::bad_argument
  // if this one was moved from.
  result<handle> attach() {
    if (keeper_ == nullptr) {
      const std::string object(Ring::kind);
      return error{errc::bad_argument, 0, object,
                   object + ": it was moved from, so there is nothing to attach to; use the one it was moved to"};
    }
    const std::lock_guard alone(keeper_->starting);
    if (keeper_->thread != nullptr && !keeper_->thread->mine()) {
      (void)keeper_->thread.release();  // our parent's, and still asked by the handles that we inherited
    }
    if (keeper_->thread == nullptr) {
      auto started = keeper::start(
          at(roster_offset()), shape_.members,
          {.alarm = [ring = as(0)]() mutable { ring.alarm(); },
           .settle = [base = memory_.base(), shape = shape_](std::uint32_t place) { as(base, shape, place).settle(); }},
          memory_.where().describe());
      if (!started) return started.error();
      keeper_->thread = *std::move(started);
    }
    if (!keeper_->shut.make(shape_)) {
      return error{errc::no_space, ENOMEM, memory_.where().describe(),
                   memory_.where().describe() +
                       ": no memory for what its handles are in children of fork; free some, "
                       "or raise the limit of address space (ulimit -v)"};
    }
    const auto place = keeper_->thread->join();
    if (memory_.cut_off()) {  // asked when it has been touched
      if (place) keeper_->thread->leave(*place);
      return error{errc::foreign, 0, memory_.where().describe(),
                   memory_.where().describe() + ": somebody has truncated it; unlink it, and create it anew"};
    }
    if (place) return handle(as(*place), keeper_->thread.get(), keeper_->shut.get(), *place);
    const std::string why = keeper_->thread->places() == keeper::most_places
                                ? "this process has " + std::to_string(keeper::most_places) +
                                      " places, the most that one can; let a handle go, or attach in another process"
                                : "all " + std::to_string(shape_.members) +
                                      " members' places are taken; create the ring with more, or let a handle go";
    return error{errc::limit, 0, memory_.where().describe(), memory_.where().describe() + ": " + why};
  }

  // Who is attached, and who has been killed and not been replaced yet.
  std::vector<member> members() const { return list_members(at(roster_offset()), shape_.members); }

  // What the members have recovered so far.
  recoveries recovered() const noexcept { return roster<platform>(at(roster_offset()), shape_.members).recovered(); }

  const geometry& shape() const noexcept { return shape_; }
  const shared_memory& memory() const noexcept { return memory_; }

 private:
  shared_ring(shared_memory memory, const geometry& shape) : memory_(std::move(memory)), shape_(shape) {}

  using platform = typename Ring::platform_type;

  void* at(std::size_t offset) const noexcept { return static_cast<std::byte*>(memory_.base()) + offset; }

  static Ring as(void* base, const geometry& g, std::uint32_t place) noexcept {
    auto* const bytes = static_cast<std::byte*>(base);
    return Ring(bytes + ring_offset(g), g, {roster<platform>(bytes + roster_offset(), g.members), place});
  }
  Ring as(std::uint32_t place) const noexcept { return as(memory_.base(), shape_, place); }

  static std::size_t payload_bytes(const geometry& g) { return ring_offset(g) + Ring::bytes(g); }

  // A ring whose memory comes as it fills says which part of its bytes that is.
  static constexpr bool grows = requires(const geometry& g) { Ring::growing(g); };
  static extent growing(const geometry& g) {
    if constexpr (grows) {
      const extent e = Ring::growing(g);
      return {e.from + ring_offset(g), e.to + ring_offset(g)};
    } else {
      return {};
    }
  }

  static shared_memory::initialiser constructor(const geometry& g) {
    return [g](void* base) {
      write_header(base, ring_description::of<Ring>(g));
      Ring::construct(static_cast<std::byte*>(base) + ring_offset(g), g);
    };
  }

  // What would go wrong, told before anything is made.
  static std::optional<error> refusal(const location& where, const ring_options& options) {
    std::string why = refuse<Ring>(options.shape());
    if (grows && why.empty() && (options.prefault || options.huge_pages)) {
      why =
          "prefault and huge_pages take all of a ring's memory at once, and here it comes as the ring fills: do "
          "without";
    }
    if (!why.empty()) {
      return error{errc::bad_argument, 0, where.describe(),
                   where.describe() + ": " + std::string(Ring::kind) + ": " + why};
    }
    if (const auto joined = join_barriers(); !joined) return joined.error();
    return std::nullopt;
  }

  // As the options ask for; or why not.
  static std::optional<error> arranged(shared_memory& memory, const ring_options& options) {
    if constexpr (grows) {
      if (const auto able = memory.check_growth(); !able) return able.error();
    }
    if (options.huge_pages) {
      if (const auto asked = memory.use_huge_pages(); !asked) return asked.error();
    }
    if (options.prefault) {
      if (const auto entered = memory.prefault(); !entered) return entered.error();
    }
    return std::nullopt;
  }

  static result<shared_ring> checked(result<shared_memory> memory, const geometry& wanted,
                                     const ring_options& options = {}) {
    if (!memory) return memory.error();
    const std::string object = memory->where().describe();
    const auto shape = inspect<Ring>(memory->base(), memory->size(), wanted, object);
    if (!shape) return shape.error();
    if (const auto joined = join_barriers(); !joined) return joined.error();
    if (auto refused = arranged(*memory, options)) {
      if (memory->created()) (void)shared_memory::unlink(memory->where());
      return *std::move(refused);
    }
    memory->if_truncated([shape = *shape](void* base) {
      Ring::construct_cut_off(static_cast<std::byte*>(base) + ring_offset(shape), shape);
    });
    return shared_ring(*std::move(memory), *shape);
  }

  // The smallest of its kind, closed, in memory of this process: with room for one message.
  class closed_ring {
   public:
    // Once. False: there is no memory.
    bool make(geometry g) {
      if (ring_) return true;
      g.members = 1;
      g.capacity = 0;
      if (!Ring::refuse(g).empty()) g.capacity = 1;
      std::size_t room = payload_bytes(g) + line_bytes;
      memory_.reset(std::calloc(room, 1));
      void* base = memory_.get();
      if (base == nullptr) return false;
      std::align(line_bytes, payload_bytes(g), base, room);
      constructor(g)(base);
      ring_ = as(base, g, 0);
      ring_->close();
      return true;
    }

    const Ring* get() const noexcept { return &*ring_; }

   private:
    std::unique_ptr<void, decltype(&std::free)> memory_{nullptr, &std::free};
    std::optional<Ring> ring_{};
  };

  shared_memory memory_;
  geometry shape_;
  struct started_once {
    std::mutex starting;
    std::unique_ptr<keeper> thread;
    closed_ring shut;  // what handles are that have been moved from, or inherited by fork
  };
  std::unique_ptr<started_once> keeper_ = std::make_unique<started_once>();  // goes before what it keeps
};

}  // namespace millrace

#endif  // MILLRACE_SHARED_RING_H_
