#include "tools/command_line.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <string_view>
#include <system_error>

namespace millrace {
namespace {

// CLI11's own reading takes -1 for an unsigned number.
template <class Number>
CLI::Validator between(Number least, Number most) {
  return CLI::Validator(
      [=](const std::string& given) -> std::string {
        Number value{};
        const char* const end = given.data() + given.size();
        const auto [read, wrong] = std::from_chars(given.data(), end, value);
        if (wrong == std::errc{} && read == end && value >= least && value <= most) return {};
        return fmt::format("expected a {} from {} to {}, found '{}'",
                           std::is_integral_v<Number> ? "whole number" : "number", least, most, given);
      },
      fmt::format("{}..{}", least, most));
}

CLI::Validator one_of(const std::vector<std::string>& among) {
  return CLI::Validator(
      [among](const std::string& given) -> std::string {
        if (std::ranges::find(among, given) != among.end()) return {};
        return fmt::format("found '{}', expected one of {}", given, fmt::join(among, ", "));
      },
      fmt::format("{{{}}}", fmt::join(among, ",")));
}

}  // namespace

command_line::command_line(const std::string& name, const std::string& about, const std::string& footer)
    : app_(std::make_unique<CLI::App>(about, name)) {
  app_->footer(footer);
}

command_line::~command_line() = default;

void command_line::flag(const std::string& name, bool& given, const std::string& what) {
  app_->add_flag(name, given, what);
}

template <class Number>
void command_line::number(const std::string& name, Number& value, std::type_identity_t<Number> least,
                          std::type_identity_t<Number> most, const std::string& what) {
  app_->add_option(name, value, what)->check(between(least, most))->capture_default_str();
}

template <class Number>
void command_line::number(const std::string& name, std::optional<Number>& value, std::type_identity_t<Number> least,
                          std::type_identity_t<Number> most, const std::string& what) {
  app_->add_option(name, value, what)->check(between(least, most));
}

template void command_line::number(const std::string&, std::uint32_t&, std::uint32_t, std::uint32_t,
                                   const std::string&);
template void command_line::number(const std::string&, std::uint64_t&, std::uint64_t, std::uint64_t,
                                   const std::string&);
template void command_line::number(const std::string&, double&, double, double, const std::string&);
template void command_line::number(const std::string&, std::optional<std::uint32_t>&, std::uint32_t, std::uint32_t,
                                   const std::string&);
template void command_line::number(const std::string&, std::optional<std::uint64_t>&, std::uint64_t, std::uint64_t,
                                   const std::string&);
template void command_line::number(const std::string&, std::optional<double>&, double, double, const std::string&);

void command_line::text(const std::string& name, std::string& value, const std::string& type, const std::string& what,
                        std::string (*wrong)(const std::string& given)) {
  CLI::Option* const option = app_->add_option(name, value, what)->type_name(type)->capture_default_str();
  if (wrong != nullptr) option->check(wrong);
}

void command_line::choice(const std::string& name, std::string& value, const std::vector<std::string>& among,
                          const std::string& what) {
  app_->add_option(name, value, what)->check(one_of(among))->capture_default_str();
}

void command_line::choices(const std::string& name, std::vector<std::string>& values,
                           const std::vector<std::string>& among, const std::string& what) {
  app_->add_option(name, values, what)->check(one_of(among))->delimiter(',');
}

void command_line::required(const std::string& name, std::string& value, const std::string& type,
                            const std::string& what) {
  app_->add_option(name, value, what)->required()->type_name(type);
}

void command_line::required(const std::string& name, std::vector<std::string>& values, const std::string& type,
                            const std::string& what) {
  app_->add_option(name, values, what)->required()->type_name(type);
}

std::optional<int> command_line::parse(int argc, const char* const* argv) {
  try {
    app_->parse(argc, argv);
  } catch (const CLI::CallForHelp& e) {
    return app_->exit(e);
  } catch (const CLI::ExtrasError&) {
    const std::vector<std::string> left = app_->remaining();
    return refuse(fmt::format("there is no option '{}'", left.front() == "--" ? left.back() : left.front()));
  } catch (const CLI::ArgumentMismatch& e) {
    const std::string what = e.what();  // begins with its name
    return refuse(
        fmt::format("{}: expected one value, found none or several; give it once", what.substr(0, what.find(':'))));
  } catch (const CLI::ParseError& e) {
    return refuse(e.what());
  }
  return std::nullopt;
}

int command_line::refuse(std::string why) const {
  std::ranges::replace_if(
      why, [](unsigned char c) { return c < 32 || c == 127; }, '?');  // in one line
  const std::string_view hint = why.find("; ") == std::string::npos ? "; see --help" : "";
  fmt::print(stderr, "{}: {}{}\n", app_->get_name(), why, hint);
  return bad_input;
}

}  // namespace millrace
