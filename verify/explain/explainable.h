// What there is to explain: a scenario that fails, and the words to tell it in.
#ifndef MILLRACE_VERIFY_EXPLAIN_EXPLAINABLE_H_
#define MILLRACE_VERIFY_EXPLAIN_EXPLAINABLE_H_

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "verify/explain/layout.h"
#include "verify/explain/trace.h"
#include "verify/model/models.h"
#include "verify/model/simulate.h"
#include "verify/mutants/mutants.h"
#include "verify/site.h"

namespace verify::explain {

struct explainable {
  std::string name;
  std::string what;  // in a line
  // The failure that is looked for, and of a failed assertion its claim; none: any.
  verdict expected;
  std::string claim{};
  std::function<std::unique_ptr<scenario>()> make;
  // A search that has such a failure, if one is known: for those that are rare.
  std::optional<search> fails_in{};
  // Of the shipped code; none if the code is broken as it stands.
  mutation change{};
  std::size_t change_in_source = no_mutant;
  std::vector<std::string> threads{};  // who they are, and who acts when they have ended
  layout memory;
  // What went wrong, in a sentence or two; marks the steps that are to blame,
  // beside those of a data race, which are marked already. If there is none, the
  // failure is told in general words, and then `why`.
  std::function<std::string(std::vector<trace_step>& steps)> ending{};
  std::string why{};
};

// Those with words of their own, and the zoo.
const std::vector<explainable>& explainables();

// What explains each bug of the zoo that has no entry above.
std::vector<explainable> zoo();

// Of what the threads of a model share. Throws a std::runtime_error if it is not known.
layout layout_of(const model& m, std::size_t threads);

// The mutants of all shipped headers.
const std::vector<mutant>& header_mutants();

// Asks the models which of them kills it: seconds. Throws a std::runtime_error
// that says why if there is no execution to tell.
explainable of_mutant(const mutant& m);

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_EXPLAINABLE_H_
