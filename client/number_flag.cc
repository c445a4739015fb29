#include "client/number_flag.h"

#include <charconv>

namespace phalanx {
namespace {

template <typename Number>
std::string Describe(NumberRange<Number> range) {
  if constexpr (std::is_integral_v<Number>) {
    return fmt::format("an integer from {} to {}", range.low, range.high);
  } else {
    const NumberRange<Number> whole;
    if (range.low == whole.low && range.high == whole.high) return "a finite number";
    return fmt::format("a number from {:g} to {:g}", range.low, range.high);
  }
}

}  // namespace

template <typename Number>
StatusOr<Number> ParseNumber(std::string_view flag, std::string_view text,
                             NumberRange<Number> range) {
  Number number{};
  const char* const end = text.data() + text.size();
  const auto [next, error] = std::from_chars(text.data(), end, number);
  // A NaN is in no range.
  if (error != std::errc() || next != end || !(number >= range.low && number <= range.high))
    return InvalidField(flag, fmt::format("'{}'", text), Describe(range));
  return number;
}

template StatusOr<int32_t> ParseNumber(std::string_view, std::string_view, NumberRange<int32_t>);
template StatusOr<uint64_t> ParseNumber(std::string_view, std::string_view, NumberRange<uint64_t>);
template StatusOr<float> ParseNumber(std::string_view, std::string_view, NumberRange<float>);
template StatusOr<double> ParseNumber(std::string_view, std::string_view, NumberRange<double>);

void ThrowIfWrong(const Status& status) {
  if (!status.ok()) throw CLI::ValidationError(status.message());
}

}  // namespace phalanx
