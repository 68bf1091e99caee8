// One game of the fuzzer's: members of a live ring, and one who scribbles over it.
#ifndef MILLRACE_VERIFY_FUZZ_PLAY_H_
#define MILLRACE_VERIFY_FUZZ_PLAY_H_

#include <cstdint>
#include <span>

namespace millrace::fuzz {

// Plays what `script` says: the first three bytes choose a ring, the others are
// moves, as play.cc reads them; any bytes are a game. Aborts where a call says
// what it must not or takes too many steps; a sanitizer sees the rest.
void play(std::span<const std::uint8_t> script);

}  // namespace millrace::fuzz

#endif  // MILLRACE_VERIFY_FUZZ_PLAY_H_
