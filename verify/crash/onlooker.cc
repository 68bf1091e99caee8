#include "verify/crash/onlooker.h"

#include <capstone/capstone.h>
#include <sys/ptrace.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <unordered_map>

namespace millrace::crash {
namespace {

std::optional<std::uint64_t> value_of(unsigned reg, const user_regs_struct& r, std::uint64_t next) {
  switch (reg) {
    case X86_REG_INVALID:
      return 0;
    case X86_REG_RIP:
      return next;
    case X86_REG_RAX:
      return r.rax;
    case X86_REG_RBX:
      return r.rbx;
    case X86_REG_RCX:
      return r.rcx;
    case X86_REG_RDX:
      return r.rdx;
    case X86_REG_RSI:
      return r.rsi;
    case X86_REG_RDI:
      return r.rdi;
    case X86_REG_RBP:
      return r.rbp;
    case X86_REG_RSP:
      return r.rsp;
    case X86_REG_R8:
      return r.r8;
    case X86_REG_R9:
      return r.r9;
    case X86_REG_R10:
      return r.r10;
    case X86_REG_R11:
      return r.r11;
    case X86_REG_R12:
      return r.r12;
    case X86_REG_R13:
      return r.r13;
    case X86_REG_R14:
      return r.r14;
    case X86_REG_R15:
      return r.r15;
    default:
      return std::nullopt;
  }
}

std::optional<std::uint64_t> segment_base(unsigned segment, const user_regs_struct& r) {
  if (segment == X86_REG_FS) return r.fs_base;
  if (segment == X86_REG_GS) return r.gs_base;
  return segment == X86_REG_INVALID ? std::optional<std::uint64_t>(0) : std::nullopt;
}

}  // namespace

// Instructions by their addresses, each decoded once. What they push, or return by,
// is on the stack, which nobody shares; of string instructions the processor traps
// after each element, and Capstone names both operands.
class onlooker::decoder {
 public:
  struct operand {
    x86_op_mem where;
    std::size_t bytes;
    sight does;
  };
  struct instruction {
    bool understood = false;
    std::size_t length = 0;
    std::vector<operand> memory;
  };

  decoder() {
    if (cs_open(CS_ARCH_X86, CS_MODE_64, &handle_) != CS_ERR_OK) throw std::runtime_error("capstone does not start");
    cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON);
  }
  decoder(const decoder&) = delete;
  decoder& operator=(const decoder&) = delete;
  ~decoder() { cs_close(&handle_); }

  const instruction& at(pid_t pid, std::uintptr_t address) {
    const auto [found, is_new] = known_.try_emplace(address);
    if (is_new) found->second = read(pid, address);
    return found->second;
  }

 private:
  instruction read(pid_t pid, std::uintptr_t address) {
    std::array<long, 2> text{};  // no instruction is longer
    for (std::size_t i = 0; i != text.size(); ++i) {
      text[i] = ::ptrace(PTRACE_PEEKTEXT, pid, address + i * sizeof text[i], nullptr);
    }
    instruction got;
    cs_insn* insn = nullptr;
    if (cs_disasm(handle_, reinterpret_cast<const std::uint8_t*>(text.data()), sizeof text, address, 1, &insn) != 1) {
      return got;
    }
    got.understood = true;
    got.length = insn->size;
    const cs_x86& detail = insn->detail->x86;
    for (std::uint8_t i = 0; i != detail.op_count; ++i) {
      const cs_x86_op& o = detail.operands[i];
      if (o.type != X86_OP_MEM || insn->id == X86_INS_LEA || insn->id == X86_INS_NOP) continue;
      // What is stored to comes first. (Capstone 4's own word on that is wrong for half of SSE.)
      const bool only_looks = insn->id == X86_INS_CMP || insn->id == X86_INS_TEST || insn->id == X86_INS_PUSH;
      const bool stores = (i == 0 && !only_looks) || insn->id == X86_INS_XCHG;
      got.memory.push_back({o.mem, o.size, stores ? sight::store : sight::load});
    }
    cs_free(insn, 1);
    return got;
  }

  csh handle_ = 0;
  std::unordered_map<std::uintptr_t, instruction> known_;
};

onlooker::onlooker(pid_t pid) : pid_(pid), decode_(std::make_unique<decoder>()) { find_shared_memory(); }
onlooker::~onlooker() = default;

sight onlooker::look(const user_regs_struct& now) {
  const decoder::instruction& next = decode_->at(pid_, now.rip);
  if (!next.understood) return sight::store;
  sight most = sight::nothing;
  for (const decoder::operand& o : next.memory) {
    const auto segment = segment_base(o.where.segment, now);
    const auto base = value_of(o.where.base, now, now.rip + next.length);
    const auto index = value_of(o.where.index, now, 0);
    const bool known = segment && base && index;
    if (known && !is_shared(*segment + *base + *index * static_cast<std::uint64_t>(o.where.scale) +
                                static_cast<std::uint64_t>(o.where.disp),
                            o.bytes)) {
      continue;
    }
    most = std::max(most, o.does);
  }
  return most;
}

void onlooker::find_shared_memory() {
  shared_.clear();
  std::ifstream maps("/proc/" + std::to_string(pid_) + "/maps");
  for (std::string line; std::getline(maps, line);) {
    range r{};
    char dash = 0;
    std::string rights;
    std::istringstream fields(line);
    if (fields >> std::hex >> r.begin >> dash >> r.end >> rights && rights.ends_with('s')) shared_.push_back(r);
  }
}

bool onlooker::is_shared(std::uintptr_t at, std::size_t bytes) const {
  return std::ranges::any_of(shared_, [&](const range& r) { return at < r.end && at + bytes > r.begin; });
}

}  // namespace millrace::crash
