#include "tests/testing/compare.h"

#include <fmt/format.h>

#include <bit>
#include <cmath>

namespace phalanx::testing {

std::string Mismatch(std::span<const float> actual, const Expected& expected) {
  if (actual.size() != expected.value.size()) {
    return fmt::format("{} elements, expected {}", actual.size(), expected.value.size());
  }
  size_t count = 0;
  size_t worst = 0;
  double worst_excess = -1.0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(actual[i]) - expected.value[i]);
    if (error <= expected.tolerance[i]) continue;
    ++count;
    const double excess = std::isnan(error) ? HUGE_VAL : error / expected.tolerance[i];
    if (excess > worst_excess) {
      worst_excess = excess;
      worst = i;
    }
  }
  if (count == 0) return "";
  return fmt::format("{} of {} differ; worst at {}: expected {:.9g} +- {:.3g}, actual {:.9g}",
                     count, actual.size(), worst, expected.value[worst], expected.tolerance[worst],
                     actual[worst]);
}

std::string BitMismatch(std::span<const float> actual, std::span<const float> expected) {
  if (actual.size() != expected.size()) {
    return fmt::format("{} elements, expected {}", actual.size(), expected.size());
  }
  size_t count = 0;
  size_t first = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    if (std::bit_cast<uint32_t>(actual[i]) == std::bit_cast<uint32_t>(expected[i])) continue;
    if (count++ == 0) first = i;
  }
  if (count == 0) return "";
  return fmt::format("{} of {} differ in bits; first at {}: expected {:a}, actual {:a}", count,
                     actual.size(), first, expected[first], actual[first]);
}

}  // namespace phalanx::testing
