// The row-wise ops and the sum of ranks' parts on the device under test.
#include <algorithm>
#include <cmath>
#include <functional>
#include <tuple>

#include "tests/device/device_under_test.h"
#include "tests/testing/inputs.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::Device;
using testing::DeviceArray;
using testing::DeviceMatrix;
using testing::Generator;

constexpr float kEps = 1e-6F;

struct RowShape {
  int64_t rows;
  int64_t cols;
};
void PrintTo(const RowShape& shape, std::ostream* os) { *os << shape.rows << "x" << shape.cols; }

std::vector<RowShape> RowShapes() {
  std::vector<RowShape> shapes = {{1, 1}, {3, 7}, {2, 255}, {2, 257}, {9, 896}};
  if (!Device().is_emulated()) {
    shapes.insert(shapes.end(), {{1, 3584}, {256, 896}, {2048, 3584}, {1000, 5120}});
  }
  return shapes;
}

class DeviceRowOpsTest : public ::testing::TestWithParam<std::tuple<DType, RowShape>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  RowShape shape() const { return std::get<1>(GetParam()); }
  std::vector<float> Random(float deviation = 1.0F) {
    return testing::RandomFloats(shape().rows * shape().cols, generator_, deviation);
  }

  Generator generator_{31};
  std::unique_ptr<Backend> backend_ = testing::MakeDevice(dtype());
};

TEST_P(DeviceRowOpsTest, NormsMatchOracle) {
  const std::vector<float> residual = Random(5.0F);
  const std::vector<float> delta = Random();
  const std::vector<float> weight = testing::RandomFloats(shape().cols, generator_);
  const DeviceArray<float> device_weight(*backend_, weight);
  std::vector<float> sum(residual.size());
  std::transform(residual.begin(), residual.end(), delta.begin(), sum.begin(), std::plus<>());
  const DeviceMatrix on_device(*backend_, residual, shape().rows, DType::kF32);
  const DeviceMatrix device_delta(*backend_, delta, shape().rows, DType::kF32);
  const DeviceMatrix out(*backend_, shape().rows, shape().cols, dtype());
  const auto expect = [&](const std::vector<float>& x) {
    testing::Expected expected =
        testing::RmsNormOracle(x, weight, kEps, shape().rows, shape().cols);
    testing::AddRounding(dtype(), expected);
    EXPECT_EQ(testing::Mismatch(out.Download(), expected), "");
    EXPECT_EQ(testing::BitMismatch(on_device.Download(), x), "");
  };
  backend_->RmsNorm(on_device.view(), device_weight.span(), kEps, out.view());
  expect(residual);
  backend_->AddRmsNorm(on_device.view(), device_delta.view(), device_weight.span(), kEps,
                       out.view());
  expect(sum);
}

TEST_P(DeviceRowOpsTest, AddIsExact) {
  const std::vector<float> a = Random();
  const std::vector<float> b = Random();
  std::vector<float> expected(a.size());
  std::transform(a.begin(), a.end(), b.begin(), expected.begin(), std::plus<>());
  const DeviceMatrix device_a(*backend_, a, shape().rows, DType::kF32);
  const DeviceMatrix device_b(*backend_, b, shape().rows, DType::kF32);
  backend_->Add(device_a.view(), device_b.view(), device_a.view());
  EXPECT_EQ(testing::BitMismatch(device_a.Download(), expected), "");
}

TEST_P(DeviceRowOpsTest, GatherRowsCopies) {
  const std::vector<float> x = Random();
  std::vector<int32_t> rows;
  std::vector<float> expected;
  for (int i = 0; i < 5; ++i) {
    rows.push_back(static_cast<int32_t>(generator_() % static_cast<uint64_t>(shape().rows)));
    const auto begin = x.begin() + rows.back() * shape().cols;
    expected.insert(expected.end(), begin, begin + shape().cols);
  }
  const DeviceMatrix on_device(*backend_, x, shape().rows, DType::kF32);
  const DeviceMatrix out(*backend_, 5, shape().cols, DType::kF32);
  backend_->GatherRows(on_device.view(), DeviceArray<int32_t>(*backend_, rows).span(), out.view());
  EXPECT_EQ(testing::BitMismatch(out.Download(), expected), "");
}

// Rows that other ranks hold are zeros.
TEST_P(DeviceRowOpsTest, EmbeddingWidensItsRows) {
  const testing::RandomWeight table =
      testing::MakeWeight(shape().rows, shape().cols, dtype(), generator_);
  const auto packed = testing::Pack(*backend_, table);
  ASSERT_TRUE(backend_->Finish().ok());
  constexpr int32_t kFirstId = 1000;
  const auto rows = static_cast<int32_t>(shape().rows);
  std::vector<int32_t> ids = {0, kFirstId - 1, kFirstId + rows};
  for (int32_t row = rows - 1; row >= 0; --row) ids.push_back(kFirstId + row);
  std::vector<float> expected(ids.size() * static_cast<size_t>(shape().cols), 0.0F);
  for (size_t t = 3; t < ids.size(); ++t) {
    std::copy_n(table.values.begin() + (ids[t] - kFirstId) * shape().cols, shape().cols,
                expected.begin() + static_cast<int64_t>(t) * shape().cols);
  }
  const DeviceMatrix out(*backend_, static_cast<int64_t>(ids.size()), shape().cols, DType::kF32);
  backend_->Embedding(DeviceArray<int32_t>(*backend_, ids).span(), *packed, kFirstId, out.view());
  EXPECT_EQ(testing::BitMismatch(out.Download(), expected), "");
}

// In the order of the ranks, whatever their number.
TEST_P(DeviceRowOpsTest, PartsAreSummedInOrder) {
  for (const int num_parts : {1, 2, 3, 8}) {
    std::vector<float> parts =
        testing::RandomFloats(num_parts * shape().rows * shape().cols, generator_);
    // Of very different magnitudes, so that another order gives other bits.
    for (float& value : parts) value = std::ldexp(value, static_cast<int>(generator_() % 25) - 12);
    const size_t count = parts.size() / static_cast<size_t>(num_parts);
    std::vector<float> expected(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(count));
    for (size_t i = count; i < parts.size(); ++i) expected[i % count] += parts[i];
    const DeviceArray<float> on_device(*backend_, parts);
    const DeviceMatrix out(*backend_, shape().rows, shape().cols, DType::kF32);
    backend_->device_queue()->SumParts(on_device.span().data(), num_parts, out.view());
    EXPECT_EQ(testing::BitMismatch(out.Download(), expected), "") << num_parts << " parts";
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceRowOpsTest,
                         ::testing::Combine(::testing::Values(DType::kBF16, DType::kF16),
                                            ::testing::ValuesIn(RowShapes())));

// Weights go through a ring of pinned memory while the next rows are read: more than it holds at
// once arrive whole.
TEST(DeviceMemoryTest, AWeightLargerThanTheRingArrivesWhole) {
  const auto backend = testing::MakeDevice();
  Generator generator(32);
  const int64_t rows = Device().is_emulated() ? 900 : 40'000;
  const testing::RandomWeight table = testing::MakeWeight(rows, 896, DType::kBF16, generator);
  auto packed =
      std::move(
          backend->CreateWeight(
              {.name = "table", .out_features = rows, .in_features = 896, .dtype = DType::kBF16}))
          .value();
  constexpr int64_t kRowsAtOnce = 111;
  for (int64_t row = 0; row < rows; row += kRowsAtOnce) {
    backend->PackRows(*packed, row, table.View(row, std::min(kRowsAtOnce, rows - row)));
  }
  ASSERT_TRUE(backend->Finish().ok());
  std::vector<int32_t> ids;
  std::vector<float> expected;
  for (int64_t row = 0; row < rows; row += 17) {
    ids.push_back(static_cast<int32_t>(row));
    const auto begin = table.values.begin() + row * 896;
    expected.insert(expected.end(), begin, begin + 896);
  }
  const DeviceMatrix out(*backend, static_cast<int64_t>(ids.size()), 896, DType::kF32);
  backend->Embedding(DeviceArray<int32_t>(*backend, ids).span(), *packed, 0, out.view());
  EXPECT_EQ(testing::BitMismatch(out.Download(), expected), "");
}

TEST(DeviceMemoryTest, WhatDoesNotFitIsNamedAndHarmsNothing) {
  const auto backend = testing::MakeDevice();
  const auto refused = backend->Allocate(size_t{1} << 50, "a petabyte");
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.status().code(), StatusCode::kResourceExhausted);
  EXPECT_NE(refused.status().message().find("a petabyte"), std::string::npos) << refused.status();
  const DeviceMatrix one(*backend, std::vector<float>(1, 1.0F), 1, DType::kF32);
  backend->Add(one.view(), one.view(), one.view());
  EXPECT_EQ(one.Download(), std::vector<float>{2.0F});
}

}  // namespace
}  // namespace phalanx
