#include "bench/device_row_cases.h"

#include <algorithm>
#include <optional>

#include "bench/device_matrix.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

constexpr float kEps = 1e-6F;

// What the cases of this file read and write; an op uses some of it.
struct Rows {
  Rows(Backend& of, int64_t row_count, int64_t col_count)
      : backend(of), rows(row_count), cols(col_count) {}

  double floats() const { return static_cast<double>(rows * cols); }
  StatusOr<DeviceMatrix> Random(std::vector<float>& values, int64_t copies) {
    values = RepeatedRows(rows, cols, generator);
    return DeviceMatrix::Create(backend, {.rows = rows, .cols = cols, .copies = copies}, values);
  }
  StatusOr<DeviceMatrix> Output(DType dtype, int64_t copies) const {
    return DeviceMatrix::Create(backend,
                                {.rows = rows, .cols = cols, .dtype = dtype, .copies = copies});
  }

  Backend& backend;
  const int64_t rows;
  const int64_t cols;
  testing::Generator generator{51};
  std::vector<float> a_values, b_values;  // [rows, cols]
  std::vector<float> weight_values;       // [cols]
  std::optional<DeviceMatrix> a, b, out;
  std::unique_ptr<Buffer> weight;   // [cols] f32
  std::unique_ptr<Buffer> indices;  // [rows] i32
};

std::vector<float> Sum(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> sum(a.size());
  std::ranges::transform(a, b, sum.begin(), std::plus<>());
  return sum;
}

std::vector<std::string> Describe(const DeviceRowShape& shape, std::string_view more) {
  std::vector<std::string> descriptions;
  for (const int64_t rows : shape.row_counts) {
    descriptions.push_back(fmt::format("{} rows={} cols={}{}", shape.name, rows, shape.cols, more));
  }
  return descriptions;
}

// Cases that have nothing in common, each by `make`(bench, rows, cols).
template <typename Make>
DeviceCaseGroup GroupOf(const DeviceRowShape& shape, std::string_view more, Make make) {
  DeviceCaseGroup group{.shapes = Describe(shape, more)};
  group.make = [shape, make](const DeviceBench& bench) -> StatusOr<std::vector<DeviceCase>> {
    std::vector<DeviceCase> cases;
    for (const int64_t rows : shape.row_counts) {
      PHALANX_ASSIGN_OR_RETURN(DeviceCase one, make(bench, rows, shape.cols));
      cases.push_back(std::move(one));
    }
    return cases;
  };
  return group;
}

enum class Norm : uint8_t { kPlain, kAfterAdd };

StatusOr<DeviceCase> MakeNorm(const DeviceBench& bench, int64_t rows, int64_t cols, Norm norm) {
  auto data = std::make_shared<Rows>(bench.backend, rows, cols);
  const DType dtype = bench.backend.activation_dtype();
  // Added to, the residual is read and written.
  const double bytes_a_value = (norm == Norm::kPlain ? 4.0 : 12.0) + 2.0;
  DeviceCase one{.bytes = bytes_a_value * data->floats() + 4.0 * static_cast<double>(cols)};
  one.rotation = bench.ActivationCopies(one.bytes);
  PHALANX_ASSIGN_OR_RETURN(data->a, data->Random(data->a_values, one.rotation));
  PHALANX_ASSIGN_OR_RETURN(data->b, data->Random(data->b_values, one.rotation));
  PHALANX_ASSIGN_OR_RETURN(data->out, data->Output(dtype, one.rotation));
  data->weight_values = testing::RandomFloats(cols, data->generator);
  PHALANX_ASSIGN_OR_RETURN(data->weight,
                           ArrayOnDevice(bench.backend, data->weight_values, "weight"));
  one.run = [data, norm](int64_t run) {
    const auto weight = SpanOf<float>(*data->weight);
    if (norm == Norm::kPlain) {
      data->backend.RmsNorm(data->a->view(run), weight, kEps, data->out->view(run));
    } else {
      data->backend.AddRmsNorm(data->a->view(run), data->b->view(run), weight, kEps,
                               data->out->view(run));
    }
    return OkStatus();
  };
  one.check = [data, norm, dtype, run = one.run]() -> StatusOr<std::string> {
    PHALANX_RETURN_IF_ERROR(run(0));
    const std::vector<float> x =
        norm == Norm::kPlain ? data->a_values : Sum(data->a_values, data->b_values);
    testing::Expected expected =
        testing::RmsNormOracle(x, data->weight_values, kEps, data->rows, data->cols);
    testing::AddRounding(dtype, expected);
    PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, data->out->Download());
    PHALANX_ASSIGN_OR_RETURN(const std::vector<float> residual, data->a->Download());
    return testing::Mismatch(out, expected) + testing::BitMismatch(residual, x);
  };
  return one;
}

StatusOr<DeviceCase> MakeAdd(const DeviceBench& bench, int64_t rows, int64_t cols) {
  auto data = std::make_shared<Rows>(bench.backend, rows, cols);
  DeviceCase one{.bytes = 12.0 * data->floats()};
  one.rotation = bench.ActivationCopies(one.bytes);
  PHALANX_ASSIGN_OR_RETURN(data->a, data->Random(data->a_values, one.rotation));
  PHALANX_ASSIGN_OR_RETURN(data->b, data->Random(data->b_values, one.rotation));
  PHALANX_ASSIGN_OR_RETURN(data->out, data->Output(DType::kF32, one.rotation));
  one.run = [data](int64_t run) {
    data->backend.Add(data->a->view(run), data->b->view(run), data->out->view(run));
    return OkStatus();
  };
  one.check = [data, run = one.run]() -> StatusOr<std::string> {
    PHALANX_RETURN_IF_ERROR(run(0));
    PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, data->out->Download());
    return testing::BitMismatch(out, Sum(data->a_values, data->b_values));
  };
  return one;
}

// Of `values`, [any, cols].
std::vector<float> Gathered(const std::vector<float>& values, std::span<const int32_t> rows,
                            int64_t cols) {
  std::vector<float> gathered;
  for (const int32_t row : rows) {
    const auto begin = values.begin() + row * cols;
    gathered.insert(gathered.end(), begin, begin + cols);
  }
  return gathered;
}

StatusOr<DeviceCase> MakeGatherRows(const DeviceBench& bench, int64_t rows, int64_t cols) {
  auto data = std::make_shared<Rows>(bench.backend, rows, cols);
  DeviceCase one{.bytes = 8.0 * data->floats()};
  one.rotation = bench.ActivationCopies(2.0 * one.bytes);
  data->a_values = RepeatedRows(2 * rows, cols, data->generator);
  PHALANX_ASSIGN_OR_RETURN(
      data->a,
      DeviceMatrix::Create(bench.backend, {.rows = 2 * rows, .cols = cols, .copies = one.rotation},
                           data->a_values));
  PHALANX_ASSIGN_OR_RETURN(data->out, data->Output(DType::kF32, one.rotation));
  std::vector<int32_t> indices;
  for (int32_t row = 1; row < 2 * rows; row += 2) indices.push_back(row);
  PHALANX_ASSIGN_OR_RETURN(data->indices, ArrayOnDevice(bench.backend, indices, "rows"));
  one.run = [data](int64_t run) {
    data->backend.GatherRows(data->a->view(run), SpanOf<int32_t>(*data->indices),
                             data->out->view(run));
    return OkStatus();
  };
  one.check = [data, indices, run = one.run]() -> StatusOr<std::string> {
    PHALANX_RETURN_IF_ERROR(run(0));
    PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, data->out->Download());
    return testing::BitMismatch(out, Gathered(data->a_values, indices, data->cols));
  };
  return one;
}

StatusOr<DeviceCase> MakeSumParts(const DeviceBench& bench, int64_t rows, int64_t cols,
                                  int num_parts) {
  auto data = std::make_shared<Rows>(bench.backend, rows, cols);
  DeviceCase one{.bytes = 4.0 * (num_parts + 1) * data->floats()};
  one.rotation = bench.ActivationCopies(one.bytes);
  data->a_values = RepeatedRows(num_parts * rows, cols, data->generator);
  PHALANX_ASSIGN_OR_RETURN(
      data->a, DeviceMatrix::Create(
                   bench.backend, {.rows = num_parts * rows, .cols = cols, .copies = one.rotation},
                   data->a_values));
  PHALANX_ASSIGN_OR_RETURN(data->out, data->Output(DType::kF32, one.rotation));
  one.run = [data, num_parts](int64_t run) {
    data->backend.device_queue()->SumParts(static_cast<const float*>(data->a->view(run).data),
                                           num_parts, data->out->view(run));
    return OkStatus();
  };
  one.check = [data, num_parts, run = one.run]() -> StatusOr<std::string> {
    PHALANX_RETURN_IF_ERROR(run(0));
    PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, data->out->Download());
    return testing::Mismatch(
        out, testing::SumPartsOracle(data->a_values, num_parts, data->rows * data->cols));
  };
  return one;
}

// The table is there once for all cases; its random rows repeat.
struct Table {
  testing::RandomWeight pattern;
  std::unique_ptr<PackedWeight> packed;
};

StatusOr<std::shared_ptr<Table>> MakeTable(Backend& backend, int64_t vocab_size, int64_t cols) {
  auto table = std::make_shared<Table>();
  testing::Generator generator(52);
  table->pattern = testing::MakeWeight(std::min<int64_t>(vocab_size, 251), cols,
                                       backend.activation_dtype(), generator);
  PHALANX_ASSIGN_OR_RETURN(table->packed,
                           backend.CreateWeight({.name = "table",
                                                 .out_features = vocab_size,
                                                 .in_features = cols,
                                                 .dtype = backend.activation_dtype()}));
  const int64_t distinct = table->pattern.out_features;
  for (int64_t row = 0; row < vocab_size; row += distinct) {
    backend.PackRows(*table->packed, row,
                     table->pattern.View(0, std::min(distinct, vocab_size - row)));
  }
  PHALANX_RETURN_IF_ERROR(backend.Finish());
  return table;
}

StatusOr<DeviceCase> MakeEmbedding(const DeviceBench& bench, int64_t rows, int64_t cols,
                                   const std::shared_ptr<Table>& table) {
  auto data = std::make_shared<Rows>(bench.backend, rows, cols);
  DeviceCase one{.bytes = 6.0 * data->floats()};
  one.rotation = bench.ColdCopies(one.bytes);
  PHALANX_ASSIGN_OR_RETURN(data->out, data->Output(DType::kF32, bench.ActivationCopies(one.bytes)));
  std::vector<int32_t> ids;
  const auto vocab_size = static_cast<uint64_t>(table->packed->spec().out_features);
  for (int64_t i = 0; i < one.rotation * rows; ++i) {
    ids.push_back(static_cast<int32_t>(data->generator() % vocab_size));
  }
  PHALANX_ASSIGN_OR_RETURN(data->indices, ArrayOnDevice(bench.backend, ids, "ids"));
  one.run = [data, table, rotation = one.rotation](int64_t run) {
    const auto count = static_cast<size_t>(data->rows);
    const auto first = static_cast<size_t>(run % rotation) * count;
    data->backend.Embedding(SpanOf<int32_t>(*data->indices).subspan(first, count), *table->packed,
                            0, data->out->view(run));
    return OkStatus();
  };
  ids.resize(static_cast<size_t>(rows));
  for (int32_t& id : ids) id %= static_cast<int32_t>(table->pattern.out_features);
  one.check = [data, table, ids, run = one.run]() -> StatusOr<std::string> {
    PHALANX_RETURN_IF_ERROR(run(0));
    PHALANX_ASSIGN_OR_RETURN(const std::vector<float> out, data->out->Download());
    return testing::BitMismatch(out, Gathered(table->pattern.values, ids, data->cols));
  };
  return one;
}

}  // namespace

DeviceCaseGroup DeviceRmsNormCases(const DeviceRowShape& shape) {
  return GroupOf(shape, "", [](const DeviceBench& bench, int64_t rows, int64_t cols) {
    return MakeNorm(bench, rows, cols, Norm::kPlain);
  });
}

DeviceCaseGroup DeviceAddRmsNormCases(const DeviceRowShape& shape) {
  return GroupOf(shape, "", [](const DeviceBench& bench, int64_t rows, int64_t cols) {
    return MakeNorm(bench, rows, cols, Norm::kAfterAdd);
  });
}

DeviceCaseGroup DeviceAddCases(const DeviceRowShape& shape) { return GroupOf(shape, "", MakeAdd); }

DeviceCaseGroup DeviceGatherRowsCases(const DeviceRowShape& shape) {
  return GroupOf(shape, "", MakeGatherRows);
}

DeviceCaseGroup DeviceSumPartsCases(const DeviceRowShape& shape, int num_parts) {
  return GroupOf(shape, fmt::format(" parts={}", num_parts),
                 [num_parts](const DeviceBench& bench, int64_t rows, int64_t cols) {
                   return MakeSumParts(bench, rows, cols, num_parts);
                 });
}

DeviceCaseGroup DeviceEmbeddingCases(const DeviceRowShape& shape, int64_t vocab_size) {
  DeviceCaseGroup group{.shapes = Describe(shape, fmt::format(" vocab={}", vocab_size))};
  group.make = [shape, vocab_size](const DeviceBench& bench) -> StatusOr<std::vector<DeviceCase>> {
    PHALANX_ASSIGN_OR_RETURN(const auto table, MakeTable(bench.backend, vocab_size, shape.cols));
    std::vector<DeviceCase> cases;
    for (const int64_t rows : shape.row_counts) {
      PHALANX_ASSIGN_OR_RETURN(DeviceCase one, MakeEmbedding(bench, rows, shape.cols, table));
      cases.push_back(std::move(one));
    }
    return cases;
  };
  return group;
}

}  // namespace phalanx
