#include "millrace/layout.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

namespace millrace {
namespace {

std::uint64_t hash(std::string_view text) noexcept {
  std::uint64_t h = 0xcbf29ce484222325u;
  for (const char c : text) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001b3u;
  return h;
}

template <std::size_t N>
void copy_text(char (&to)[N], std::string_view from) noexcept {
  std::memset(to, 0, N);
  std::memcpy(to, from.data(), std::min(from.size(), N - 1));
}

template <std::size_t N>
std::string text(const char (&from)[N]) {
  std::string s(from, ::strnlen(from, N));
  std::replace_if(
      s.begin(), s.end(), [](unsigned char c) { return c < 0x20 || c >= 0x7f; }, '?');
  return s;
}

std::string demangled(const std::string& name) {
  int failed = 0;
  const std::unique_ptr<char, void (*)(void*)> plain(abi::__cxa_demangle(name.c_str(), nullptr, nullptr, &failed),
                                                     &std::free);
  return failed == 0 ? plain.get() : name;
}

std::string shape(const std::string& kind, std::uint64_t capacity, std::uint64_t bytes, const std::string& type) {
  return kind + " of " + std::to_string(capacity) + " x " + demangled(type) + " (" + std::to_string(bytes) + " bytes)";
}

}  // namespace

std::size_t places_offset() noexcept { return sizeof(ring_header); }

std::size_t ring_offset(const geometry& g) noexcept {
  const std::size_t end = places_offset() + g.members * sizeof(member_place);
  return (end + line_bytes - 1) / line_bytes * line_bytes;
}

void write_header(void* base, const ring_description& d) noexcept {
  ring_header h{};
  h.version = ring_header::current_version;
  h.header_bytes = sizeof(ring_header);
  h.message_bytes = d.message_bytes;
  h.message_align = d.message_align;
  h.capacity = d.shape.capacity;
  h.members = d.shape.members;
  copy_text(h.kind, d.kind);
  copy_text(h.message_type, d.message_type);
  h.message_type_hash = hash(d.message_type);
  std::memcpy(base, &h, sizeof(h));
  auto* const places = reinterpret_cast<member_place*>(static_cast<std::byte*>(base) + places_offset());
  for (std::uint32_t i = 0; i != d.shape.members; ++i) std::construct_at(places + i, 0u);
}

result<geometry> read_header(const void* base, std::size_t size, const ring_description& expected,
                             const std::string& object) {
  const auto refuse = [&](errc code, const std::string& why) -> result<geometry> {
    return error{code, 0, object, object + ": " + why};
  };
  ring_header h;
  if (size < sizeof(h)) {
    return refuse(errc::foreign, "holds " + std::to_string(size) + " bytes, a ring's header alone takes " +
                                     std::to_string(sizeof(h)) + "; use another name, or unlink it");
  }
  std::memcpy(&h, base, sizeof(h));  // once: what is checked is what is used
  if (h.version != ring_header::current_version || h.header_bytes != sizeof(h)) {
    return refuse(errc::incompatible, "has layout version " + std::to_string(h.version) + " with a header of " +
                                          std::to_string(h.header_bytes) + " bytes, expected version " +
                                          std::to_string(ring_header::current_version) + " with " +
                                          std::to_string(sizeof(h)) + "; rebuild both sides, or unlink it");
  }
  const bool same_type = h.message_bytes == expected.message_bytes && h.message_align == expected.message_align &&
                         h.message_type_hash == hash(expected.message_type);
  const bool same_shape = (expected.shape.capacity == 0 || h.capacity == expected.shape.capacity) &&
                          (expected.shape.members == 0 || h.members == expected.shape.members);
  if (text(h.kind) != expected.kind || !same_type || !same_shape) {
    const std::uint64_t want_capacity = expected.shape.capacity != 0 ? expected.shape.capacity : h.capacity;
    const std::uint32_t want_members = expected.shape.members != 0 ? expected.shape.members : h.members;
    return refuse(errc::incompatible, "holds a " +
                                          shape(text(h.kind), h.capacity, h.message_bytes, text(h.message_type)) +
                                          " for " + std::to_string(h.members) + " members, expected a " +
                                          shape(std::string(expected.kind), want_capacity, expected.message_bytes,
                                                std::string(expected.message_type)) +
                                          " for " + std::to_string(want_members) +
                                          "; ask for what is there, use another name, or unlink it");
  }
  return geometry{h.capacity, h.members};
}

std::optional<std::uint32_t> take_place(void* base, const geometry& g, const process_identity& who) noexcept {
  auto* const places = reinterpret_cast<member_place*>(static_cast<std::byte*>(base) + places_offset());
  for (std::uint32_t i = 0; i != g.members; ++i) {
    std::uint64_t free = 0;
    // acq_rel: the next holder of a place sees all that the last one did in it.
    if (places[i].compare_exchange_strong(free, who.pack(), std::memory_order_acq_rel, std::memory_order_relaxed)) {
      return i;
    }
  }
  return std::nullopt;
}

void leave_place(void* base, std::uint32_t place, const process_identity& who) noexcept {
  auto* const places = reinterpret_cast<member_place*>(static_cast<std::byte*>(base) + places_offset());
  std::uint64_t mine = who.pack();
  // release: pairs with take_place.
  places[place].compare_exchange_strong(mine, 0, std::memory_order_release, std::memory_order_relaxed);
}

}  // namespace millrace
