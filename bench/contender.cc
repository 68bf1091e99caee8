#include "bench/contender.h"

namespace millrace::bench {

const std::vector<contender>& contenders() {
  static const std::vector<contender> all = [] {
    std::vector<contender> v;
    add_ours(v);
    add_references(v);
    add_memberless(v);
    add_boost(v);
    add_libcds(v);
    add_atomic_queue(v);
    add_dpdk(v);
    add_ck(v);
    add_moodycamel(v);
    add_tbb(v);
    add_kernel(v);
    add_channels(v);
    add_limits(v);
    return v;
  }();
  return all;
}

}  // namespace millrace::bench
