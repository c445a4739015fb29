// The row-wise kernels against the oracles of the CPU's, over the same shapes.
#include "kernels/cuda/row_ops.h"

#include <gtest/gtest.h>

#include "tests/kernels/cuda/emulated_device.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::Generator;

constexpr float kEps = 1e-6F;

std::vector<float> Widened(const uint16_t* values, int64_t count, DType dtype) {
  std::vector<float> wide;
  for (int64_t i = 0; i < count; ++i) {
    wide.push_back(dtype == DType::kBF16 ? BF16ToFloat(values[i]) : F16ToFloat(values[i]));
  }
  return wide;
}

// The oracle's tolerance and half a unit in the last place of the output's type.
testing::Expected InType(testing::Expected expected, DType dtype) {
  const double unit = dtype == DType::kBF16 ? 0x1p-8 : 0x1p-11;
  for (size_t i = 0; i < expected.values.size(); ++i) {
    expected.tolerances[i] += std::abs(expected.values[i]) * unit + 1e-7;
  }
  return expected;
}

TEST(X, Y) {}

}  // namespace
}  // namespace phalanx
