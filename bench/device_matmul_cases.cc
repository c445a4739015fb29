#include "bench/device_matmul_cases.h"

#include <algorithm>

#include "bench/device_matrix.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

// What is checked against the oracle.
constexpr int64_t kCheckedRows = 3;
constexpr int64_t kCheckedColumns = 64;

// `count` of [0, size), the first and the last among them.
std::vector<int64_t> Spread(int64_t count, int64_t size) {
  std::vector<int64_t> places;
  for (int64_t i = 0; i < std::min(count, size); ++i) {
    places.push_back(i * (size - 1) / std::max<int64_t>(1, std::min(count, size) - 1));
  }
  return places;
}

// The weight, as often as it rotates. Its random rows repeat.
class Weights {
 public:
  Weights(const DeviceMatmulShape& shape, DType dtype)
      : shape_(shape),
        generator_(31),
        pattern_(
            testing::MakeWeight(std::min<int64_t>(shape.out, 251), shape.in, dtype, generator_)) {}

  Status Fill(const DeviceBench& bench);
  int64_t num_copies() const { return static_cast<int64_t>(packed_.size()); }
  int64_t bytes() const {
    return shape_.out * shape_.in * static_cast<int64_t>(SizeInBytes(pattern_.dtype));
  }
  const PackedWeight& packed(int64_t run) const {
    return *packed_[static_cast<size_t>(run % num_copies())];
  }
  // As cuBLAS takes it.
  const void* plain(int64_t run) const {
    return static_cast<const std::byte*>(plain_->data()) + run % num_copies() * bytes();
  }
  void AppendRow(int64_t row, std::vector<float>& to) const {
    const auto begin = pattern_.values.begin() + row % pattern_.out_features * shape_.in;
    to.insert(to.end(), begin, begin + shape_.in);
  }

 private:
  Status FillPlain(Backend& backend, int64_t copies);

  const DeviceMatmulShape shape_;
  testing::Generator generator_;
  testing::RandomWeight pattern_;
  std::vector<std::unique_ptr<PackedWeight>> packed_;
  std::unique_ptr<Buffer> plain_;  // [num_copies, out, in]; null without cuBLAS
};

Status Weights::Fill(const DeviceBench& bench) {
  const int64_t copies = bench.ColdCopies(static_cast<double>(bytes()));
  for (int64_t copy = 0; copy < copies; ++copy) {
    PHALANX_ASSIGN_OR_RETURN(auto weight, bench.backend.CreateWeight({.name = "w",
                                                                      .out_features = shape_.out,
                                                                      .in_features = shape_.in,
                                                                      .dtype = pattern_.dtype,
                                                                      .layout = shape_.layout}));
    for (int64_t row = 0; row < shape_.out; row += pattern_.out_features) {
      bench.backend.PackRows(*weight, row,
                             pattern_.View(0, std::min(pattern_.out_features, shape_.out - row)));
    }
    packed_.push_back(std::move(weight));
  }
  PHALANX_RETURN_IF_ERROR(
      bench.backend.PrepareSteps({.max_num_tokens = *std::ranges::max_element(shape_.row_counts),
                                  .max_num_seqs = 1,
                                  .max_num_logit_rows = 1,
                                  .num_logit_cols = 1,
                                  .max_blocks_per_seq = 1}));
  return bench.cublas == nullptr ? OkStatus() : FillPlain(bench.backend, copies);
}

Status Weights::FillPlain(Backend& backend, int64_t copies) {
  const auto size = static_cast<size_t>(bytes());
  PHALANX_ASSIGN_OR_RETURN(
      plain_, backend.Allocate(static_cast<size_t>(copies) * size, "cuBLAS's weights"));
  std::vector<std::byte> rows;
  rows.reserve(size);
  while (rows.size() < size) {
    const size_t count = std::min(pattern_.stored.size(), size - rows.size());
    rows.insert(rows.end(), pattern_.stored.begin(),
                pattern_.stored.begin() + static_cast<std::ptrdiff_t>(count));
  }
  for (int64_t copy = 0; copy < copies; ++copy) {
    backend.CopyToDevice(static_cast<std::byte*>(plain_->data()) + copy * bytes(), rows.data(),
                         size);
  }
  return backend.Finish();
}

// One number of rows.
class Matmul {
 public:
  static StatusOr<std::shared_ptr<Matmul>> Create(const DeviceBench& bench,
                                                  const DeviceMatmulShape& shape,
                                                  std::shared_ptr<Weights> weights, int64_t rows);

  double ActivationBytes() const { return x_->bytes() + out_->bytes(); }
  Status Run(int64_t run) {
    const PackedWeight& weight = weights_->packed(run);
    if (is_gate_up()) {
      backend_.GateUpSwiglu(x_->view(0), weight, out_->view(0));
    } else {
      backend_.Linear(x_->view(0), weight, {}, out_->view(0));
    }
    return OkStatus();
  }
  Status RunCublas(int64_t run) {
    return cublas_->Run({.rows = rows_,
                         .in = shape_.in,
                         .out_features = shape_.out,
                         .dtype = x_->view(0).dtype,
                         .x = x_->view(0).data,
                         .weight = weights_->plain(run),
                         .out = static_cast<float*>(product_->view(0).data)});
  }
  StatusOr<std::string> Check();
  StatusOr<std::string> CheckCublas();

 private:
  Matmul(const DeviceBench& bench, const DeviceMatmulShape& shape, std::shared_ptr<Weights> weights,
         int64_t rows)
      : backend_(bench.backend),
        cublas_(bench.cublas),
        shape_(shape),
        weights_(std::move(weights)),
        rows_(rows) {}

  bool is_gate_up() const { return shape_.layout == WeightLayout::kGateUp; }
  int64_t num_out() const { return is_gate_up() ? shape_.out / 2 : shape_.out; }
  // Some rows and columns of `out`, [rows_, columns], beside what `expect` says of a row of x and
  // these rows of the weight.
  template <typename Expect>
  std::string Compare(const std::vector<float>& out, int64_t columns, Expect expect) const;

  Backend& backend_;
  Cublas* const cublas_;
  const DeviceMatmulShape shape_;
  const std::shared_ptr<Weights> weights_;
  const int64_t rows_;
  std::vector<float> x_values_;  // [rows_, in]
  std::optional<DeviceMatrix> x_, out_;
  std::optional<DeviceMatrix> product_;  // cuBLAS's, [rows_, out] f32
};

StatusOr<std::shared_ptr<Matmul>> Matmul::Create(const DeviceBench& bench,
                                                 const DeviceMatmulShape& shape,
                                                 std::shared_ptr<Weights> weights, int64_t rows) {
  std::shared_ptr<Matmul> matmul(new Matmul(bench, shape, std::move(weights), rows));
  Backend& backend = bench.backend;
  const DType dtype = backend.activation_dtype();
  testing::Generator generator(32);
  matmul->x_values_ = testing::Rounded(RepeatedRows(rows, shape.in, generator), dtype);
  PHALANX_ASSIGN_OR_RETURN(
      matmul->x_, DeviceMatrix::Create(backend, {.rows = rows, .cols = shape.in, .dtype = dtype},
                                       matmul->x_values_));
  // What is summed over ranks, and logits, are f32; what the next product reads is not.
  const DType out_dtype = matmul->is_gate_up() ? dtype : DType::kF32;
  PHALANX_ASSIGN_OR_RETURN(
      matmul->out_,
      DeviceMatrix::Create(backend, {.rows = rows, .cols = matmul->num_out(), .dtype = out_dtype}));
  if (bench.cublas != nullptr) {
    PHALANX_ASSIGN_OR_RETURN(matmul->product_,
                             DeviceMatrix::Create(backend, {.rows = rows, .cols = shape.out}));
  }
  return matmul;
}

template <typename Expect>
std::string Matmul::Compare(const std::vector<float>& out, int64_t columns, Expect expect) const {
  const std::vector<int64_t> checked = Spread(kCheckedColumns, columns);
  for (const int64_t row : Spread(kCheckedRows, rows_)) {
    const std::vector<float> x(x_values_.begin() + row * shape_.in,
                               x_values_.begin() + (row + 1) * shape_.in);
    std::vector<float> w;
    std::vector<float> actual;
    for (const int64_t column : checked) {
      weights_->AppendRow(column, w);
      actual.push_back(out[static_cast<size_t>(row * columns + column)]);
    }
    const std::string mismatch = testing::Mismatch(actual, expect(x, w, checked));
    if (!mismatch.empty()) return fmt::format("row {}: {}", row, mismatch);
  }
  return "";
}

StatusOr<std::string> Matmul::Check() {
  PHALANX_RETURN_IF_ERROR(Run(0));
  PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, out_->Download());
  return Compare(out, num_out(), [&](const auto& x, auto& w, const auto& columns) {
    const auto count = static_cast<int64_t>(columns.size());
    if (!is_gate_up()) return testing::LinearOracle(x, w, {}, 1, shape_.in, count);
    for (const int64_t column : columns) weights_->AppendRow(num_out() + column, w);
    testing::Expected expected = testing::GateUpSwigluOracle(x, w, 1, shape_.in, count);
    testing::AddRounding(backend_.activation_dtype(), expected);
    return expected;
  });
}

StatusOr<std::string> Matmul::CheckCublas() {
  PHALANX_RETURN_IF_ERROR(RunCublas(0));
  PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, product_->Download());
  return Compare(out, shape_.out, [&](const auto& x, const auto& w, const auto& columns) {
    return testing::LinearOracle(x, w, {}, 1, shape_.in, static_cast<int64_t>(columns.size()));
  });
}

StatusOr<std::vector<DeviceCase>> Make(const DeviceBench& bench, const DeviceMatmulShape& shape) {
  auto weights = std::make_shared<Weights>(shape, bench.backend.activation_dtype());
  PHALANX_RETURN_IF_ERROR(weights->Fill(bench));
  std::vector<DeviceCase> cases;
  for (const int64_t rows : shape.row_counts) {
    PHALANX_ASSIGN_OR_RETURN(const auto matmul, Matmul::Create(bench, shape, weights, rows));
    DeviceCase& one = cases.emplace_back();
    one.bytes = static_cast<double>(weights->bytes()) + bench.ColdBytes(matmul->ActivationBytes());
    one.flop = 2.0 * static_cast<double>(rows * shape.in * shape.out);
    one.rotation = weights->num_copies();
    one.run = [matmul](int64_t run) { return matmul->Run(run); };
    one.check = [matmul] { return matmul->Check(); };
    if (bench.cublas == nullptr) continue;
    one.cublas_run = [matmul](int64_t run) { return matmul->RunCublas(run); };
    one.cublas_check = [matmul] { return matmul->CheckCublas(); };
  }
  return cases;
}

}  // namespace

DeviceCaseGroup DeviceMatmulCases(const DeviceMatmulShape& shape) {
  DeviceCaseGroup group;
  for (const int64_t rows : shape.row_counts) {
    group.shapes.push_back(
        fmt::format("{} rows={} in={} out={}", shape.name, rows, shape.in, shape.out));
  }
  group.comparator = DeviceCaseGroup::Comparator::kCublas;
  group.make = [shape](const DeviceBench& bench) { return Make(bench, shape); };
  return group;
}

}  // namespace phalanx
