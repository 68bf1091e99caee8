#include "verify/model/programs.h"

namespace verify {
namespace {

std::vector<std::string_view> split(std::string_view text, char at) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t end = text.find(at);
    if (end != 0 && !text.empty()) parts.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

[[noreturn]] void refuse(std::string_view word) {
  std::fprintf(stderr, "no operation is called \"%.*s\"\n", static_cast<int>(word.size()), word.data());
  std::abort();
}

// push | pop | reserve | withdraw | peek, then ? or ~ or * and, of the first two, a count, in either order.
operation parse(std::string_view word) {
  if (word == "close") return {action::close, operation::manner::waits, 0, false};
  operation o{action::pop, operation::manner::waits, 1, false};
  std::string_view rest = word;
  const auto starts_with = [&](std::string_view name) {
    if (!rest.starts_with(name)) return false;
    rest.remove_prefix(name.size());
    return true;
  };
  if (starts_with("push")) {
    o.what = action::push;
  } else if (starts_with("reserve")) {
    o.what = action::push;
    o.in_place = true;
  } else if (starts_with("withdraw")) {
    o.what = action::push;
    o.in_place = o.withdraws = true;
  } else if (starts_with("peek")) {
    o.in_place = true;
  } else if (!starts_with("pop")) {
    refuse(word);
  }
  for (const char c : rest) {
    switch (c) {
      case '?':
        o.how = operation::manner::once;
        break;
      case '~':
        o.how = operation::manner::timed;
        break;
      case '*':
        o.how = operation::manner::retries;
        break;
      default:
        if (c < '1' || c > '0' + static_cast<char>(call::most_messages)) refuse(word);
        o.count = static_cast<std::size_t>(c - '0');
        o.batch = true;
    }
  }
  if (o.batch && (o.in_place || o.how == operation::manner::retries)) refuse(word);
  return o;
}

}  // namespace

std::vector<thread_program> parse_programs(std::string_view text) {
  std::vector<thread_program> programs;
  for (const std::string_view thread : split(text, '|')) {
    thread_program& p = programs.emplace_back();
    bool heir = false;
    for (const std::string_view word : split(thread, ' ')) {
      if (word == "mortal") {
        p.fate = thread_program::fate::mortal;
      } else if (word == "lingering") {
        p.fate = thread_program::fate::lingering;
      } else if (word == "stopped") {
        p.fate = thread_program::fate::stopped;
      } else if (word == "heir") {
        heir = true;
      } else {
        (heir ? p.heirs : p.operations).push_back(parse(word));
      }
    }
  }
  if (text.ends_with('|')) programs.emplace_back();  // one that does nothing
  return programs;
}

}  // namespace verify
