// What there is to explain: a scenario that fails, and the words to tell it in.
#ifndef MILLRACE_VERIFY_EXPLAIN_EXPLAINABLE_H_
#define MILLRACE_VERIFY_EXPLAIN_EXPLAINABLE_H_

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "verify/explain/trace.h"
#include "verify/model/simulate.h"
#include "verify/recorder.h"

namespace verify::explain {

// An atomic or plain object of the scenario, and how its value reads.
struct variable {
  std::string name;
  std::string (*show)(const bits& value);
  bool is_slot = false;  // what is read from it is a message
};

struct explainable {
  std::string name;
  std::string what;  // in a line
  // The failure that is looked for, and of a failed assertion its claim.
  verdict expected;
  std::string claim;
  std::function<std::unique_ptr<scenario>()> make;
  mutation change;                   // of the shipped code; none if the code is broken as it stands
  std::vector<std::string> threads;  // who they are, and who acts when they have ended
  std::vector<variable> variables;   // all of them, in the order of their addresses
  picture (*draw)(std::span<const bits> values);
  // What went wrong, in a sentence or two; marks the steps that are to blame,
  // beside those of a data race, which are marked already.
  std::string (*ending)(std::vector<trace_step>& steps);
};

const std::vector<explainable>& explainables();

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_EXPLAINABLE_H_
