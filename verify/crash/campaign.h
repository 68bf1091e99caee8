// Many cells of the kill matrix, tried by several processes at once.
#ifndef MILLRACE_VERIFY_CRASH_CAMPAIGN_H_
#define MILLRACE_VERIFY_CRASH_CAMPAIGN_H_

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "verify/crash/cell.h"

namespace millrace::crash {

struct request {
  unsigned jobs = 2;
  std::uint32_t stride = 1;                    // strike at every stride-th point only
  bool each = false;                           // and before what nobody can see, too
  std::uint32_t most = 0;                      // and, if it is not 0, at about so many of a cell, evenly
  std::optional<strike_point> only{};          // or at this one
  std::chrono::milliseconds patience{10'000};  // with survivors: what has not happened by then never will
};

struct failed_point {
  strike_point point;
  std::string wrong;
  std::string where;  // source line or symbol
};

struct outcome {
  cell what;
  std::uint32_t instructions = 0;  // of the operation
  std::uint32_t points = 0;        // tried
  std::uint32_t elsewhere = 0;     // of these, where the operation took another way than recorded
  std::vector<failed_point> failures{};
  std::string broken{};  // the cell could not be tried to its end, and why
};

// How far they are.
struct progress {
  std::uint64_t points = 0;            // tried
  std::size_t cells = 0;               // done
  const outcome* just_done = nullptr;  // the one that is new among these
};

// Leaves no process behind; they die with the caller.
std::vector<outcome> run(
    std::span<const cell> cells, const request& how,
    const std::function<void(const progress&)>& tell = [](const progress&) {});

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_CAMPAIGN_H_
