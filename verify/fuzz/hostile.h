// The machine with a scribbler in it: at any step, bytes of the segment change.
#ifndef MILLRACE_VERIFY_FUZZ_HOSTILE_H_
#define MILLRACE_VERIFY_FUZZ_HOSTILE_H_

#include <atomic>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>

#include "millrace/platform.h"

namespace millrace::fuzz {

// What becomes of eight bytes of the segment: ((old & keep) ^ flip) + add.
struct scribble {
  std::size_t at = 0;  // a multiple of eight
  std::uint64_t keep = ~std::uint64_t{0};
  std::uint64_t flip = 0;
  std::uint64_t add = 0;
  unsigned delay = 0;  // steps until then, from the scribble before it on
};

// Prints what went wrong, and aborts: libFuzzer and a test both take note.
[[noreturn]] void fail(const char* what);

// Who writes into a segment whatever it likes, and kills its members.
class scribbler {
 public:
  explicit scribbler(std::span<std::byte> segment) : segment_(segment) {}

  void strike(const scribble& s);
  void lie_in_wait(const scribble& s) { waiting_.push_back(s); }
  bool has_struck() const { return struck_ != 0; }

  // Counts a call's steps: with nobody scribbling meanwhile, they are bounded,
  // and each scribble may make it begin anew.
  void begin_call() { steps_ = struck_in_call_ = 0; }
  void step();

  // Kills who calls before its step of that number: `call` is left for good there.
  // Nothing in it may need to be destroyed.
  template <class Call>
  void kill_in(Call&& call, std::size_t step) {
    last_step_ = step;
    if (_setjmp(killed_) == 0) call();
    last_step_ = never;
  }

 private:
  static constexpr std::size_t never = ~std::size_t{0};

  std::span<std::byte> segment_;
  std::deque<scribble> waiting_;
  std::size_t struck_ = 0;
  std::size_t struck_in_call_ = 0;
  std::size_t steps_ = 0;
  std::size_t last_step_ = never;
  std::jmp_buf killed_;
};

// `native` for one thread whose deadlines have all passed, and a scribbler, who
// gets its chance before each access.
class hostile : public native {
 public:
  // Nobody's chance, as long as a ring is constructed: null.
  static void face(scribbler* enemy) noexcept { enemy_ = enemy; }

  template <class T>
  class atomic {
   public:
    constexpr explicit(false) atomic(T value = 0) noexcept : value_(value) {}

    T load(std::memory_order order) const noexcept {
      step();
      return value_.load(order);
    }
    void store(T value, std::memory_order order) noexcept {
      step();
      value_.store(value, order);
    }
    T fetch_or(T value, std::memory_order order) noexcept {
      step();
      return value_.fetch_or(value, order);
    }
    T fetch_add(T value, std::memory_order order) noexcept {
      step();
      return value_.fetch_add(value, order);
    }
    bool compare_exchange_strong(T& expected, T value, std::memory_order success, std::memory_order failure) noexcept {
      step();
      return value_.compare_exchange_strong(expected, value, success, failure);
    }

   private:
    std::atomic<T> value_;
  };

  template <message T>
  class plain {
   public:
    void read(T& out) const noexcept {
      step();
      value_.read(out);
    }
    void write(const T& in) noexcept {
      step();
      value_.write(in);
    }
    T& begin_write() noexcept {
      step();
      return value_.begin_write();
    }
    void end_write() noexcept { step(); }
    const T& begin_read() const noexcept {
      step();
      return value_.begin_read();
    }
    void end_read() const noexcept { step(); }

   private:
    native::plain<T> value_;
  };

  static wait_result wait(const atomic<std::uint32_t>& word, std::uint32_t expected, deadline until) noexcept {
    if (until.is_never()) fail("a call with a deadline sleeps without one");
    return word.load(std::memory_order_relaxed) == expected ? wait_result::timed_out : wait_result::changed;
  }
  struct awaited {
    const atomic<std::uint32_t>* word;
    std::uint32_t expected;
  };
  static wait_result wait_any(std::span<const awaited> words, deadline until) noexcept {
    for (const auto& [word, expected] : words) {
      if (word->load(std::memory_order_relaxed) != expected) return wait_result::changed;
    }
    return wait(*words[0].word, words[0].expected, until);
  }
  static void wake_all(const atomic<std::uint32_t>&) noexcept {}
  static void light_fence() noexcept {}
  static void heavy_fence() noexcept {}
  static void await_end() noexcept {}
  static void relax(unsigned) noexcept { step(); }
  static void fetch_to_write(const void*) noexcept {}

  static constexpr std::size_t moved_together = native::moved_together;
  static constexpr unsigned spins = 2;

 private:
  static void step() noexcept {
    if (enemy_ != nullptr) enemy_->step();
  }

  inline static scribbler* enemy_ = nullptr;
};

static_assert(platform<hostile>);

}  // namespace millrace::fuzz

#endif  // MILLRACE_VERIFY_FUZZ_HOSTILE_H_
