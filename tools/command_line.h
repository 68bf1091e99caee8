// The options of a command: reading them, --help, and a refusal in one line. (CLI11 takes
// seconds to compile: only command_line.cc includes it.)
#ifndef MILLRACE_TOOLS_COMMAND_LINE_H_
#define MILLRACE_TOOLS_COMMAND_LINE_H_

#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace CLI {
class App;
}

namespace millrace {

// What is given goes into the variable named. What that holds before is the default, and
// --help shows it. A name without dashes is that of an argument known by its place.
class command_line {
 public:
  static constexpr int bad_input = 2;  // exit status

  command_line(const std::string& name, const std::string& about, const std::string& footer = {});
  ~command_line();
  command_line(const command_line&) = delete;
  command_line& operator=(const command_line&) = delete;

  void flag(const std::string& name, bool& given, const std::string& what);

  // Unsigned numbers, which are whole ones, and double.
  template <class Number>
  void number(const std::string& name, Number& value, std::type_identity_t<Number> least,
              std::type_identity_t<Number> most, const std::string& what);
  template <class Number>
  void number(const std::string& name, std::optional<Number>& value, std::type_identity_t<Number> least,
              std::type_identity_t<Number> most, const std::string& what);

  // `type` is what --help calls the text; `wrong` says what is wrong with it, or nothing.
  void text(const std::string& name, std::string& value, const std::string& type, const std::string& what,
            std::string (*wrong)(const std::string& given) = nullptr);

  void choice(const std::string& name, std::string& value, const std::vector<std::string>& among,
              const std::string& what);
  void choices(const std::string& name, std::vector<std::string>& values, const std::vector<std::string>& among,
               const std::string& what);  // with commas between

  // Without which there is nothing to do.
  void required(const std::string& name, std::string& value, const std::string& type, const std::string& what);
  void required(const std::string& name, std::vector<std::string>& values, const std::string& type,
                const std::string& what);

  // Nothing; or the exit status, where help was asked for or something is wrong.
  std::optional<int> parse(int argc, const char* const* argv);

  // Says so on stderr, in one line; the exit status.
  int refuse(std::string why) const;

 private:
  std::unique_ptr<CLI::App> app_;
};

}  // namespace millrace

#endif  // MILLRACE_TOOLS_COMMAND_LINE_H_
