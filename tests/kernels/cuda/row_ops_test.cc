// The row-wise kernels against the oracles of the CPU's.
#include "kernels/cuda/row_ops.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "tests/kernels/cuda/emulated_device.h"
#include "tests/testing/inputs.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::EmulatedDevice;
using testing::Generator;

struct Shape {
  int64_t rows;
  int64_t cols;
};
void PrintTo(const Shape& shape, std::ostream* os) { *os << shape.rows << "x" << shape.cols; }

class CudaRowOpsTest : public ::testing::TestWithParam<std::tuple<DType, Shape>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  Shape shape() const { return std::get<1>(GetParam()); }
  size_t size() const { return static_cast<size_t>(shape().rows * shape().cols); }
  void ExpectNoFault() { EXPECT_TRUE(stream_.status().ok()) << stream_.status(); }

  Generator generator_{31};
  EmulatedDevice device_{generator_()};
  cuda::emulated::Stream stream_ = device_.Stream();
};

constexpr float kEps = 1e-6F;

TEST_P(CudaRowOpsTest, AddRmsNormMatchesOracle) {
  const std::vector<float> residual =
      testing::RandomFloats(static_cast<int64_t>(size()), generator_, 5.0F);
  const std::vector<float> delta = testing::RandomFloats(static_cast<int64_t>(size()), generator_);
  const std::vector<float> weight = testing::RandomFloats(shape().cols, generator_);
  const int64_t out_stride = shape().cols + 3;
  for (const bool with_delta : {false, true}) {
    std::vector<float> sum = residual;
    if (with_delta) {
      std::transform(residual.begin(), residual.end(), delta.begin(), sum.begin(), std::plus<>());
    }
    auto* const on_device = device_.Upload(residual);
    auto* const out = device_.Allocate<uint16_t>(static_cast<size_t>(shape().rows * out_stride));
    LaunchAddRmsNorm(stream_,
                     {.rows = shape().rows,
                      .cols = shape().cols,
                      .residual = on_device,
                      .delta = with_delta ? device_.Upload(delta) : nullptr,
                      .weight = device_.Upload(weight),
                      .eps = kEps,
                      .out = out,
                      .out_stride = out_stride},
                     dtype());
    ExpectNoFault();
    EXPECT_EQ(testing::BitMismatch(EmulatedDevice::Download(on_device, size()), sum), "");
    std::vector<float> rows;
    for (int64_t r = 0; r < shape().rows; ++r) {
      for (int64_t c = 0; c < shape().cols; ++c) {
        const uint16_t bits = out[r * out_stride + c];
        rows.push_back(dtype() == DType::kBF16 ? BF16ToFloat(bits) : F16ToFloat(bits));
      }
    }
    testing::Expected expected =
        testing::RmsNormOracle(sum, weight, kEps, shape().rows, shape().cols);
    testing::AddRounding(dtype(), expected);
    EXPECT_EQ(testing::Mismatch(rows, expected), "");
  }
}

TEST_P(CudaRowOpsTest, AddIsExactAndMayAlias) {
  const std::vector<float> a = testing::RandomFloats(static_cast<int64_t>(size()), generator_);
  const std::vector<float> b = testing::RandomFloats(static_cast<int64_t>(size()), generator_);
  std::vector<float> expected(size());
  std::transform(a.begin(), a.end(), b.begin(), expected.begin(), std::plus<>());
  auto* const on_device = device_.Upload(a);
  LaunchAdd(stream_, {.count = static_cast<int64_t>(size()),
                      .a = on_device,
                      .b = device_.Upload(b),
                      .out = on_device});
  ExpectNoFault();
  EXPECT_EQ(testing::BitMismatch(EmulatedDevice::Download(on_device, size()), expected), "");
}

TEST_P(CudaRowOpsTest, GatherRowsCopies) {
  const std::vector<float> x = testing::RandomFloats(static_cast<int64_t>(size()), generator_);
  std::vector<int32_t> indices;
  std::vector<float> expected;
  for (int i = 0; i < 5 && shape().rows > 0; ++i) {
    const auto row = static_cast<int64_t>(generator_() % static_cast<uint64_t>(shape().rows));
    indices.push_back(static_cast<int32_t>(row));
    expected.insert(expected.end(), x.begin() + row * shape().cols,
                    x.begin() + (row + 1) * shape().cols);
  }
  auto* const out = device_.Allocate<float>(expected.size());
  LaunchGatherRows(stream_, {.rows = static_cast<int64_t>(indices.size()),
                             .cols = shape().cols,
                             .x = device_.Upload(x),
                             .indices = device_.Upload(indices),
                             .out = out});
  ExpectNoFault();
  EXPECT_EQ(testing::BitMismatch(EmulatedDevice::Download(out, expected.size()), expected), "");
}

TEST_P(CudaRowOpsTest, EmbeddingWidensItsRowsAndWritesZerosForOthers) {
  const testing::RandomWeight table =
      testing::MakeWeight(shape().rows, shape().cols, dtype(), generator_);
  constexpr int32_t kFirstId = 1000;
  const auto rows = static_cast<int32_t>(shape().rows);
  std::vector<int32_t> ids = {0, kFirstId - 1, kFirstId + rows};
  for (int32_t row = rows - 1; row >= 0; --row) ids.push_back(kFirstId + row);
  std::vector<float> expected(ids.size() * static_cast<size_t>(shape().cols), 0.0F);
  for (size_t t = 3; t < ids.size(); ++t) {
    std::copy_n(table.values.begin() + (ids[t] - kFirstId) * shape().cols, shape().cols,
                expected.begin() + static_cast<int64_t>(t) * shape().cols);
  }
  auto* const out = device_.Allocate<float>(expected.size());
  LaunchEmbedding(stream_,
                  {.rows = static_cast<int64_t>(ids.size()),
                   .cols = shape().cols,
                   .ids = device_.Upload(ids),
                   .first_id = kFirstId,
                   .num_ids = shape().rows,
                   .table = device_.Upload(table.stored),
                   .table_stride = shape().cols,
                   .out = out},
                  dtype());
  ExpectNoFault();
  EXPECT_EQ(testing::BitMismatch(EmulatedDevice::Download(out, expected.size()), expected), "");
}

INSTANTIATE_TEST_SUITE_P(All, CudaRowOpsTest,
                         ::testing::Combine(::testing::Values(DType::kBF16, DType::kF16),
                                            ::testing::Values(Shape{0, 5}, Shape{1, 1}, Shape{3, 7},
                                                              Shape{2, 255}, Shape{2, 257},
                                                              Shape{9, 896})));

}  // namespace
}  // namespace phalanx
