// The seam: everything through which an algorithm here touches the world.
//
// Each ring and each waiting primitive is a template over a Platform, and does
// every access to shared memory, every wait and every barrier through it. The
// same header then runs on the machine (`native`, below) and inside a model
// checker (verify/relacy_platform.h), with no #ifdef and no transcription. This
// file is the specification that a platform has to meet:
//
//   atomic<T>     the members of std::atomic<T> with explicit orders; T is an
//                 unsigned 32- or 64-bit integer. It works at whatever address
//                 it is mapped at. One operation a source line in the
//                 algorithms, so that a checker can tell operations by line.
//   plain<T>      a non-atomic T: `read(T&)` and `write(const T&)`. Unordered
//                 accesses of which one writes are a data race: undefined
//                 natively, an error in a checker. In place: from `begin_write()` to
//                 `end_write()`, or from `begin_read()` to `end_read()`, the T itself is
//                 the caller's; both ends are accesses, and what lies between them is
//                 raced with what either is raced with.
//   wait          sleeps while the word holds `expected`, until woken or until
//                 the deadline. May return for no reason. Orders nothing.
//   wait_any      the same on several words: sleeps while each of them holds what is
//                 expected of it. They are looked at one after the other, and from then
//                 on a wake on one is not missed.
//   awaited       for that: the address of a word, and what is expected.
//   wake_all      wakes all that sleep on the word. Orders nothing.
//   light_fence,  an asymmetric pair: if one thread stores A, calls light_fence
//   heavy_fence   and loads B, and another stores B, calls heavy_fence and loads
//                 A, then at least one of the loads sees the other's store. A
//                 light fence is free; a heavy one may cost microseconds.
//   await_end     called when the kernel has marked another process as ended. When it
//                 returns, no thread of that process will do another step, and those
//                 that it has done since the mark happen before the return.
//   relax         in a loop that waits for another thread: let it run. The
//                 argument counts the turns of the loop.
//   back_off      where another has been faster: let it do some more of the same, at its ease.
//   yields        whether that turn gives up the core, to be had back who knows when.
//   fetch_to_write  a hint: the line at that address, whoever has it, is soon written here.
//   moved_together  how many bytes move between processors at a time, or nearly.
//   spins         how many turns to poll before sleeping.
//   commit        gives memory to whole pages (page_bytes each) of a segment, whatever is in
//                 them already. False if there is none to be had. What was never
//                 committed, or has been decommitted since, is not to be touched.
//   decommit      takes it back: whatever was in them is gone.
//   chunk_bytes   of how much memory at a time that is worth while.
//
// Each call of one of these is a *step*: between two steps another process may
// run, and at any of them this one may be killed for good. A killed process has
// done all its earlier steps in program order and none of the later ones.
#ifndef MILLRACE_PLATFORM_H_
#define MILLRACE_PLATFORM_H_

#include <sched.h>

#include <atomic>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <type_traits>

#include "millrace/deadline.h"
#include "millrace/futex.h"
#include "millrace/pages.h"

namespace millrace {

inline constexpr std::size_t line_bytes = 128;  // two 64-byte lines: they are prefetched in pairs

// What makes a message: bytes that may be copied from one process's mapping to
// another's. Pointers inside it would compile, and mean nothing on arrival. Parts
// of a segment are aligned to line_bytes, so no message can ask for more.
template <class T>
concept message =
    std::is_trivially_copyable_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T> && alignof(T) <= line_bytes;

struct native {
  template <class T>
  using atomic = std::atomic<T>;

  template <message T>
  class plain {
   public:
    void read(T& out) const noexcept { copy(reinterpret_cast<std::byte*>(&out), bytes_); }
    void write(const T& in) noexcept { copy(bytes_, reinterpret_cast<const std::byte*>(&in)); }

    T& begin_write() noexcept { return *std::launder(reinterpret_cast<T*>(bytes_)); }
    void end_write() noexcept {}
    const T& begin_read() const noexcept { return *std::launder(reinterpret_cast<const T*>(bytes_)); }
    void end_read() const noexcept {}

   private:
    // Of some hundred bytes gcc makes one string instruction, which takes longer to get going than
    // such a copy in pieces takes in all. Of more, neither was the better for all rings (bench/NOTES.md).
    static void copy(std::byte* to, const std::byte* from) noexcept {
      constexpr std::size_t piece = sizeof(T) > 256 && sizeof(T) <= 512 ? 64 : sizeof(T);
      constexpr std::size_t rest = sizeof(T) % piece;
      constexpr std::size_t whole = sizeof(T) - rest;
      for (std::size_t i = 0; i != whole; i += piece) std::memcpy(to + i, from + i, piece);
      if constexpr (rest != 0) std::memcpy(to + whole, from + whole, rest);
    }

    alignas(T) std::byte bytes_[sizeof(T)];
  };

  static wait_result wait(const atomic<std::uint32_t>& word, std::uint32_t expected, deadline until) noexcept {
    return futex_wait(word, expected, until);
  }
  using awaited = millrace::awaited;
  static wait_result wait_any(std::span<const awaited> words, deadline until) noexcept {
    return futex_wait_any(words, until);
  }
  static void wake_all(const atomic<std::uint32_t>& word) noexcept { futex_wake_all(word); }

  // The compiler must keep the order; the processor is made to by the other side.
  static void light_fence() noexcept { std::atomic_signal_fence(std::memory_order_seq_cst); }
  static void heavy_fence() noexcept { barrier_in_all_processes(); }

  // Its interrupt is taken by a killed process's thread, too, which does not
  // return from it.
  static void await_end() noexcept { barrier_in_all_processes(); }

  static constexpr bool yields(unsigned turn) noexcept { return turn % 64 == 63; }
  static void relax(unsigned turn) noexcept {
    // A pause lets the sibling and the memory system work; on a machine with more
    // workers than cores only giving up the core lets the awaited one run.
    if (yields(turn)) {
      sched_yield();
    } else {
#if defined(__x86_64__) || defined(__i386__)
      __builtin_ia32_pause();
#elif defined(__aarch64__)
      asm volatile("isb" ::: "memory");
#endif
    }
  }

  // As long as it takes to fetch a line from another core and some tens of claims on it: whoever loses
  // one would take it away in the middle of the winner's next.
  static void back_off() noexcept {
    for (unsigned i = 0; i != 32; ++i) relax(0);
  }

  static void fetch_to_write(const void* at) noexcept {
#if defined(__x86_64__)
    // Each x86-64 processor since 2006 takes it, if only to do nothing. The compiler's own
    // would, unless told of a newer one, fetch the line to read, and the write fetch it again.
    asm volatile("prefetchw %0" : : "m"(*static_cast<const char*>(at)));
#else
    __builtin_prefetch(at, 1);
#endif
  }

  static constexpr std::size_t moved_together = line_bytes;

  // Some tens of microseconds, about what it takes to wake somebody: who polls so long before
  // it sleeps loses at most as much again (Karlin, Li, Manasse and Owicki, 1991). `relax` lets others
  // have the core meanwhile.
  static constexpr unsigned spins = 1024;

  static std::size_t page_bytes() noexcept { return millrace::page_bytes(); }
  static bool commit(void* at, std::size_t bytes) noexcept { return commit_pages(at, bytes); }
  static void decommit(void* at, std::size_t bytes) noexcept { decommit_pages(at, bytes); }
  static constexpr std::size_t chunk_bytes = std::size_t{64} << 10;
};

static_assert(std::atomic<std::uint64_t>::is_always_lock_free,
              "a lock inside std::atomic would be private to a process");

template <class P>
concept platform = requires(typename P::template atomic<std::uint32_t>& word32,
                            typename P::template atomic<std::uint64_t>& word64,
                            typename P::template plain<std::uint64_t>& datum,
                            std::span<const typename P::awaited> words, std::uint32_t value32, std::uint64_t value64,
                            deadline until, void* at, std::size_t bytes) {
  word32.store(value32, std::memory_order_release);
  { word64.load(std::memory_order_acquire) } -> std::same_as<std::uint64_t>;
  { word32.fetch_or(value32, std::memory_order_seq_cst) } -> std::same_as<std::uint32_t>;
  { word64.fetch_add(value64, std::memory_order_seq_cst) } -> std::same_as<std::uint64_t>;
  {
    word64.compare_exchange_strong(value64, value64, std::memory_order_seq_cst, std::memory_order_relaxed)
    } -> std::same_as<bool>;
  datum.read(value64);
  datum.write(value64);
  { datum.begin_write() } -> std::same_as<std::uint64_t&>;
  datum.end_write();
  { datum.begin_read() } -> std::same_as<const std::uint64_t&>;
  datum.end_read();
  { P::wait(word32, value32, until) } -> std::same_as<wait_result>;
  { P::wait_any(words, until) } -> std::same_as<wait_result>;
  {
    typename P::awaited { &word32, value32 }
    } -> std::same_as<typename P::awaited>;
  P::wake_all(word32);
  P::light_fence();
  P::heavy_fence();
  P::await_end();
  P::relax(value32);
  { P::yields(value32) } -> std::same_as<bool>;
  P::back_off();
  P::fetch_to_write(at);
  { P::moved_together } -> std::convertible_to<std::size_t>;
  { P::spins } -> std::convertible_to<unsigned>;
  { P::page_bytes() } -> std::same_as<std::size_t>;
  { P::commit(at, bytes) } -> std::same_as<bool>;
  P::decommit(at, bytes);
  { P::chunk_bytes } -> std::convertible_to<std::size_t>;
};

static_assert(platform<native>);

}  // namespace millrace

#endif  // MILLRACE_PLATFORM_H_
