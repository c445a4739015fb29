#include "model/dummy_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace phalanx {
namespace {

template <typename T>
std::vector<T> Fill(const DummyTensor& tensor, int64_t row, int64_t first, size_t count,
                    DType dtype) {
  std::vector<T> values(count);
  tensor.Fill(row, first, dtype, std::as_writable_bytes(std::span(values)));
  return values;
}

// tests/model/dummy_weights.py gives these: dummy_tensor(7, "model.layers.3.mlp.up_proj.weight",
// (5, 12)), rows 0 and 4.
TEST(DummyWeightsTest, IsTheRecipeThatPythonRepeats) {
  const DummyTensor tensor(7, "model.layers.3.mlp.up_proj.weight", {0.0F, 0.5F});
  EXPECT_EQ(
      Fill<float>(tensor, 0, 0, 3, DType::kF32),
      (std::vector<float>{0.30055445432662964F, -0.38196098804473877F, -0.38297605514526367F}));
  EXPECT_EQ(
      Fill<float>(tensor, 4, 9, 3, DType::kF32),
      (std::vector<float>{-0.25868672132492065F, 0.23327642679214478F, -0.3415229320526123F}));
}

TEST(DummyWeightsTest, AnySliceHoldsTheSameValues) {
  const DummyTensor tensor(1, "t", {0.0F, 1.0F});
  const auto whole = Fill<uint16_t>(tensor, 2, 0, 100, DType::kBF16);
  const auto part = Fill<uint16_t>(tensor, 2, 37, 20, DType::kBF16);
  EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 37));
}

TEST(DummyWeightsTest, RoundsToTheNearest) {
  for (const float scale : {1.0F, 1e-4F}) {  // the second gives binary16 subnormals
    const DummyTensor tensor(3, "t", {0.0F, scale});
    const auto exact = Fill<float>(tensor, 0, 0, 5000, DType::kF32);
    const auto bf16 = Fill<uint16_t>(tensor, 0, 0, 5000, DType::kBF16);
    const auto f16 = Fill<uint16_t>(tensor, 0, 0, 5000, DType::kF16);
    for (size_t i = 0; i < exact.size(); ++i) {
      EXPECT_EQ(bf16[i], FloatToBF16(exact[i]));
      const float error = std::abs(F16ToFloat(f16[i]) - exact[i]);
      for (const int step : {-1, 1}) {
        const float next = F16ToFloat(static_cast<uint16_t>(f16[i] + step));
        EXPECT_FALSE(error > std::abs(next - exact[i])) << exact[i];  // next may be NaN
      }
    }
  }
}

TEST(DummyWeightsTest, IsSpreadEvenly) {
  const DummyTensor tensor(5, "t", {0.0F, 1.0F});
  double sum = 0.0;
  double squares = 0.0;
  double lag = 0.0;  // of neighbouring rows
  std::vector<float> previous(1000);
  for (int64_t row = 0; row < 100; ++row) {
    const auto values = Fill<float>(tensor, row, 0, 1000, DType::kF32);
    for (size_t i = 0; i < values.size(); ++i) {
      sum += values[i];
      squares += values[i] * values[i];
      lag += values[i] * previous[i];
    }
    previous = values;
  }
  EXPECT_NEAR(sum / 1e5, 0.0, 0.01);
  EXPECT_NEAR(squares / 1e5, 1.0 / 3.0, 0.01);
  EXPECT_NEAR(lag / 1e5, 0.0, 0.01);
}

}  // namespace
}  // namespace phalanx
