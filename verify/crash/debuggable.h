// For tests that bring processes to instructions: skips them where the machine can't.
#ifndef MILLRACE_VERIFY_CRASH_DEBUGGABLE_H_
#define MILLRACE_VERIFY_CRASH_DEBUGGABLE_H_

#include <gtest/gtest.h>

#include "verify/crash/tracer.h"

namespace millrace::crash {

class debuggable : public testing::Environment {
  void SetUp() override {
    if (!can_stop_at_breakpoints()) GTEST_SKIP() << cannot_stop;
  }
};

inline testing::Environment* const needs_debuggable = testing::AddGlobalTestEnvironment(new debuggable);

}  // namespace millrace::crash

#endif  // MILLRACE_VERIFY_CRASH_DEBUGGABLE_H_
