#include "bench/matmul_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

// Weights rotate through at least this much memory, so that no run finds its own in a cache.
constexpr int64_t kRotationBytes = int64_t{192} << 20;
constexpr int64_t kMaxCopies = 64;
// Rows and columns that are checked against the oracle.
constexpr int64_t kCheckedRows = 3;
constexpr int64_t kCheckedColumns = 64;

// Weights, inputs and outputs of one case. The random rows repeat (with a period that is no
// multiple of a panel): generating a gigabyte of normal deviates would take longer than measuring
// with it.
class Matmul {
 public:
  Matmul(Backend& backend, const MatmulShape& shape)
      : backend_(backend),
        shape_(shape),
        generator_(31),
        pattern_(testing::MakeWeight(std::min<int64_t>(shape.out, 251), shape.in, shape.dtype,
                                     generator_)),
        x_(testing::RandomFloats(shape.rows * shape.in, generator_)),
        out_(testing::NaNs(shape.rows * OutColumns())) {
    const int64_t bytes = shape.out * shape.in * static_cast<int64_t>(SizeInBytes(shape.dtype));
    const int64_t copies =
        shape.rows > 16 ? 1 : std::clamp<int64_t>(kRotationBytes / bytes + 1, 1, kMaxCopies);
    for (int64_t copy = 0; copy < copies; ++copy) {
      auto weight = std::move(backend.CreateWeight({.name = "w",
                                                    .out_features = shape.out,
                                                    .in_features = shape.in,
                                                    .dtype = shape.dtype,
                                                    .layout = shape.layout}))
                        .value();
      for (int64_t row = 0; row < shape.out; row += pattern_.out_features) {
        const int64_t n = std::min(pattern_.out_features, shape.out - row);
        backend.PackRows(*weight, row, pattern_.View(0, n));
      }
      weights_.push_back(std::move(weight));
    }
  }

  int64_t num_copies() const { return static_cast<int64_t>(weights_.size()); }
  int64_t weight_bytes() const {
    return shape_.out * shape_.in * static_cast<int64_t>(SizeInBytes(shape_.dtype));
  }

  void Run(int64_t run) {
    const PackedWeight& weight = *weights_[static_cast<size_t>(run % num_copies())];
    const TensorView x = testing::ViewOf(x_, shape_.rows, shape_.in);
    const TensorView out = testing::ViewOf(out_, shape_.rows, OutColumns());
    if (shape_.layout == WeightLayout::kGateUp) {
      backend_.GateUpSwiglu(x, weight, out);
    } else {
      backend_.Linear(x, weight, {}, out);
    }
  }

  std::string Check() {
    Run(0);
    const int64_t columns = std::min(OutColumns(), kCheckedColumns);
    for (int64_t i = 0; i < std::min(shape_.rows, kCheckedRows); ++i) {
      const int64_t row = i * (shape_.rows - 1) / std::max<int64_t>(1, kCheckedRows - 1);
      std::vector<float> x(x_.begin() + row * shape_.in, x_.begin() + (row + 1) * shape_.in);
      std::vector<float> w;
      std::vector<float> actual;
      for (int64_t c = 0; c < columns; ++c) {
        const int64_t column = c * (OutColumns() - 1) / std::max<int64_t>(1, columns - 1);
        AppendRow(column, w);
        actual.push_back(out_[static_cast<size_t>(row * OutColumns() + column)]);
      }
      testing::Expected expected;
      if (shape_.layout == WeightLayout::kGateUp) {
        for (int64_t c = 0; c < columns; ++c) {
          AppendRow(OutColumns() + c * (OutColumns() - 1) / std::max<int64_t>(1, columns - 1), w);
        }
        expected = testing::GateUpSwigluOracle(x, w, 1, shape_.in, columns);
      } else {
        expected = testing::LinearOracle(x, w, {}, 1, shape_.in, columns);
      }
      const std::string mismatch = testing::Mismatch(actual, expected);
      if (!mismatch.empty()) return fmt::format("row {}: {}", row, mismatch);
    }
    return "";
  }

 private:
  int64_t OutColumns() const {
    return shape_.layout == WeightLayout::kGateUp ? shape_.out / 2 : shape_.out;
  }
  void AppendRow(int64_t row, std::vector<float>& to) const {
    const auto begin = pattern_.values.begin() + row % pattern_.out_features * shape_.in;
    to.insert(to.end(), begin, begin + shape_.in);
  }

  Backend& backend_;
  MatmulShape shape_;
  testing::Generator generator_;
  testing::RandomWeight pattern_;
  std::vector<float> x_;
  std::vector<float> out_;
  std::vector<std::unique_ptr<PackedWeight>> weights_;
};

}  // namespace

std::vector<MatmulShape> LinearShapes() {
  std::vector<MatmulShape> shapes;
  const auto add = [&](MatmulShape shape, std::initializer_list<int64_t> row_counts) {
    for (const int64_t rows : row_counts) {
      shape.rows = rows;
      shapes.push_back(shape);
    }
  };
  for (const MatmulShape& shape : {MatmulShape{.name = "0.5B qkv", .in = 896, .out = 1152},
                                   {.name = "0.5B o", .in = 896, .out = 896},
                                   {.name = "0.5B down", .in = 4864, .out = 896},
                                   {.name = "0.5B o 1/2", .in = 448, .out = 896},
                                   {.name = "0.5B down 1/2", .in = 2432, .out = 896},
                                   {.name = "7B qkv", .in = 3584, .out = 4608},
                                   {.name = "7B o", .in = 3584, .out = 3584},
                                   {.name = "7B down", .in = 18944, .out = 3584},
                                   {.name = "7B down 1/4", .in = 4736, .out = 3584}}) {
    add(shape, {1, 16, 512});
  }
  add({.name = "0.5B lm_head", .in = 896, .out = 151936}, {1, 16});
  add({.name = "0.5B down", .in = 4864, .out = 896, .dtype = DType::kF32}, {1, 16, 512});
  add({.name = "0.5B down", .in = 4864, .out = 896, .dtype = DType::kF16}, {1, 16, 512});
  return shapes;
}

OpCase MakeMatmulCase(Backend& backend, const MatmulShape& shape) {
  auto matmul = std::make_shared<Matmul>(backend, shape);
  const double flop = 2.0 * static_cast<double>(shape.rows * shape.in * shape.out);
  const bool in_tiles = backend.isa() == "amx" && shape.dtype == DType::kBF16;
  return {.op = shape.layout == WeightLayout::kGateUp ? "gate_up" : "linear",
          .shape = fmt::format("{} {} rows={} in={} out={}", shape.name, Name(shape.dtype),
                               shape.rows, shape.in, shape.out),
          .bytes = static_cast<double>(matmul->weight_bytes()),
          .flop = flop,
          .tile_flop = in_tiles ? 3 * flop : 0.0,
          .num_runs = matmul->num_copies(),
          .run = [matmul](int64_t run) { matmul->Run(run); },
          .check = [matmul] { return matmul->Check(); }};
}

}  // namespace phalanx
