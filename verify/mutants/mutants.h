// The mutants of a shipped header, each with its name, and the model that notices one.
#ifndef MILLRACE_VERIFY_MUTANTS_MUTANTS_H_
#define MILLRACE_VERIFY_MUTANTS_MUTANTS_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "verify/model/models.h"
#include "verify/mutants/selector.h"
#include "verify/site.h"

namespace verify {

struct mutant {
  std::string file;
  unsigned line;
  std::string text;    // what it changes
  std::string change;  // into what
  mutation at_run_time{};
  std::size_t in_source = no_mutant;
  std::string_view reason{};  // why it may survive

  // File, line and change, and, of the source, what is changed; in characters that no shell minds.
  std::string name() const;
};

// A text as a mutant's name has it: "release -> relaxed" is "release-relaxed".
std::string as_name(std::string_view text);

// All mutants of the header `file` (without directories), which reads `text`.
std::vector<mutant> mutants_of(const std::string& file, const std::string& text);

// A line for each mutant that has no place in the headers (by name, what they read): they
// were changed, and the table of mutants was not.
std::vector<std::string> misfits(const std::map<std::string, std::string>& headers);

// The header is changed for as long as this lives.
class mutated_header {
 public:
  explicit mutated_header(const mutation& at_run_time, std::size_t in_source = no_mutant) {
    active_mutation = at_run_time;
    active_source_mutant = in_source;
  }
  ~mutated_header() {
    active_mutation = {};
    active_source_mutant = no_mutant;
  }
  mutated_header(const mutated_header&) = delete;
  mutated_header& operator=(const mutated_header&) = delete;
};

struct judgement {
  enum class fate { killed, crashed, endless, survived } how = fate::survived;
  const model* by = nullptr;  // the one that failed, or that was running then
  verdict what = verdict::clean;
  search how_found{};  // that which failed
  std::uint64_t executions = 0;
  int signal = 0;  // if it crashed
};

// The models in which a change to that header shows, its own first.
std::vector<const model*> shown_by(const std::string& file, const models& candidates);

// Runs those to the first that fails. In a process of its own: a mutant may crash,
// or not end.
judgement judge(const mutant& m, const models& candidates);

// Runs one on the headers as they are; if `brief`, a few of its executions.
judgement judge_unchanged(const model& m, bool brief);

}  // namespace verify

#endif  // MILLRACE_VERIFY_MUTANTS_MUTANTS_H_
