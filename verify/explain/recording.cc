#include "verify/explain/recording.h"

#include "verify/relacy_platform.h"

namespace verify::explain {

recording::recording() {
  steps_.reserve(2 * most_steps);
  objects_.reserve(most_objects);
  installed = this;
}

void recording::execution_begins() {
  steps_.clear();
  price_ = {};
  begin_ = 0;
  end_ = never;
  begun_ = false;
  running_ = false;
  gave_up_ = false;
}

void recording::threads_begin() {
  begin_ = steps_.size();
  begun_ = true;
  list_objects();
  running_ = true;
  if (++executions_ > most_executions_) give_up("enough executions");
}

void recording::list_objects() {
  objects_.clear();
  registry::for_each([this](const void* object) {
    if (objects_.size() == most_objects) std::abort();
    objects_.push_back(object);
  });
  std::ranges::sort(objects_, std::less<>());
}

void recording::record(const step& s) {
  steps_.push_back(s);
  if (!running_) return;  // what before() and after() do costs nothing
  ++price_.steps;
  if (s.what == step::kind::load && s.found != s.left) ++price_.stale;
  if (price_ >= limit_) give_up("longer than another one");
}

// Does not return: another fibre runs on.
void recording::give_up(const char* why) {
  gave_up_ = true;
  rl::ctx().fail_test(why, rl::test_result_user_assert_failed, info(site::here()));
}

}  // namespace verify::explain
