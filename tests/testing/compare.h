// Comparison of a kernel's output with an oracle's.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace phalanx::testing {

// What an oracle computed: per element the value and how far from it is still right.
struct Expected {
  std::vector<double> value{};
  std::vector<double> tolerance{};
};

// Empty where every element is within its tolerance; else how many are not, and the worst one's
// index, expected and actual value. NaN is never within a tolerance.
std::string Mismatch(std::span<const float> actual, const Expected& expected);

// Empty where both hold the same bits (so NaN equals the same NaN, and 0 differs from -0).
std::string BitMismatch(std::span<const float> actual, std::span<const float> expected);

}  // namespace phalanx::testing
