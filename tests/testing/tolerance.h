// How far a float32 kernel may be from the double-precision oracle. Every bound follows from the
// unit roundoff and the magnitudes that enter a sum; nothing is a number that happened to pass.
#pragma once

#include <cmath>
#include <cstdint>

namespace phalanx::testing {

inline constexpr double kUnitRoundoff = 0x1p-24;
// Largest error of the kernels' exp, relative: Highway states 1 ulp, the argument's rounding adds
// its own (counted separately).
inline constexpr double kExpError = 2 * kUnitRoundoff;

// Error of a float32 sum of n rounded terms, relative to the sum of their magnitudes. Roundings are
// independent enough that the error grows with sqrt(n), with overwhelming probability below
// lambda sqrt(n) u at lambda = 6 (Higham & Mary 2019, "A new approach to probabilistic rounding
// error analysis"); the additive constant covers the few roundings outside the sum.
inline double SumError(int64_t n) {
  return (6.0 * std::sqrt(static_cast<double>(n)) + 4.0) * kUnitRoundoff;
}

// The smallest difference that is worth anything near zero: float32's smallest normal number.
inline constexpr double kTiny = 0x1p-126;

}  // namespace phalanx::testing
