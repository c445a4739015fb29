// Linear and GateUpSwiglu as CUDA kernels, against the oracles of the CPU's.
#include "kernels/cuda/linear.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <tuple>

#include "kernels/cuda/linear_kernels.h"
#include "tests/kernels/cuda/emulated_device.h"
#include "tests/testing/inputs.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using cuda::emulated::GateUpRow;
using cuda::emulated::GateUpRows;
using cuda::emulated::GemmTile;
using testing::EmulatedDevice;
using testing::Generator;
using testing::Narrow;
using testing::Widen;

enum class Op : uint8_t { kLinear, kGateUp };

struct Shape {
  int64_t rows;
  int64_t in;
  int64_t out;
  int num_sms = 1;
};
void PrintTo(const Shape& shape, std::ostream* os) {
  *os << shape.rows << "x" << shape.in << "x" << shape.out << " on " << shape.num_sms;
}

// Operands of a product, as numbers and on a device, rows further apart than they are long: NaNs
// follow x's, zeros the weight's.
struct Product {
  Product(EmulatedDevice& on, const Shape& size, DType type, Op kind, uint64_t seed)
      : device(on), shape(size), dtype(type), op(kind), generator(seed) {
    const int64_t weight_rows = op == Op::kGateUp ? 2 * shape.out : shape.out;
    const testing::RandomWeight weight =
        testing::MakeWeight(weight_rows, shape.in, dtype, generator);
    w = weight.values;
    if (op == Op::kLinear) bias = testing::RandomFloats(shape.out, generator);
    for (const float value : testing::RandomFloats(shape.rows * shape.in, generator, 2.0F)) {
      x.push_back(Widen(Narrow(value, dtype), dtype));
    }
    x_stride = (shape.in + 7) / 8 * 8 + 8;
    w_stride = x_stride;
    std::vector<uint16_t> stored_x(static_cast<size_t>(shape.rows * x_stride), 0xffff);
    for (int64_t r = 0; r < shape.rows; ++r) {
      for (int64_t c = 0; c < shape.in; ++c) {
        stored_x[static_cast<size_t>(r * x_stride + c)] =
            Narrow(x[static_cast<size_t>(r * shape.in + c)], dtype);
      }
    }
    device_x = device.Upload(stored_x, "x");
    const int64_t physical_rows = op == Op::kGateUp ? GateUpRows(shape.out) : shape.out;
    std::vector<uint16_t> stored_w(static_cast<size_t>(physical_rows * w_stride), 0);
    for (int64_t r = 0; r < weight_rows; ++r) {
      const int64_t row = op == Op::kGateUp ? GateUpRow(r, shape.out) : r;
      for (int64_t c = 0; c < shape.in; ++c) {
        stored_w[static_cast<size_t>(row * w_stride + c)] =
            Narrow(w[static_cast<size_t>(r * shape.in + c)], dtype);
      }
    }
    device_w = device.Upload(stored_w, "weight");
    device_bias = device.Upload(bias, "bias");
    workspace = device.Allocate<std::byte>(cuda::emulated::LinearWorkspaceBytes(shape.num_sms),
                                           "workspace");
  }

  // The first `rows` rows of the result. What lies between its rows must stay as it was.
  std::vector<float> Run(Numerics mode, DType out_dtype, int64_t rows, int64_t first_row = 0,
                         int64_t out_gap = 3) {
    const int64_t out_stride = shape.out + out_gap;
    const auto count = static_cast<size_t>(rows * out_stride);
    auto* const words =
        device.Allocate<uint16_t>(out_dtype == DType::kF32 ? 2 * count : count, "out");
    const cuda::emulated::LinearParams params{.rows = rows,
                                              .in_features = shape.in,
                                              .out_features = shape.out,
                                              .x = device_x + first_row * x_stride,
                                              .weight = device_w,
                                              .bias = bias.empty() ? nullptr : device_bias,
                                              .out = words,
                                              .x_stride = x_stride,
                                              .weight_stride = w_stride,
                                              .out_stride = out_stride};
    const cuda::emulated::LinearOptions options{.dtype = dtype,
                                                .out_dtype = out_dtype,
                                                .mode = mode,
                                                .num_sms = shape.num_sms,
                                                .workspace = workspace};
    auto stream = device.Stream();
    if (op == Op::kLinear) {
      LaunchLinear(stream, params, options);
    } else {
      LaunchGateUpSwiglu(stream, params, options);
    }
    EXPECT_TRUE(stream.status().ok()) << stream.status();
    std::vector<float> values;
    for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) {
      const float value = out_dtype == DType::kF32 ? reinterpret_cast<const float*>(words)[i]
                                                   : Widen(words[i], dtype);
      if (i % out_stride < shape.out) {
        values.push_back(value);
      } else {
        EXPECT_TRUE(std::isnan(value)) << "between the rows of out, element " << i;
      }
    }
    device.memory().Free(words);
    return values;
  }

  testing::Expected Oracle(DType out_dtype) const {
    testing::Expected expected =
        op == Op::kLinear ? testing::LinearOracle(x, w, bias, shape.rows, shape.in, shape.out)
                          : testing::GateUpSwigluOracle(x, w, shape.rows, shape.in, shape.out);
    if (out_dtype == DType::kF32) return expected;
    testing::AddRounding(dtype, expected);
    return expected;
  }

  EmulatedDevice& device;
  Shape shape;
  DType dtype;
  Op op;
  Generator generator;
  std::vector<float> x{};     // [rows, in]
  std::vector<float> w{};     // [out or 2 out, in]
  std::vector<float> bias{};  // [out] or empty
  int64_t x_stride = 0;
  int64_t w_stride = 0;
  uint16_t* device_x = nullptr;
  uint16_t* device_w = nullptr;
  float* device_bias = nullptr;
  std::byte* workspace = nullptr;
};

class CudaLinearTest : public ::testing::TestWithParam<std::tuple<DType, Shape>> {};

TEST_P(CudaLinearTest, MatchesOracle) {
  const auto& [dtype, shape] = GetParam();
  EmulatedDevice device(11);
  Product product(device, shape, dtype, Op::kLinear, 1);
  for (const Numerics mode : {Numerics::kFast, Numerics::kExact}) {
    for (const DType out_dtype : {dtype, DType::kF32}) {
      SCOPED_TRACE(mode == Numerics::kFast ? "fast" : "exact");
      const std::vector<float> out = product.Run(mode, out_dtype, shape.rows);
      EXPECT_EQ(testing::Mismatch(out, product.Oracle(out_dtype)), "");
    }
  }
}

TEST_P(CudaLinearTest, GateUpSwigluMatchesOracle) {
  const auto& [dtype, shape] = GetParam();
  EmulatedDevice device(12);
  Product product(device, shape, dtype, Op::kGateUp, 2);
  for (const Numerics mode : {Numerics::kFast, Numerics::kExact}) {
    SCOPED_TRACE(mode == Numerics::kFast ? "fast" : "exact");
    const std::vector<float> out = product.Run(mode, dtype, shape.rows);
    EXPECT_EQ(testing::Mismatch(out, product.Oracle(dtype)), "");
  }
}

// Sizes beside tiles and their multiples, in_features of none to a dozen stages, and devices of as
// many multiprocessors as make each of the tiles and splits the right choice.
INSTANTIATE_TEST_SUITE_P(
    All, CudaLinearTest,
    ::testing::Combine(::testing::Values(DType::kBF16, DType::kF16),
                       ::testing::Values(Shape{0, 8, 8}, Shape{3, 7, 0}, Shape{1, 0, 5},
                                         Shape{20, 0, 5}, Shape{1, 1, 1}, Shape{1, 896, 130},
                                         Shape{2, 63, 33}, Shape{3, 1100, 9}, Shape{5, 17, 31},
                                         Shape{8, 2049, 6}, Shape{1, 520, 7, 16}, Shape{9, 65, 17},
                                         Shape{16, 640, 63, 8}, Shape{17, 130, 65},
                                         Shape{31, 263, 24, 4}, Shape{33, 100, 70, 3},
                                         Shape{64, 513, 8, 4}, Shape{65, 72, 129},
                                         Shape{129, 300, 15}, Shape{66, 600, 10, 2},
                                         Shape{1100, 8, 17, 100})));

class CudaLinearBitsTest : public ::testing::TestWithParam<std::tuple<DType, Op>> {};

TEST_P(CudaLinearBitsTest, ARowHasTheSameBitsAmongAnyNumberOfRowsInExactMode) {
  const auto& [dtype, op] = GetParam();
  constexpr int64_t kMaxRows = 130;
  constexpr int64_t kOut = 21;
  // Rounding to 16 bits would hide most differences.
  const DType out_dtype = op == Op::kLinear ? DType::kF32 : dtype;
  std::vector<float> on_another;
  // One multiprocessor is filled by wide tiles, nine only by narrow ones.
  for (const int num_sms : {1, 9}) {
    EmulatedDevice device(13);
    Product product(device, {kMaxRows, 523, kOut, num_sms}, dtype, op, 3);
    const std::vector<float> all = product.Run(Numerics::kExact, out_dtype, kMaxRows);
    if (on_another.empty()) on_another = all;
    ASSERT_EQ(testing::BitMismatch(all, on_another), "") << "another device";
    const auto rows_of_all = [&](int64_t first, int64_t count) {
      return std::span(all).subspan(static_cast<size_t>(first * kOut),
                                    static_cast<size_t>(count * kOut));
    };
    for (int64_t rows = 1; rows <= 40; ++rows) {
      const int64_t first = rows % 2 == 0 ? 0 : kMaxRows - rows;
      ASSERT_EQ(testing::BitMismatch(product.Run(Numerics::kExact, out_dtype, rows, first),
                                     rows_of_all(first, rows)),
                "")
          << rows << " rows on " << num_sms;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, CudaLinearBitsTest,
                         ::testing::Combine(::testing::Values(DType::kBF16, DType::kF16),
                                            ::testing::Values(Op::kLinear, Op::kGateUp)));

// What runs in another order must give the same bits: no sum depends on who comes first.
TEST(CudaLinearOrderTest, EveryOrderOfThreadsAndBlocksGivesTheSameBits) {
  for (const Shape shape : {Shape{1, 520, 7, 16}, Shape{9, 640, 40, 8}, Shape{66, 600, 10, 2}}) {
    std::vector<float> first;
    for (const uint64_t seed : {1, 2, 3}) {
      EmulatedDevice device(seed);
      Product product(device, shape, DType::kBF16, Op::kGateUp, 4);
      const std::vector<float> out = product.Run(Numerics::kFast, DType::kBF16, shape.rows);
      if (first.empty()) first = out;
      EXPECT_EQ(testing::BitMismatch(out, first), "") << "seed " << seed;
    }
  }
}

// Rows of out that lie an even number of elements apart are written two elements at a time.
TEST(CudaLinearStoreTest, RowsMayLieAnyDistanceApart) {
  EmulatedDevice device(14);
  for (const int64_t out : {16, 23}) {
    Product product(device, {20, 70, out}, DType::kF16, Op::kLinear, 5);
    for (const int64_t gap : {0, 1, 2}) {
      for (const DType out_dtype : {DType::kF16, DType::kF32}) {
        EXPECT_EQ(testing::Mismatch(product.Run(Numerics::kExact, out_dtype, 20, 0, gap),
                                    product.Oracle(out_dtype)),
                  "");
      }
    }
  }
}

TEST(CudaGemmPlanTest, ExactTakesItsTileForTheWeightAndNeverSplits) {
  const auto plan = [](int64_t rows, int64_t out, Numerics mode) {
    const cuda::emulated::GemmPlan p =
        cuda::emulated::PlanGemm(rows, out, 3584, {.mode = mode, .num_sms = 132});
    return std::pair(p.tile, p.splits);
  };
  using Plan = std::pair<GemmTile, int>;
  EXPECT_EQ(plan(1, 3584, Numerics::kExact), Plan(GemmTile::k16x16, 1));
  EXPECT_EQ(plan(20, 37888, Numerics::kExact), Plan(GemmTile::k32x64, 1));
  EXPECT_EQ(plan(100, 3584, Numerics::kExact), Plan(GemmTile::k64x16, 1));
  EXPECT_EQ(plan(1000, 3584, Numerics::kExact), Plan(GemmTile::k128x128, 1));
  EXPECT_EQ(plan(9, 3584, Numerics::kFast), Plan(GemmTile::k16x64, 4));
  EXPECT_EQ(plan(40, 37888, Numerics::kFast), Plan(GemmTile::k64x64, 1));
  EXPECT_EQ(plan(100, 512, Numerics::kFast), Plan(GemmTile::k128x128, 14));
  EXPECT_EQ(plan(1000, 37888, Numerics::kFast), Plan(GemmTile::k128x128, 1));
}

// Whatever the shape, its splits' sums fit.
TEST(CudaGemmPlanTest, SplitsFitIntoTheWorkspace) {
  Generator generator(6);
  for (int i = 0; i < 10'000; ++i) {
    const auto rows = static_cast<int64_t>(generator() % 300) + 1;
    const auto out = static_cast<int64_t>(generator() % 5000) + 1;
    const auto in = static_cast<int64_t>(generator() % 20'000);
    const int num_sms = static_cast<int>(generator() % 140) + 1;
    const cuda::emulated::GemmPlan plan =
        cuda::emulated::PlanGemm(rows, out, in, {.num_sms = num_sms});
    if (plan.splits == 1) continue;
    const int64_t bytes = plan.splits * rows * ((out + 1) / 2 * 2) * int64_t{sizeof(float)};
    ASSERT_LE(bytes, static_cast<int64_t>(cuda::emulated::LinearWorkspaceBytes(num_sms)));
    const int64_t stages = (in + cuda::emulated::kGemmDepth - 1) / cuda::emulated::kGemmDepth;
    const int64_t depth = (stages + plan.splits - 1) / plan.splits;
    ASSERT_LT((plan.splits - 1) * depth, stages) << "a split without a stage";
  }
}

TEST(CudaGateUpRowTest, EightGateRowsThenEightUpRows) {
  EXPECT_EQ(GateUpRows(0), 0);
  EXPECT_EQ(GateUpRows(1), 16);
  EXPECT_EQ(GateUpRows(8), 16);
  EXPECT_EQ(GateUpRows(11), 32);
  EXPECT_EQ(GateUpRow(0, 11), 0);
  EXPECT_EQ(GateUpRow(7, 11), 7);
  EXPECT_EQ(GateUpRow(8, 11), 16);
  EXPECT_EQ(GateUpRow(10, 11), 18);
  EXPECT_EQ(GateUpRow(11, 11), 8);
  EXPECT_EQ(GateUpRow(18, 11), 15);
  EXPECT_EQ(GateUpRow(21, 11), 26);
}

}  // namespace
}  // namespace phalanx
