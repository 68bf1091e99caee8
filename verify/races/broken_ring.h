// What a ring that is wrong on purpose has to offer, so that the demonstration can convict it.
#ifndef MILLRACE_VERIFY_RACES_BROKEN_RING_H_
#define MILLRACE_VERIFY_RACES_BROKEN_RING_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "millrace/platform.h"
#include "millrace/ring.h"
#include "millrace/status.h"

namespace millrace::races {

// A line of source, for a report to show. A test holds `text` to the file.
struct source_line {
  std::string_view file;
  unsigned number = 0;
  std::string_view text;
};

struct flaw {
  source_line in_push;     // to blame where producers overwrite or lose a message
  source_line in_pop;      // to blame where consumers take one twice or pass one over
  std::string_view why;    // what is wrong, in a line
  std::string_view alone;  // why it seems to work between one producer and one consumer
};

// To add one: a header beside this one, named *_ring.h, and a line in the table of rings.cc.
template <class R>
concept broken_ring = requires(R r, const R constant, void* at, const geometry& g, std::uint32_t member,
                               const typename R::value_type& in, typename R::value_type& out) {
  { R::kind } -> std::convertible_to<std::string_view>;   // its name in the table
  { R::about } -> std::convertible_to<std::string_view>;  // what it is, in a line
  { R::wrong } -> std::convertible_to<flaw>;
  // As with every ring (millrace/ring.h), but that it is torn down by nobody.
  { R::refuse(g) } -> std::same_as<std::string>;
  { R::bytes(g) } -> std::same_as<std::size_t>;
  { R::construct(at, g) } -> std::same_as<void>;
  R(at, g, member);
  { r.push(in) } -> std::same_as<status>;  // waits for room
  { r.try_pop(out) } -> std::same_as<status>;
  { constant.last_slot() } -> std::same_as<std::uint32_t>;  // where this handle's last push went
};

}  // namespace millrace::races

#endif  // MILLRACE_VERIFY_RACES_BROKEN_RING_H_
