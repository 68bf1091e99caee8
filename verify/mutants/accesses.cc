#include "verify/mutants/accesses.h"

#include <algorithm>
#include <regex>

namespace verify {
namespace {

// Comments become blanks: what they say of orders is no access.
std::string without_comments(std::string_view text) {
  std::string code(text);
  for (std::size_t at = code.find("//"); at != std::string::npos; at = code.find("//", at)) {
    while (at != code.size() && code[at] != '\n') code[at++] = ' ';
  }
  return code;
}

std::size_t closing(const std::string& code, std::size_t open) {
  int depth = 0;
  for (std::size_t i = open; i != code.size(); ++i) {
    if (code[i] == '(') ++depth;
    if (code[i] == ')' && --depth == 0) return i;
  }
  return code.size() - 1;
}

access::kind kind_of(const std::string& call) {
  if (call == "load") return access::kind::load;
  if (call == "store") return access::kind::store;
  if (call.starts_with("compare_exchange")) return access::kind::compare_exchange;
  if (call.ends_with("_fence")) return access::kind::fence;
  return access::kind::read_modify_write;
}

constexpr std::pair<std::string_view, std::memory_order> names[] = {
    {"relaxed", std::memory_order::relaxed}, {"acquire", std::memory_order::acquire},
    {"release", std::memory_order::release}, {"acq_rel", std::memory_order::acq_rel},
    {"seq_cst", std::memory_order::seq_cst},
};

std::vector<std::memory_order> orders_in(const std::string& call) {
  static const std::regex order("memory_order(?:_|::)([a-z_]+)");
  std::vector<std::memory_order> found;
  for (std::sregex_iterator i(call.begin(), call.end(), order), end; i != end; ++i) {
    const std::string name = (*i)[1];
    for (const auto& [known, value] : names) {
      if (name == known) found.push_back(value);
    }
  }
  return found;
}

}  // namespace

std::vector<access> find_accesses(const std::string& file, std::string_view text) {
  static const std::regex call(
      R"(([\w.>\[\]()+ -]*?)(?:\.|->)(load|store|exchange|fetch_\w+|compare_exchange_\w+)\(|(?:Platform|std)::(\w+_fence)\()");
  const std::string code = without_comments(text);
  const auto line_of = [&](std::size_t at) {
    return 1 + static_cast<unsigned>(std::count(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(at), '\n'));
  };
  std::vector<access> found;
  for (std::sregex_iterator i(code.begin(), code.end(), call), end; i != end; ++i) {
    const std::string name = (*i)[2].matched ? (*i)[2] : (*i)[3];
    const auto open = static_cast<std::size_t>(i->position() + i->length() - 1);
    const std::size_t close = closing(code, open);
    auto from = static_cast<std::size_t>(i->position((*i)[2].matched ? 2 : 0));
    while (from != 0 && code[from - 1] != '\n' && code[from - 1] != ';') --from;
    from = code.find_first_not_of(' ', from);
    std::string statement = code.substr(from, close + 1 - from);
    statement = std::regex_replace(statement, std::regex("\\s+"), " ");
    access a{file, line_of(open), line_of(close), kind_of(name), statement, orders_in(code.substr(open, close - open))};
    if (a.what != access::kind::fence && a.orders.empty()) a.orders = {std::memory_order::seq_cst};  // none named
    found.push_back(a);
  }
  return found;
}

std::vector<std::memory_order> weaker(access::kind what, std::memory_order order) {
  using enum std::memory_order;
  switch (order) {
    case seq_cst:
      if (what == access::kind::load) return {acquire};
      if (what == access::kind::store) return {release};
      return {acq_rel};
    case acq_rel:
      return {acquire, release};
    case acquire:
    case release:
    case consume:
      return {relaxed};
    case relaxed:
      break;
  }
  return {};
}

std::string_view to_string(std::memory_order order) {
  for (const auto& [name, value] : names) {
    if (value == order) return name;
  }
  return "consume";
}

}  // namespace verify
