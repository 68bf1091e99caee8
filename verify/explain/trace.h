// A failing execution, told: what the renderers draw.
#ifndef MILLRACE_VERIFY_EXPLAIN_TRACE_H_
#define MILLRACE_VERIFY_EXPLAIN_TRACE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace verify::explain {

// The shared memory at one moment.
struct picture {
  struct slot {
    std::string text;    // what was written there last
    bool held = false;   // it counts: between the indices, or marked full
    bool fresh = false;  // written by this very step
    friend bool operator==(const slot&, const slot&) = default;
  };
  static constexpr std::size_t nowhere = SIZE_MAX;
  struct index {  // in, out, tail, head; or a word that is not of a ring
    std::string name;
    std::string value;
    std::size_t slot = nowhere;  // where it points
    friend bool operator==(const index&, const index&) = default;
  };
  std::vector<slot> slots;
  std::vector<index> indices;

  friend bool operator==(const picture&, const picture&) = default;
};

struct trace_step {
  enum class kind { reads, writes, updates, other };

  std::size_t column = 0;  // of trace::columns
  kind what = kind::other;
  std::string action;     // "in → 0", "slot 0 ← A1"
  std::string remark;     // what is odd about it: a stale read, a mutated order
  bool stale = false;     // the value read is not the one that was written last
  bool to_blame = false;  // for the failure
  std::string file;       // without directories
  unsigned line = 0;
  std::string code;  // that line's text
  picture after;

  friend bool operator==(const trace_step&, const trace_step&) = default;
};

struct trace {
  std::string name;
  std::string what;                  // is explained, in a line
  std::string verdict;               // "data race"
  std::vector<std::string> columns;  // who does something, in the order of the picture
  picture start;
  std::vector<trace_step> steps;
  std::string ending;  // what went wrong, in a sentence
  std::string search;  // how this execution was found, and what is known about shorter ones
};

// The renderers. Each returns the whole text of what it makes.
std::string as_text(const trace& t);
std::string as_svg(const trace& t);
std::string as_html(const trace& t);

}  // namespace verify::explain

#endif  // MILLRACE_VERIFY_EXPLAIN_TRACE_H_
