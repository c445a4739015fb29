// Linear and GateUpSwiglu on the device under test, against double precision.
#include <algorithm>
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

struct MatmulShape {
  int64_t rows;
  int64_t in;
  int64_t out;
};
void PrintTo(const MatmulShape& shape, std::ostream* os) {
  *os << shape.rows << "x" << shape.in << "x" << shape.out;
}

// Beside tiles and their multiples; on a GPU also the matrices of Qwen2.5-0.5B and 7B, and shards
// of them.
std::vector<MatmulShape> MatmulShapes() {
  std::vector<MatmulShape> shapes = {{1, 1, 1},     {1, 896, 130}, {2, 63, 33},
                                     {5, 17, 31},   {9, 65, 17},   {17, 130, 65},
                                     {33, 100, 70}, {65, 72, 129}, {66, 600, 10}};
  if (Device().is_emulated()) return shapes;
  for (const int64_t rows : {1, 2, 8, 9, 16, 17, 33, 64, 129, 256, 777}) {
    shapes.insert(shapes.end(), {{rows, 896, 1152}, {rows, 4864, 896}, {rows, 3584, 4608}});
  }
  for (const int64_t rows : {1, 8, 64, 512}) {
    shapes.insert(shapes.end(), {{rows, 3584, 3584}, {rows, 18944, 3584}, {rows, 6336, 3584}});
  }
  // A vocabulary's last column is one past a multiple of nothing.
  shapes.insert(shapes.end(), {{1, 896, 151936}, {16, 896, 50647}, {1100, 896, 17}});
  return shapes;
}

// The host's double precision takes longer than the GPU: of a large product some rows and columns
// are compared.
constexpr int64_t kMostRows = 16;
constexpr int64_t kMostColumns = 256;

// All of few; of many the first, the last and some between.
std::vector<int64_t> Some(int64_t count, int64_t most) {
  std::vector<int64_t> chosen;
  for (int64_t i = 0; i < std::min(count, most); ++i) {
    chosen.push_back(count <= most ? i : i * (count - 1) / (most - 1));
  }
  return chosen;
}

std::vector<float> SelectRows(const std::vector<float>& values, int64_t cols,
                              const std::vector<int64_t>& rows) {
  std::vector<float> selected;
  for (const int64_t row : rows) {
    selected.insert(selected.end(), values.begin() + row * cols, values.begin() + (row + 1) * cols);
  }
  return selected;
}

// A prime number of random rows that repeat: numbers are drawn, and kept by the host, more slowly
// than a GPU multiplies them.
class RepeatedWeight {
 public:
  RepeatedWeight(int64_t out, int64_t in, DType dtype, Generator& generator)
      : out_(out), rows_(testing::MakeWeight(std::min<int64_t>(out, 251), in, dtype, generator)) {}

  std::unique_ptr<PackedWeight> Pack(Backend& backend,
                                     WeightLayout layout = WeightLayout::kLinear) const {
    auto packed = std::move(backend.CreateWeight({.name = "w",
                                                  .out_features = out_,
                                                  .in_features = rows_.in_features,
                                                  .dtype = rows_.dtype,
                                                  .layout = layout}))
                      .value();
    for (int64_t row = 0; row < out_; row += rows_.out_features) {
      backend.PackRows(*packed, row, rows_.View(0, std::min(rows_.out_features, out_ - row)));
    }
    return packed;
  }
  // The weight's rows of these outputs.
  std::vector<float> RowsOf(std::vector<int64_t> outputs) const {
    for (int64_t& row : outputs) row %= rows_.out_features;
    return SelectRows(rows_.values, rows_.in_features, outputs);
  }

 private:
  int64_t out_;
  testing::RandomWeight rows_;
};

class DeviceMatmulTest : public ::testing::TestWithParam<std::tuple<DType, Numerics, MatmulShape>> {
 protected:
  DType dtype() const { return std::get<0>(GetParam()); }
  Numerics numerics() const { return std::get<1>(GetParam()); }
  MatmulShape shape() const { return std::get<2>(GetParam()); }

  // What is compared of an output.
  std::vector<int64_t> rows() const { return Some(shape().rows, kMostRows); }
  std::vector<int64_t> columns() const { return Some(shape().out, kMostColumns); }
  std::vector<float> Compared(const std::vector<float>& out) const {
    std::vector<float> compared;
    for (const int64_t row : rows()) {
      for (const int64_t column : columns()) {
        compared.push_back(out[static_cast<size_t>(row * shape().out + column)]);
      }
    }
    return compared;
  }

  StepLimits Limits() const {
    return {.max_num_tokens = std::max<int64_t>(1, shape().rows),
            .max_num_seqs = 1,
            .max_num_logit_rows = 1,
            .num_logit_cols = 1,
            .max_blocks_per_seq = 1};
  }

  Generator generator_{21};
};

TEST_P(DeviceMatmulTest, LinearMatchesOracle) {
  const auto backend = testing::MakeDevice(dtype(), numerics());
  const RepeatedWeight weight(shape().out, shape().in, dtype(), generator_);
  const auto packed = weight.Pack(*backend);
  ASSERT_TRUE(backend->PrepareSteps(Limits()).ok());
  const std::vector<float> x =
      testing::Rounded(testing::RandomFloats(shape().rows * shape().in, generator_, 2.0F), dtype());
  const DeviceMatrix on_device(*backend, x, shape().rows, dtype(), 8 - shape().in % 8);
  const std::vector<float> bias = testing::RandomFloats(shape().out, generator_);
  const DeviceArray<float> device_bias(*backend, bias);
  testing::Expected expected = testing::LinearOracle(
      SelectRows(x, shape().in, rows()), weight.RowsOf(columns()), SelectRows(bias, 1, columns()),
      static_cast<int64_t>(rows().size()), shape().in, static_cast<int64_t>(columns().size()));
  for (const DType out_dtype : {DType::kF32, dtype()}) {
    const DeviceMatrix out(*backend, shape().rows, shape().out, out_dtype);
    backend->Linear(on_device.view(), *packed, device_bias.span(), out.view());
    if (out_dtype != DType::kF32) testing::AddRounding(out_dtype, expected);
    EXPECT_EQ(testing::Mismatch(Compared(out.Download()), expected), "");
  }
}

TEST_P(DeviceMatmulTest, GateUpSwigluMatchesOracle) {
  const auto backend = testing::MakeDevice(dtype(), numerics());
  const RepeatedWeight weight(2 * shape().out, shape().in, dtype(), generator_);
  const auto packed = weight.Pack(*backend, WeightLayout::kGateUp);
  ASSERT_TRUE(backend->PrepareSteps(Limits()).ok());
  const std::vector<float> x =
      testing::Rounded(testing::RandomFloats(shape().rows * shape().in, generator_, 2.0F), dtype());
  const DeviceMatrix on_device(*backend, x, shape().rows, dtype(), 8 - shape().in % 8);
  const DeviceMatrix out(*backend, shape().rows, shape().out, dtype());
  backend->GateUpSwiglu(on_device.view(), *packed, out.view());
  std::vector<int64_t> gate_and_up = columns();
  for (const int64_t column : columns()) gate_and_up.push_back(shape().out + column);
  testing::Expected expected = testing::GateUpSwigluOracle(
      SelectRows(x, shape().in, rows()), weight.RowsOf(gate_and_up),
      static_cast<int64_t>(rows().size()), shape().in, static_cast<int64_t>(columns().size()));
  testing::AddRounding(dtype(), expected);
  EXPECT_EQ(testing::Mismatch(Compared(out.Download()), expected), "");
}

INSTANTIATE_TEST_SUITE_P(All, DeviceMatmulTest,
                         ::testing::Combine(::testing::Values(DType::kBF16, DType::kF16),
                                            ::testing::Values(Numerics::kExact, Numerics::kFast),
                                            ::testing::ValuesIn(MatmulShapes())));

// ------------------------------------------------------------------------------------------------

struct BitsShape {
  int64_t max_rows;
  int64_t in;
  int64_t out;
  int64_t row_step;  // of the numbers of rows that are tried
};

std::vector<BitsShape> BitsShapes() {
  if (Device().is_emulated()) return {{70, 208, 21, 9}};
  return {{520, 896, 1152, 7}, {300, 4864, 896, 13}, {520, 3584, 4608, 61}, {300, 18944, 3584, 97}};
}

class DeviceMatmulBitsTest : public ::testing::TestWithParam<BitsShape> {};

std::vector<float> Product(Backend& backend, const PackedWeight& weight, const DeviceMatrix& x,
                           int64_t first_row, int64_t num_rows) {
  const DeviceMatrix out(backend, num_rows, weight.spec().out_features, DType::kF32);
  TensorView view = x.view().Head(first_row + num_rows);
  view.data = static_cast<std::byte*>(view.data) +
              first_row * view.stride * static_cast<int64_t>(SizeInBytes(view.dtype));
  view.rows = num_rows;
  backend.Linear(view, weight, {}, out.view());
  return out.Download();
}

TEST_P(DeviceMatmulBitsTest, ExactRowsHaveTheSameBitsAmongAnyNumberOfRows) {
  const BitsShape& shape = GetParam();
  const auto backend = testing::MakeDevice();
  Generator generator(22);
  const auto packed = RepeatedWeight(shape.out, shape.in, DType::kBF16, generator).Pack(*backend);
  const DeviceMatrix x(*backend, testing::RandomFloats(shape.max_rows * shape.in, generator),
                       shape.max_rows, DType::kBF16);
  const std::vector<float> all = Product(*backend, *packed, x, 0, shape.max_rows);
  for (int64_t rows = 1; rows < shape.max_rows; rows += shape.row_step) {
    const int64_t first = rows % 2 == 0 ? 0 : shape.max_rows - rows;
    ASSERT_EQ(testing::BitMismatch(Product(*backend, *packed, x, first, rows),
                                   std::span(all).subspan(static_cast<size_t>(first * shape.out),
                                                          static_cast<size_t>(rows * shape.out))),
              "")
        << rows << " rows";
  }
}

TEST_P(DeviceMatmulBitsTest, FastProductsOfTheSameRowsHaveTheSameBits) {
  const BitsShape& shape = GetParam();
  const auto backend = testing::MakeDevice(DType::kBF16, Numerics::kFast);
  Generator generator(23);
  const auto packed = RepeatedWeight(shape.out, shape.in, DType::kBF16, generator).Pack(*backend);
  ASSERT_TRUE(backend
                  ->PrepareSteps({.max_num_tokens = shape.max_rows,
                                  .max_num_seqs = 1,
                                  .max_num_logit_rows = 1,
                                  .num_logit_cols = 1,
                                  .max_blocks_per_seq = 1})
                  .ok());
  const DeviceMatrix x(*backend, testing::RandomFloats(shape.max_rows * shape.in, generator),
                       shape.max_rows, DType::kBF16);
  for (const int64_t rows : {int64_t{1}, int64_t{16}, shape.max_rows}) {
    const std::vector<float> once = Product(*backend, *packed, x, 0, rows);
    for (int again = 0; again < 5; ++again) {
      ASSERT_EQ(testing::BitMismatch(Product(*backend, *packed, x, 0, rows), once), "")
          << rows << " rows";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceMatmulBitsTest, ::testing::ValuesIn(BitsShapes()));

}  // namespace
}  // namespace phalanx
