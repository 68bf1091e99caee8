// The rings that the demonstration runs: one table, and a common face for them.
#ifndef MILLRACE_VERIFY_RACES_RINGS_H_
#define MILLRACE_VERIFY_RACES_RINGS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "millrace/result.h"
#include "millrace/status.h"
#include "verify/races/broken_ring.h"
#include "verify/races/history.h"

namespace millrace::races {

struct shape {
  std::uint32_t producers = 2;
  std::uint32_t consumers = 2;
  std::uint64_t capacity = 0;  // messages; 0: the ring's own choice
};

// One process's end of a ring.
class port {
 public:
  virtual ~port() = default;
  virtual status push(const parcel& m) = 0;              // waits for room
  virtual bool pop(parcel& m) = 0;                       // waits for a message; false: none will come any more
  virtual void finish() = 0;                             // this producer has pushed its last
  virtual std::uint32_t last_slot() const { return 0; }  // of the last push; known for broken rings only
};

// A ring in memory that forked children inherit. Gone, name and all, with the
// object; what is left by a process that dies before is found by `sweep`.
class channel {
 public:
  virtual ~channel() = default;
  // In the child that uses it. `producers_left` is shared by all, and counts
  // those that have not finished.
  virtual std::unique_ptr<port> produce(std::uint32_t producer, std::atomic<std::uint32_t>& producers_left) = 0;
  virtual std::unique_ptr<port> consume(std::uint32_t consumer, std::atomic<std::uint32_t>& producers_left) = 0;
};

struct contender {
  std::string_view name;
  std::string_view about;
  const flaw* wrong;  // null: the library's, which promises to lose nothing
  // A shipped one with a name: in POSIX shared memory of that name, which must be free.
  result<std::unique_ptr<channel>> (*create)(const shape&, const std::optional<std::string>& name);

  bool shipped() const { return wrong == nullptr; }
};

std::span<const contender> contenders();

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_RINGS_H_
