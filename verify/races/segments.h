// Shared memory that a killed demonstration does not leave behind for good.
#ifndef MILLRACE_VERIFY_RACES_SEGMENTS_H_
#define MILLRACE_VERIFY_RACES_SEGMENTS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "millrace/result.h"

namespace millrace::races {

// A System V segment, as in the textbook, that the kernel removes when the last
// process which maps it is gone, however it goes.
class sysv_segment {
 public:
  static result<sysv_segment> create(std::size_t bytes);
  sysv_segment(sysv_segment&& other) noexcept;
  sysv_segment& operator=(sysv_segment&&) = delete;
  ~sysv_segment();

  void* base() const { return base_; }

 private:
  explicit sysv_segment(void* base) : base_(base) {}

  void* base_;
};

// Where this process creates its `index`th named segment. The name says who made
// it, so that `sweep` knows when nobody is left to remove it.
std::string owned_name(std::uint32_t index);

// A second name, chosen by the user, for the segment `owned`. Both go with the object.
class published_name {
 public:
  static result<published_name> create(const std::string& owned, const std::string& name);
  published_name(published_name&& other) noexcept;
  published_name& operator=(published_name&&) = delete;
  ~published_name();

 private:
  published_name(std::string owned, std::string name) : owned_(std::move(owned)), name_(std::move(name)) {}

  std::string owned_;
  std::string name_;  // empty: moved from
};

// Removes the segments, under all their names, of demonstrations that are dead.
void sweep();

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_SEGMENTS_H_
