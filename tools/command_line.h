// What commands with options share: whole numbers, and a refusal in one line.
#ifndef MILLRACE_TOOLS_COMMAND_LINE_H_
#define MILLRACE_TOOLS_COMMAND_LINE_H_

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>

namespace millrace::command_line {

inline constexpr int bad_input = 2;  // exit status

template <class T>
bool reads_as(const std::string& text, T& value) {
  const auto [end, wrong] = std::from_chars(text.data(), text.data() + text.size(), value);
  return wrong == std::errc{} && end == text.data() + text.size();
}

inline CLI::Validator whole_number(std::uint64_t least, std::uint64_t most) {
  return CLI::Validator(
      [=](const std::string& given) -> std::string {
        std::uint64_t value = 0;
        if (reads_as(given, value) && value >= least && value <= most) return {};
        return fmt::format("expected a whole number from {} to {}, found '{}'", least, most, given);
      },
      fmt::format("{}..{}", least, most));
}

// Says so on stderr; the exit status.
inline int refuse(const CLI::App& app, std::string what) {
  std::ranges::replace_if(
      what, [](unsigned char c) { return c < 32 || c == 127; }, '?');  // in one line
  const std::string_view hint = what.find("; ") == std::string::npos ? "; see --help" : "";
  fmt::print(stderr, "{}: {}{}\n", app.get_name(), what, hint);
  return bad_input;
}

// Nothing; or the exit status, where help was asked for or something is wrong.
inline std::optional<int> parse(CLI::App& app, int argc, const char* const* argv) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app.exit(e);
  } catch (const CLI::ExtrasError&) {
    return refuse(app, fmt::format("there is no option '{}'", app.remaining().front()));
  } catch (const CLI::ParseError& e) {
    return refuse(app, e.what());
  }
  return std::nullopt;
}

}  // namespace millrace::command_line

#endif  // MILLRACE_TOOLS_COMMAND_LINE_H_
