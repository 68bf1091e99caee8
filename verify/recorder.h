// Who wants to know each step of an execution, and not only how it ended.
#ifndef MILLRACE_VERIFY_RECORDER_H_
#define MILLRACE_VERIFY_RECORDER_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "verify/site.h"

namespace verify {

// A value of any type, as bytes: the first sixteen of them.
struct bits {
  std::array<std::uint64_t, 2> words{};

  template <class T>
  static bits of(const T& value) noexcept {
    bits b;
    std::memcpy(b.words.data(), static_cast<const void*>(&value), std::min(sizeof value, sizeof b.words));
    return b;
  }
  friend bool operator==(const bits&, const bits&) = default;
};

struct step {
  enum class kind {
    load,            // of an atomic, as are the next three
    store,           //
    update,          // read-modify-write
    failed_compare,  // a compare-exchange that wrote nothing
    read,            // of plain memory
    write,           //
    event,           // anything else
  };

  unsigned thread = 0;
  kind what = kind::event;
  site where = site::here();
  const void* object = nullptr;  // the atomic or plain; of an event, what is slept on, or none
  bits found{};                  // what a load, read or read-modify-write returned
  bits left{};                   // what the object holds afterwards: a load that found else was stale
  const char* event = nullptr;   // in words
};

// Told while an execution runs, on its threads' stacks: allocates nothing.
class recorder {
 public:
  virtual ~recorder() = default;

  virtual void execution_begins() = 0;  // before() is called
  virtual void threads_begin() = 0;     // before() has returned
  virtual void threads_end() = 0;       // after() is called
  // A step that has just been done, and before which others may have run; or a
  // plain access that comes next, and that may be the data race.
  virtual void record(const step& s) = 0;
  // What the plain read that was recorded last has returned.
  virtual void returned(const bits& value) = 0;

  static inline recorder* installed = nullptr;
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_RECORDER_H_
