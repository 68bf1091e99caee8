// What is taken out of, or put wrong in, the shipped headers beside their memory orders.
#ifndef MILLRACE_VERIFY_MUTANTS_SOURCE_MUTANTS_H_
#define MILLRACE_VERIFY_MUTANTS_SOURCE_MUTANTS_H_

#include <string_view>

namespace verify {

// In `file`, the first `text` from `anchor` on, which occurs once: an expression
// in whose place `change` is evaluated, or a statement and `-`, to leave it out.
struct source_mutant {
  std::string_view file;
  std::string_view anchor;
  std::string_view text;
  std::string_view change;
};

inline constexpr source_mutant source_mutants[] = {
    // event_count.h
    {"event_count.h", "word_.fetch_or(", "sleepers", "0u"},
    {"event_count.h", "void notify()", "(now & sleepers) != 0", "false"},
    {"event_count.h", "(now & ~sleepers) + ", "epoch_step", "0u"},
    {"event_count.h", "(now & ~sleepers) + ", "epoch_step", "1u"},
    {"event_count.h", "void notify()", "Platform::wake_all(word_);", "-"},
    {"event_count.h", "const auto key = event.prepare();", "attempt()", "status::busy"},
    {"event_count.h", "event.wait(key, ", "until", "deadline::never()"},

    // semaphore.h
    {"semaphore.h", "status try_acquire", "now & max_count", "now & (max_count - 1)"},
    {"semaphore.h", "status try_acquire", "(now & closed_bit) != 0", "false"},
    {"semaphore.h", "status try_acquire", "std::min(count, most)", "most"},
    {"semaphore.h", "status try_acquire", "now - got", "now - got + 1"},
    {"semaphore.h", "permits_.fetch_add(", "count", "count + 1"},
    {"semaphore.h", "void release(", "positive_.notify();", "-"},
    {"semaphore.h", "permits_.fetch_or(", "closed_bit", "0u"},
    {"semaphore.h", "void close()", "positive_.notify();", "-"},

    // spsc_ring.h
    {"spsc_ring.h", "status try_push(", "if (is_closed()) return status::closed;", "-"},
    {"spsc_ring.h", "status try_push(", "t & mask_", "(t + 1) & mask_"},
    {"spsc_ring.h", "status try_push(", "commit_push(t + 1)", "commit_push(t + 2)"},
    {"spsc_ring.h", "status try_pop(", "commit_pop(h + 1)", "commit_pop(h)"},
    {"spsc_ring.h", "batch_result try_push_n(", "commit_push(t + n)", "commit_push(t + n + 1)"},
    {"spsc_ring.h", "batch_result try_pop_n(", "commit_pop(h + n)", "commit_pop(h + n - 1)"},
    {"spsc_ring.h", "void close()", "shared_->not_empty.notify();", "-"},
    {"spsc_ring.h", "void close()", "shared_->not_full.notify();", "-"},
    {"spsc_ring.h", "std::uint64_t room(", "seen_head_ = shared_->head.load(std::memory_order_acquire);", "-"},
    {"spsc_ring.h", "std::uint64_t room(", "capacity_ - used", "capacity_ + 1 - used"},
    {"spsc_ring.h", "std::uint64_t room(", "used < capacity_", "used + 1 < capacity_"},
    {"spsc_ring.h", "status there(", "seen_tail_ = shared_->tail.load(std::memory_order_acquire);", "-"},
    {"spsc_ring.h", "return closed ?", "closed", "is_closed()"},
    {"spsc_ring.h", "void commit_push(", "shared_->not_empty.notify();", "-"},
    {"spsc_ring.h", "void commit_pop(", "shared_->not_full.notify();", "-"},

    // mutex_ring.h
    {"mutex_ring.h", "bool entered(", "if (got == lock_result::owner_died) shared_->mutex.make_consistent();", "-"},
    {"mutex_ring.h", "return got == lock_result::locked", "got == lock_result::owner_died", "false"},
    {"mutex_ring.h", "push_locked(m);\n", "shared_->mutex.unlock();", "-"},
    {"mutex_ring.h", "push_locked(m);\n", "if (moved.count != 0) shared_->not_empty.notify();", "-"},
    {"mutex_ring.h", "pop_locked(m);\n", "shared_->mutex.unlock();", "-"},
    {"mutex_ring.h", "pop_locked(m);\n", "if (moved.count != 0) shared_->not_full.notify();", "-"},
    {"mutex_ring.h", "void close()", "shared_->closed.write(1);", "-"},
    {"mutex_ring.h", "void close()", "shared_->not_empty.notify();", "-"},
    {"mutex_ring.h", "void close()", "shared_->not_full.notify();", "-"},
    {"mutex_ring.h", "batch_result push_locked(", "if (is_closed()) return {status::closed, 0};", "-"},
    {"mutex_ring.h", "batch_result push_locked(", "used < capacity_", "used + 1 < capacity_"},
    {"mutex_ring.h", "batch_result push_locked(", "capacity_ - used", "capacity_ + 1 - used"},
    {"mutex_ring.h", "batch_result push_locked(", "shared_->tail.write(t + n)", "shared_->tail.write(t + n + 1)"},
    {"mutex_ring.h", "batch_result pop_locked(", "is_closed()", "false"},
    {"mutex_ring.h", "batch_result pop_locked(", "shared_->head.write(h + n)", "shared_->head.write(h + n - 1)"},

    // semaphore_ring.h
    {"semaphore_ring.h", "bool entered(", "if (got == lock_result::owner_died) shared_->mutex.make_consistent();", "-"},
    {"semaphore_ring.h", "return got == lock_result::locked", "got == lock_result::owner_died", "false"},
    {"semaphore_ring.h", "void close()", "shared_->closed.write(1);", "-"},
    {"semaphore_ring.h", "void close()", "shared_->free.close();", "-"},
    {"semaphore_ring.h", "void close()", "shared_->used.close();", "-"},
    {"semaphore_ring.h", "batch_result push_with(", "shared_->free.release(permits);", "-"},
    {"semaphore_ring.h", "batch_result push_with(", "is_closed()", "false"},
    {"semaphore_ring.h", "batch_result push_with(", "shared_->tail.write(t + permits)",
     "shared_->tail.write(t + permits + 1)"},
    {"semaphore_ring.h", "tail.write(t + permits)", "shared_->mutex.unlock();", "-"},
    {"semaphore_ring.h", "tail.write(t + permits)", "shared_->used.release(permits);", "-"},
    {"semaphore_ring.h", "batch_result pop_with(", "if (permits != 0) shared_->used.release(permits);", "-"},
    {"semaphore_ring.h", "batch_result pop_with(", "is_closed() ? m.size() : permits", "permits"},
    {"semaphore_ring.h", "batch_result pop_with(", "shared_->head.write(h + n)", "shared_->head.write(h + n - 1)"},
    {"semaphore_ring.h", "head.write(h + n)", "shared_->mutex.unlock();", "-"},
    {"semaphore_ring.h", "head.write(h + n)", "shared_->free.release(static_cast<std::uint32_t>(n));", "-"},

    // mpmc_ring.h
    {"mpmc_ring.h", "status try_push(", "at_.shared->not_empty.notify();", "-"},
    {"mpmc_ring.h", "status try_pop(", "at_.shared->not_full.notify();", "-"},
    {"mpmc_ring.h", "batch_result try_push_n(", "at_.shared->not_empty.notify();", "-"},
    {"mpmc_ring.h", "batch_result try_push_n(", "c.first + i", "c.first"},
    {"mpmc_ring.h", "batch_result try_push_n(", "i == 0", "i == 1"},
    {"mpmc_ring.h", "batch_result try_pop_n(", "at_.shared->not_full.notify();", "-"},
    {"mpmc_ring.h", "batch_result try_pop_n(", "c.first + i", "c.first"},
    {"mpmc_ring.h", "batch_result try_pop_n(", "i == 0", "i == 1"},
    {"mpmc_ring.h", "tail.fetch_or(", "closed_flag", "word{0}"},
    {"mpmc_ring.h", "void close()", "at_.shared->not_empty.notify();", "-"},
    {"mpmc_ring.h", "void close()", "at_.shared->not_full.notify();", "-"},
    {"mpmc_ring.h", "static constexpr word position(", "state_bits", "state_bits - 1"},
    {"mpmc_ring.h", "static constexpr word stage(", "w >> member_bits", "w >> (member_bits + 1)"},
    {"mpmc_ring.h", "static constexpr word member_of(", "member_mask", "(member_mask >> 1)"},
    {"mpmc_ring.h", "slot& at(word pos)", "pos & mask_", "(pos + (pos == mask_ + 1 ? 1 : 0)) & mask_"},
    {"mpmc_ring.h", "claim claim_push(", "if ((t & closed_flag) != 0) return {status::closed};", "-"},
    {"mpmc_ring.h", "claim claim_push(", "again == t", "true"},
    {"mpmc_ring.h", "claim claim_push(", "again == t", "false"},
    {"mpmc_ring.h", "claim claim_push(", "position(h) == ((p - capacity()) & position_mask)", "true"},
    {"mpmc_ring.h", "claim claim_push(", "position(h) == ((p - capacity()) & position_mask)", "false"},
    {"mpmc_ring.h", "claim claim_push(", "p - capacity()", "p - capacity() + 1"},
    {"mpmc_ring.h", "claim claim_push(", "pack(p + n, empty_state, me_)", "pack(p + n + 1, empty_state, me_)"},
    {"mpmc_ring.h", "claim claim_push(", "pack(p + n, empty_state, me_)", "pack(p, empty_state, me_)"},
    {"mpmc_ring.h", "claim claim_pop(", "again == h", "false"},
    {"mpmc_ring.h", "claim claim_pop(", "position(t) == p", "true"},
    {"mpmc_ring.h", "claim claim_pop(", "position(t) == p", "false"},
    {"mpmc_ring.h", "claim claim_pop(", "(t & closed_flag) != 0", "false"},
    {"mpmc_ring.h", "claim claim_pop(", "pack(p + n, empty_state, me_)", "pack(p + n + 1, empty_state, me_)"},
    {"mpmc_ring.h", "std::uint64_t ready(", "std::min(want, capacity())", "std::min(want, capacity() + 1)"},
    {"mpmc_ring.h", "void publish(", "pack(pos, full_state, from)", "pack(pos + 1, full_state, from)"},
    {"mpmc_ring.h", "void publish(", "pack(pos, full_state, from)", "pack(pos, full_state, 0)"},
    {"mpmc_ring.h", "void release(", "pos + capacity()", "pos + capacity() + 1"},
    {"mpmc_ring.h", "empty_state, from)", "from", "0"},
};

}  // namespace verify

#endif  // MILLRACE_VERIFY_MUTANTS_SOURCE_MUTANTS_H_
