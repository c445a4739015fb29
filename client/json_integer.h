// Integers of JSON, without wrapping.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

namespace phalanx {

// nullopt: `value` is no integer, or none that Int holds.
template <typename Int>
std::optional<Int> ToInteger(const nlohmann::json& value) {
  const auto fit = [](auto number) {
    return std::in_range<Int>(number) ? std::optional(static_cast<Int>(number)) : std::nullopt;
  };
  if (value.is_number_unsigned()) return fit(value.get<uint64_t>());
  if (value.is_number_integer()) return fit(value.get<int64_t>());
  return std::nullopt;
}

}  // namespace phalanx
