// Every access of a shipped header, and every fence.
#ifndef MILLRACE_VERIFY_MUTANTS_ACCESSES_H_
#define MILLRACE_VERIFY_MUTANTS_ACCESSES_H_

#include <atomic>
#include <string>
#include <string_view>
#include <vector>

namespace verify {

struct access {
  enum class kind { load, store, read_modify_write, compare_exchange, fence };

  std::string file;
  unsigned first_line;
  unsigned last_line;
  kind what;
  std::string text;                       // from the object to the closing parenthesis, on one line
  std::vector<std::memory_order> orders;  // two of a compare_exchange: success, failure
};

std::vector<access> find_accesses(const std::string& file, std::string_view text);

// The orders that are a notch weaker; none below relaxed.
std::vector<std::memory_order> weaker(access::kind what, std::memory_order order);

std::string_view to_string(std::memory_order order);

}  // namespace verify

#endif  // MILLRACE_VERIFY_MUTANTS_ACCESSES_H_
