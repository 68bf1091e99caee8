// A ring in shared memory: created or opened by name, key or descriptor, checked, attached to.
#ifndef MILLRACE_SHARED_RING_H_
#define MILLRACE_SHARED_RING_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "millrace/futex.h"
#include "millrace/layout.h"
#include "millrace/process.h"
#include "millrace/result.h"
#include "millrace/ring.h"
#include "millrace/shared_memory.h"

namespace millrace {

struct ring_options {
  std::uint64_t capacity = 1024;  // messages; each ring says which numbers it takes
  std::uint32_t members = 128;    // handles that may be attached at once
  mode_t mode = 0600;             // exactly this, whatever the umask
};

// The segment of a `Ring`, mapped into this process. Movable; its handles refer to
// it and must not outlive it. Inherited by fork, and then usable in the child.
//
// Setting up prints nothing: an error's message is a line fit to be shown. It waits
// for nobody but a living process that is initialising the same System V segment,
// and for that one at most two seconds (errc::limit). A process that is killed
// while it creates leaves nothing, or something that the next creator finishes.
template <ring Ring>
class shared_ring {
 public:
  using value_type = typename Ring::value_type;

  // A handle: the ring, and a member's place in it, left when the handle goes.
  // For one thread at a time. Not for a child of fork: that attaches its own. The
  // place of a process that was killed stays taken.
  class handle : public Ring {
   public:
    handle(handle&& other) noexcept : Ring(other), base_(std::exchange(other.base_, nullptr)), place_(other.place_) {}
    handle& operator=(handle&&) = delete;
    ~handle() {
      if (base_ != nullptr) leave_place(base_, place_, process_identity::self());
    }

   private:
    friend class shared_ring;
    handle(void* base, const geometry& g, std::uint32_t place) noexcept
        : Ring(static_cast<std::byte*>(base) + ring_offset(g), g, place), base_(base), place_(place) {}

    void* base_;
    std::uint32_t place_;
  };

  // errc::exists if something is there already.
  static result<shared_ring> create(const location& where, const ring_options& options = {}) {
    const geometry g{options.capacity, options.members};
    if (auto wrong = refusal(where, g)) return *std::move(wrong);
    return checked(shared_memory::create(where, payload_bytes(g), options.mode, constructor(g)), g);
  }

  // Whatever its capacity; errc::incompatible if it holds another kind of ring or message.
  static result<shared_ring> open(const location& where) { return checked(shared_memory::open(where), {0, 0}); }

  // errc::incompatible if it is there with another capacity or number of members.
  static result<shared_ring> open_or_create(const location& where, const ring_options& options = {}) {
    const geometry g{options.capacity, options.members};
    if (auto wrong = refusal(where, g)) return *std::move(wrong);
    return checked(shared_memory::open_or_create(where, payload_bytes(g), options.mode, constructor(g)), g);
  }

  // A memfd that was inherited or received; the descriptor stays the caller's.
  static result<shared_ring> adopt(int descriptor) { return checked(shared_memory::adopt(descriptor), {0, 0}); }

  // Takes a member's place. errc::limit if all are taken.
  result<handle> attach() {
    const auto place = take_place(memory_.base(), shape_, process_identity::self());
    if (place) return handle(memory_.base(), shape_, *place);
    return error{errc::limit, 0, memory_.where().describe(),
                 memory_.where().describe() + ": all " + std::to_string(shape_.members) +
                     " members' places are taken; create the ring with more, or let a handle go"};
  }

  const geometry& shape() const noexcept { return shape_; }
  const shared_memory& memory() const noexcept { return memory_; }

 private:
  shared_ring(shared_memory memory, const geometry& shape) : memory_(std::move(memory)), shape_(shape) {}

  static std::size_t payload_bytes(const geometry& g) { return ring_offset(g) + Ring::bytes(g); }

  static shared_memory::initialiser constructor(const geometry& g) {
    return [g](void* base) {
      write_header(base, ring_description::of<Ring>(g));
      Ring::construct(static_cast<std::byte*>(base) + ring_offset(g), g);
    };
  }

  static std::optional<error> refusal(const location& where, const geometry& g) {
    std::string why = Ring::refuse(g);
    if (why.empty() && (g.members < 1 || g.members > max_members)) {
      why = "members " + std::to_string(g.members) + " is not from 1 to " + std::to_string(max_members);
    }
    if (why.empty()) return std::nullopt;
    return error{errc::bad_argument, 0, where.describe(),
                 where.describe() + ": " + std::string(Ring::kind) + ": " + why};
  }

  static result<shared_ring> checked(result<shared_memory> memory, const geometry& wanted) {
    if (!memory) return memory.error();
    const std::string object = memory->where().describe();
    const auto shape = read_header(memory->base(), memory->size(), ring_description::of<Ring>(wanted), object);
    if (!shape) return shape.error();
    if (const std::string why = Ring::refuse(*shape);
        !why.empty() || shape->members < 1 || shape->members > max_members) {
      return error{errc::foreign, 0, object, object + ": its header is damaged (" + why + "); unlink it"};
    }
    if (memory->size() < payload_bytes(*shape)) {
      return error{errc::foreign, 0, object,
                   object + ": holds " + std::to_string(memory->size()) + " bytes, its header promises " +
                       std::to_string(payload_bytes(*shape)) + "; it was cut off: unlink it"};
    }
    if (const auto joined = join_barriers(); !joined) return joined.error();
    return shared_ring(*std::move(memory), *shape);
  }

  static constexpr std::uint32_t max_members = 1u << 12;

  shared_memory memory_;
  geometry shape_;
};

}  // namespace millrace

#endif  // MILLRACE_SHARED_RING_H_
