// How rendering fails inside this library. The exception never leaves it: Template::Parse and
// Template::Render turn it into a Status.
#pragma once

#include <fmt/format.h>

#include <exception>
#include <string>
#include <utility>

namespace phalanx::jinja {

enum class ErrorKind {
  kSyntax,     // the template's text
  kUndefined,  // something that is not there was used
  kType,       // a value of a kind that the operation does not take
  kValue,      // a value out of range: division by zero, a bad format, no such encoding
  kSecurity,   // what the sandbox refuses
  kRaised,     // raise_exception
  kRuntime,    // the rest: an unknown filter, no loader, ...
  kLimit,      // more steps, depth or output than allowed
};

class TemplateError final : public std::exception {
 public:
  TemplateError(ErrorKind kind, std::string message) : kind_(kind), message_(std::move(message)) {}

  ErrorKind kind() const { return kind_; }
  const std::string& message() const { return message_; }
  int line() const { return line_; }
  const char* what() const noexcept override { return message_.c_str(); }

  // The innermost statement's line wins.
  void SetLine(int line) {
    if (line_ == 0) line_ = line;
  }

 private:
  ErrorKind kind_;
  std::string message_;
  int line_ = 0;  // 0: not known
};

template <typename... Args>
[[noreturn]] void Throw(ErrorKind kind, fmt::format_string<Args...> format, Args&&... args) {
  throw TemplateError(kind, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace phalanx::jinja
