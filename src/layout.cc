#include "millrace/layout.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "millrace/keeper.h"
#include "millrace/roster.h"

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

// For our own names only: of 120 scribbled bytes the demangler makes a megabyte.
std::string demangled(std::string_view name) {
  int failed = 0;
  const std::unique_ptr<char, void (*)(void*)> plain(
      abi::__cxa_demangle(std::string(name).c_str(), nullptr, nullptr, &failed), &std::free);
  return (failed == 0 ? std::string(plain.get()) : std::string(name)).substr(0, sizeof(ring_header::message_type) - 1);
}

// What the header says, be it sound or not.
geometry shape_in(const ring_header& h) noexcept {
  const delivery on_death = h.on_death == delivery::drop ? delivery::drop : delivery::redeliver;
  const fidelity kept = h.fidelity == fidelity::lossy ? fidelity::lossy : fidelity::lossless;
  return {h.capacity, h.members, on_death, h.keep_open != 0, kept, h.max_message};
}

std::string shape(const std::string& kind, std::uint64_t bytes, const std::string& type, const geometry& g) {
  return kind + " of " + std::to_string(g.capacity) + " x " + type + " (" + std::to_string(bytes) + " bytes) for " +
         std::to_string(g.members) + " members" + (g.on_death == delivery::drop ? ", on_death = drop" : "") +
         (g.keep_open ? ", keep_open" : "") + (g.fidelity == fidelity::lossy ? ", lossy" : "") +
         (g.max_message != 0 ? ", max_message = " + std::to_string(g.max_message) : "");
}

}  // namespace

std::size_t roster_offset() noexcept { return sizeof(ring_header); }

std::size_t ring_offset(const geometry& g) noexcept {
  const std::size_t end = roster_offset() + roster<native>::bytes(g.members) + keeper::bytes(g.members);
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
  h.on_death = d.shape.on_death;
  h.keep_open = d.shape.keep_open ? 1 : 0;
  h.fidelity = d.shape.fidelity;
  h.max_message = d.shape.max_message;
  copy_text(h.kind, d.kind);
  copy_text(h.message_type, demangled(d.message_type));
  h.message_type_hash = hash(d.message_type);
  std::memcpy(base, &h, sizeof(h));
  void* const at = static_cast<std::byte*>(base) + roster_offset();
  roster<native>::construct(at, d.shape.members);
  keeper::construct(at, d.shape.members);
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
  const bool any = expected.shape == any_shape;
  const geometry found = shape_in(h);
  if (text(h.kind) != expected.kind || !same_type || !(any || found == expected.shape)) {
    const geometry wanted = any ? found : expected.shape;
    return refuse(
        errc::incompatible,
        "holds a " + shape(text(h.kind), h.message_bytes, text(h.message_type), found) + ", expected a " +
            shape(std::string(expected.kind), expected.message_bytes, demangled(expected.message_type), wanted) +
            "; ask for what is there, use another name, or unlink it");
  }
  return found;
}

std::string describe(const void* base, std::size_t size) {
  ring_header h{};
  if (size >= sizeof(h)) std::memcpy(&h, base, sizeof(h));
  if (h.version != ring_header::current_version || h.header_bytes != sizeof(h)) {
    return "no ring of layout version " + std::to_string(ring_header::current_version);
  }
  return shape(text(h.kind), h.message_bytes, text(h.message_type), shape_in(h));
}

}  // namespace millrace
