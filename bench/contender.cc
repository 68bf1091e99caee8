#include "bench/contender.h"

namespace millrace::bench {

const std::vector<contender>& contenders() {
  static const std::vector<contender> all = [] {
    std::vector<contender> v;
    add_ours(v);
    add_references(v);
    add_boost(v);
    return v;
  }();
  return all;
}

}  // namespace millrace::bench
