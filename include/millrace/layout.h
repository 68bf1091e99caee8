// What stands at the start of a ring's segment, and how an opener checks it.
#ifndef MILLRACE_LAYOUT_H_
#define MILLRACE_LAYOUT_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <typeinfo>

#include "millrace/result.h"
#include "millrace/ring.h"

namespace millrace {

// Everything that two programs must agree on before they share a ring. Of the message
// type its name, size and alignment: one whose members have changed places needs
// another name.
struct ring_description {
  std::string_view kind;          // "mpmc_ring"
  std::string_view message_type;  // mangled: the same from g++ and clang
  std::uint64_t message_bytes = 0;
  std::uint64_t message_align = 0;
  geometry shape;

  template <class Ring>
  static ring_description of(const geometry& g) {
    using T = typename Ring::value_type;
    return {Ring::kind, typeid(T).name(), sizeof(T), alignof(T), g};
  }
};

//   segment's payload  [ ring_header | roster | keepers' part | ring: Ring::bytes ]
//
// Written once, before anyone else can see the segment; read once by each opener,
// who copies the geometry and never looks again.
struct alignas(line_bytes) ring_header {
  static constexpr std::uint32_t current_version = 7;

  std::uint32_t version;
  std::uint32_t header_bytes;  // differs between ABIs
  std::uint64_t message_bytes;
  std::uint64_t message_align;
  std::uint64_t capacity;
  std::uint32_t members;
  delivery on_death;
  std::uint8_t keep_open;
  millrace::fidelity fidelity;
  char kind[25];
  char message_type[128];           // for people; cut short if longer
  std::uint64_t message_type_hash;  // FNV-1a of the whole mangled name
  std::uint32_t max_message;
};

// Where the parts of a segment for this shape begin, from the payload's base.
std::size_t roster_offset() noexcept;
std::size_t ring_offset(const geometry& g) noexcept;

// Makes the roster and the keepers' part, too.
void write_header(void* base, const ring_description& d) noexcept;

// Reads the header of a segment of `size` bytes. An error if it is not one for
// `expected`'s kind and message type; the message says what was found. The
// geometry any_shape in `expected` accepts whatever shape is there.
result<geometry> read_header(const void* base, std::size_t size, const ring_description& expected,
                             const std::string& object);

// What a segment of `size` bytes says that it holds, for people: "mpmc_ring of 8 x tick
// (16 bytes) for 4 members", or that it is no ring's.
std::string describe(const void* base, std::size_t size);

}  // namespace millrace

#endif  // MILLRACE_LAYOUT_H_
