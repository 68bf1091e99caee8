// What a call that sets something up gives, or an end of the run with its reason.
#ifndef MILLRACE_BENCH_VALUE_OF_H_
#define MILLRACE_BENCH_VALUE_OF_H_

#include <stdexcept>
#include <utility>

#include "millrace/result.h"

namespace millrace::bench {

template <class R>
R value_of(result<R> r) {
  if (!r) throw std::runtime_error(r.error().message);
  return *std::move(r);
}

}  // namespace millrace::bench

#endif  // MILLRACE_BENCH_VALUE_OF_H_
