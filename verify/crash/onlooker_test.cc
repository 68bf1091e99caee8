// The kill matrix strikes only before what others can see: nothing that they can may
// pass for something that they cannot.
#include "verify/crash/onlooker.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "verify/crash/actor.h"
#include "verify/crash/tracer.h"

namespace millrace::crash {
namespace {

// What others would see now.
std::vector<std::byte> contents(pid_t pid, const onlooker& others) {
  std::vector<std::byte> all;
  for (const onlooker::range& r : others.shared_memory()) {
    const std::size_t before = all.size();
    all.resize(before + (r.end - r.begin));
    const iovec to{all.data() + before, r.end - r.begin};
    const iovec from{reinterpret_cast<void*>(r.begin), r.end - r.begin};
    EXPECT_EQ(::process_vm_readv(pid, &to, 1, &from, 1, 0), static_cast<ssize_t>(r.end - r.begin));
  }
  return all;
}

user_regs_struct registers(pid_t pid) {
  user_regs_struct now{};
  EXPECT_EQ(::ptrace(PTRACE_GETREGS, pid, nullptr, &now), 0);
  return now;
}

bool step(pid_t pid) {
  int how = 0;
  return ::ptrace(PTRACE_SINGLESTEP, pid, nullptr, nullptr) == 0 && ::waitpid(pid, &how, __WALL) == pid &&
         WIFSTOPPED(how) && WSTOPSIG(how) == SIGTRAP;
}

class SharedPage {
 public:
  SharedPage() : at_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)) {}
  SharedPage(const SharedPage&) = delete;
  SharedPage& operator=(const SharedPage&) = delete;
  ~SharedPage() { ::munmap(at_, bytes); }
  void* at() const { return at_; }

 private:
  static constexpr std::size_t bytes = 4096;
  void* at_;
};

class RingOnlookerTest : public testing::TestWithParam<std::string> {};

// Instruction by instruction, on the compiler's own choice of them.
TEST_P(RingOnlookerTest, NothingChangesUnseen) {
  const ring_type& type = *std::ranges::find(ring_types(), GetParam(), &ring_type::name);
  const SharedPage page;
  workplace at{.type = &type, .options = type.options};
  at.options.capacity = 4;
  at.options.members = 4 * type.places;
  const auto ring = type.create(at.where, at.options);
  ASSERT_TRUE(ring) << ring.error().message;
  at.inherited = ring->get();
  actor a("the actor", at, *static_cast<mailbox*>(page.at()), true);
  a.tell({.what = verb::join});
  ASSERT_TRUE(a.finish(std::chrono::seconds(30)));
  for (const verb what : {verb::try_push, verb::try_pop}) {
    a.tell({.what = what, .traced = true});
    int how = 0;
    ASSERT_EQ(::waitpid(a.pid(), &how, __WALL), a.pid());
    ASSERT_TRUE(WIFSTOPPED(how));
    onlooker others(a.pid());
    std::size_t changes = 0;
    std::vector<std::byte> before = contents(a.pid(), others);
    for (user_regs_struct now = registers(a.pid()); now.rip != reinterpret_cast<std::uintptr_t>(&operation_ends);
         now = registers(a.pid())) {
      const sight s = others.look(now);
      ASSERT_TRUE(step(a.pid()));
      std::vector<std::byte> after = contents(a.pid(), others);
      if (after == before) continue;
      ++changes;
      EXPECT_EQ(s, sight::store) << describe_address(now.rip);
      before = std::move(after);
    }
    EXPECT_GE(changes, 3u);
    ::ptrace(PTRACE_CONT, a.pid(), nullptr, nullptr);
    ASSERT_TRUE(a.finish(std::chrono::seconds(30)));
  }
}

// In all of them a message goes from one to the other without a call of the kernel.
INSTANTIATE_TEST_SUITE_P(Onlooker, RingOnlookerTest,
                         testing::Values("spsc_ring", "mutex_ring", "semaphore_ring", "mpmc_ring", "byte_channel"),
                         [](const auto& p) { return p.param; });

// One instruction of every form. %rdi points to shared memory, %rsi to private.
#define FORMS(X)                          \
  X("mov (%rdi), %rax", load)             \
  X("mov 8(%rdi), %eax", load)            \
  X("movzbl (%rdi), %eax", load)          \
  X("mov %rax, (%rdi)", store)            \
  X("movb $1, 3(%rdi)", store)            \
  X("sete (%rdi)", store)                 \
  X("mov %rax, (%rsi)", nothing)          \
  X("mov (%rsi), %rax", nothing)          \
  X("mov %fs:0, %rax", nothing)           \
  X("lea 16(%rdi), %rax", nothing)        \
  X("nopw 0(%rdi)", nothing)              \
  X("xor %ecx, %ecx", nothing)            \
  X("addq $1, (%rdi)", store)             \
  X("lock xaddq %rcx, (%rdi)", store)     \
  X("lock cmpxchgq %rcx, 8(%rdi)", store) \
  X("xchg %rcx, (%rdi)", store)           \
  X("lock orl $0, (%rdi)", store)         \
  X("cmpq $0, (%rdi)", load)              \
  X("testb $1, (%rdi)", load)             \
  X("movups (%rdi), %xmm0", load)         \
  X("movdqa 16(%rdi), %xmm1", load)       \
  X("movq (%rdi), %xmm0", load)           \
  X("movups %xmm0, (%rdi)", store)        \
  X("movaps %xmm0, 16(%rdi)", store)      \
  X("movdqu %xmm0, (%rdi)", store)        \
  X("movq %xmm0, (%rdi)", store)          \
  X("movhps %xmm0, (%rdi)", store)        \
  X("movlps %xmm0, (%rdi)", store)        \
  X("movss %xmm0, (%rdi)", store)         \
  X("movnti %rax, (%rdi)", store)         \
  X("mov $8, %ecx", nothing)              \
  X("mov %rax, (%rdi,%rcx,2)", store)     \
  X("mov -8(%rdi,%rcx), %rax", load)      \
  X("pushq (%rdi)", load)                 \
  X("popq 8(%rdi)", store)                \
  X("movsb", store)                       \
  X("stosb", store)                       \
  X("xchg %rsi, %rdi", nothing)           \
  X("movsb", load)
#define TEXT(text, does) text "\n"
#define ROW(text, does) form{text, sight::does},

asm(".text\n.globl every_form\nevery_form:\n" FORMS(TEXT) "ret\n");
extern "C" void every_form(void* shared_memory, void* private_memory);

struct form {
  std::string_view text;
  sight does;
};
constexpr std::array forms{FORMS(ROW)};

TEST(OnlookerTest, TellsLoadsFromStores) {
  const SharedPage page;
  const pid_t pid = ::fork();
  if (pid == 0) {
    alignas(16) std::array<char, 64> own{};
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    asm volatile("int3");
    every_form(page.at(), own.data());
    ::_exit(0);
  }
  int how = 0;
  ASSERT_EQ(::waitpid(pid, &how, __WALL), pid);
  ASSERT_TRUE(WIFSTOPPED(how));
  onlooker others(pid);
  user_regs_struct now = registers(pid);
  for (; now.rip != reinterpret_cast<std::uintptr_t>(&every_form); now = registers(pid)) ASSERT_TRUE(step(pid));
  for (const form& f : forms) {
    EXPECT_EQ(others.look(now), f.does) << f.text;
    ASSERT_TRUE(step(pid)) << f.text;
    now = registers(pid);
  }
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
}

// What is mapped later is seen once it has been looked for.
TEST(OnlookerTest, KnowsTheMemoryOfNow) {
  const onlooker before(::getpid());
  const SharedPage page;
  const onlooker after(::getpid());
  const auto knows = [&](const onlooker& o) {
    return std::ranges::any_of(o.shared_memory(), [&](const onlooker::range& r) {
      return r.begin <= reinterpret_cast<std::uintptr_t>(page.at()) &&
             reinterpret_cast<std::uintptr_t>(page.at()) < r.end;
    });
  };
  EXPECT_FALSE(knows(before));
  EXPECT_TRUE(knows(after));
}

}  // namespace
}  // namespace millrace::crash
