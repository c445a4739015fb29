#include "app/usage_error.h"

#include <fmt/format.h>

#include <string_view>

namespace phalanx {
namespace {

// CLI11's names of types, in words.
std::string_view Allowed(const std::string& type_name) {
  if (type_name.starts_with("UINT")) return "an integer of at least 0";
  if (type_name.starts_with("INT")) return "an integer";
  if (type_name.starts_with("FLOAT")) return "a number";
  return type_name;
}

std::string Describe(const CLI::App& app, const CLI::ParseError& error) {
  std::string text = error.what();
  if (error.get_name() == "FileError") return "--config: " + text;
  constexpr std::string_view kConversion = "Could not convert: ";
  if (!text.starts_with(kConversion)) return text;
  text.erase(0, kConversion.size());  // "--flag = VALUE"
  const size_t equals = text.find(" = ");
  if (equals == std::string::npos) return text;
  const std::string flag = text.substr(0, equals);
  const CLI::Option* option = app.get_option_no_throw(flag);
  if (option == nullptr) return text;
  return fmt::format("{}: is {}, allowed: {}", flag, text.substr(equals + 3),
                     Allowed(option->get_type_name()));
}

}  // namespace

std::string UsageError(const CLI::App& app, const CLI::ParseError& error) {
  return fmt::format("{}: {}", app.get_name(), Describe(app, error));
}

}  // namespace phalanx
