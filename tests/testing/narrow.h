// 16-bit floats as devices store them, and what rounding to them adds to a tolerance.
#pragma once

#include <cmath>
#include <cstdint>
#include <vector>

#include "kernels/base/dtype.h"
#include "tests/testing/compare.h"

namespace phalanx::testing {

// `dtype` is kBF16 or kF16 in all of these.
inline uint16_t Narrow(float value, DType dtype) {
  return dtype == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
}
inline float Widen(uint16_t bits, DType dtype) {
  return dtype == DType::kBF16 ? BF16ToFloat(bits) : F16ToFloat(bits);
}
inline std::vector<uint16_t> Narrow(const std::vector<float>& values, DType dtype) {
  std::vector<uint16_t> bits;
  bits.reserve(values.size());
  for (const float value : values) bits.push_back(Narrow(value, dtype));
  return bits;
}
inline std::vector<float> Widen(const uint16_t* bits, size_t count, DType dtype) {
  std::vector<float> values;
  values.reserve(count);
  for (size_t i = 0; i < count; ++i) values.push_back(Widen(bits[i], dtype));
  return values;
}
// Values that the type holds exactly.
inline std::vector<float> Rounded(std::vector<float> values, DType dtype) {
  for (float& value : values) value = Widen(Narrow(value, dtype), dtype);
  return values;
}

inline double UnitRoundoffOf(DType dtype) { return dtype == DType::kBF16 ? 0x1p-8 : 0x1p-11; }

// Of results that are stored in `dtype`: half a unit in the last place, and half of float16's
// smallest step.
inline void AddRounding(DType dtype, Expected& expected) {
  for (size_t i = 0; i < expected.value.size(); ++i) {
    expected.tolerance[i] += UnitRoundoffOf(dtype) * std::abs(expected.value[i]) + 0x1p-25;
  }
}

}  // namespace phalanx::testing
