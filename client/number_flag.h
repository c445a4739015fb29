// Numbers on the command line. CLI11 reads them as strtoull does, which takes "-1" for 2^64 - 1 and
// "010" for 8, and its errors do not show what is allowed.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

template <typename Number>
struct NumberRange {
  Number low = std::numeric_limits<Number>::lowest();
  Number high = std::numeric_limits<Number>::max();  // inclusive
};

// A decimal number in the range, finite. INVALID_ARGUMENT "FLAG: is 'TEXT', allowed: ...". Number
// is int32_t, uint64_t, float or double.
template <typename Number>
StatusOr<Number> ParseNumber(std::string_view flag, std::string_view text,
                             NumberRange<Number> range);

// Leaves the parsing of the command line with the error; returns where `status` is OK.
void ThrowIfWrong(const Status& status);

// Adds "--name" or "--name,--other". What is given goes to `set`.
template <typename Number>
CLI::Option* AddNumber(CLI::App& app, const std::string& flag, NumberRange<Number> range,
                       std::function<void(Number)> set, const std::string& help) {
  const std::string name = flag.substr(0, flag.find(','));
  return app
      .add_option_function<std::string>(
          flag,
          [name, range, set = std::move(set)](const std::string& text) {
            const StatusOr<Number> number = ParseNumber<Number>(name, text, range);
            ThrowIfWrong(number.status());
            set(*number);
          },
          help)
      ->type_name(std::is_integral_v<Number> ? "INT" : "NUMBER");
}

// What is given goes to `target`; its value before shows in the help as the default.
template <typename Number>
CLI::Option* AddNumber(CLI::App& app, const std::string& flag, NumberRange<Number> range,
                       Number& target, const std::string& help) {
  return AddNumber<Number>(
             app, flag, range, [&target](Number value) { target = value; }, help)
      ->default_str(fmt::format("{}", target));
}

}  // namespace phalanx
