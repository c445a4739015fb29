#include "bench/row_cases.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "kernels/base/check.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

constexpr float kEps = 1e-6F;
// Activations of a step are in the caches when an op starts, so these cases do not rotate.
constexpr int64_t kRuns = 200;

struct Rows {
  Rows(int64_t rows, int64_t cols)
      : num_rows(rows),
        num_cols(cols),
        generator(51),
        a(Random()),
        b(Random()),
        out(testing::NaNs(rows * cols)),
        weight(testing::RandomFloats(cols, generator)) {}

  std::vector<float> Random() { return testing::RandomFloats(num_rows * num_cols, generator); }
  TensorView View(std::vector<float>& values) const {
    return testing::ViewOf(values, num_rows, num_cols);
  }
  double Floats() const { return static_cast<double>(num_rows * num_cols); }

  int64_t num_rows;
  int64_t num_cols;
  testing::Generator generator;
  std::vector<float> a, b, out;  // [num_rows, num_cols]
  std::vector<float> weight;     // [num_cols]
};

std::vector<float> Sum(const std::vector<float>& a, const std::vector<float>& b) {
  std::vector<float> sum(a.size());
  std::transform(a.begin(), a.end(), b.begin(), sum.begin(), std::plus<>());
  return sum;
}

std::string ShapeOf(int64_t rows, int64_t cols) {
  return fmt::format("rows={} cols={}", rows, cols);
}

}  // namespace

OpCase MakeRmsNormCase(Backend& backend, int64_t rows, int64_t cols) {
  auto data = std::make_shared<Rows>(rows, cols);
  const auto run = [&backend, data](int64_t) {
    backend.RmsNorm(data->View(data->a), data->weight, kEps, data->View(data->out));
  };
  return {.op = "rms_norm",
          .shape = ShapeOf(rows, cols),
          .bytes = 8.0 * data->Floats(),
          .flop = 4.0 * data->Floats(),
          .num_runs = kRuns,
          .run = run,
          .check = [run, data] {
            run(0);
            return testing::Mismatch(
                data->out, testing::RmsNormOracle(data->a, data->weight, kEps, data->num_rows,
                                                  data->num_cols));
          }};
}

OpCase MakeAddRmsNormCase(Backend& backend, int64_t rows, int64_t cols) {
  auto data = std::make_shared<Rows>(rows, cols);
  const auto run = [&backend, data](int64_t) {
    backend.AddRmsNorm(data->View(data->a), data->View(data->b), data->weight, kEps,
                       data->View(data->out));
  };
  return {.op = "add_rms_norm",
          .shape = ShapeOf(rows, cols),
          .bytes = 16.0 * data->Floats(),
          .flop = 5.0 * data->Floats(),
          .num_runs = kRuns,
          .run = run,
          .check = [run, data] {
            const std::vector<float> sum = Sum(data->a, data->b);
            run(0);
            return testing::Mismatch(
                data->out,
                testing::RmsNormOracle(sum, data->weight, kEps, data->num_rows, data->num_cols));
          }};
}

OpCase MakeAddCase(Backend& backend, int64_t rows, int64_t cols) {
  auto data = std::make_shared<Rows>(rows, cols);
  const auto run = [&backend, data](int64_t) {
    backend.Add(data->View(data->a), data->View(data->b), data->View(data->out));
  };
  return {.op = "add",
          .shape = ShapeOf(rows, cols),
          .bytes = 12.0 * data->Floats(),
          .flop = data->Floats(),
          .num_runs = kRuns,
          .run = run,
          .check = [run, data] {
            run(0);
            return testing::BitMismatch(data->out, Sum(data->a, data->b));
          }};
}

OpCase MakeEmbeddingCase(Backend& backend, int64_t tokens, int64_t hidden_size,
                         int64_t vocab_size) {
  struct Data {
    testing::RandomWeight weight;
    std::unique_ptr<PackedWeight> table;
    std::vector<int32_t> ids;
    std::vector<float> out;
  };
  auto data = std::make_shared<Data>();
  testing::Generator generator(52);
  data->weight = testing::MakeWeight(vocab_size, hidden_size, DType::kBF16, generator);
  data->table = testing::Pack(backend, data->weight);
  for (int64_t t = 0; t < tokens; ++t) {
    data->ids.push_back(static_cast<int32_t>(generator() % static_cast<uint64_t>(vocab_size)));
  }
  data->out = testing::NaNs(tokens * hidden_size);
  const auto run = [&backend, data, tokens, hidden_size](int64_t) {
    backend.Embedding(data->ids, *data->table, 0, testing::ViewOf(data->out, tokens, hidden_size));
  };
  return {
      .op = "embedding",
      .shape = fmt::format("BF16 tokens={} hidden={} vocab={}", tokens, hidden_size, vocab_size),
      // A row's elements lie one to a cache line of its panel.
      .bytes = 64.0 * static_cast<double>(tokens * hidden_size),
      .num_runs = 20,
      .run = run,
      .check = [run, data, hidden_size] {
        run(0);
        std::vector<float> expected;
        for (const int32_t id : data->ids) {
          const auto begin = data->weight.values.begin() + id * hidden_size;
          expected.insert(expected.end(), begin, begin + hidden_size);
        }
        return testing::BitMismatch(data->out, expected);
      }};
}

OpCase MakeCandidatesCase(Backend& backend, int64_t rows, int64_t vocab_size, int32_t top_k,
                          CandidateTask::Gumbel gumbel) {
  struct Data {
    std::vector<float> logits;
    std::vector<CandidateTask> tasks;
    std::vector<CandidateResult> results;
  };
  auto data = std::make_shared<Data>();
  testing::Generator generator(53);
  data->logits = testing::RandomFloats(rows * vocab_size, generator, 3.0F);
  for (int64_t row = 0; row < rows; ++row) {
    data->tasks.push_back({.row = row, .top_k = top_k, .gumbel = gumbel, .seed = generator()});
  }
  data->results.resize(data->tasks.size());
  const auto run = [&backend, data, rows, vocab_size](int64_t) {
    backend.SelectCandidates(testing::ViewOf(data->logits, rows, vocab_size), 0, data->tasks,
                             data->results);
    PHALANX_CHECK(backend.Finish().ok());
  };
  return {.op = "candidates",
          .shape = fmt::format("rows={} vocab={} top_k={}{}", rows, vocab_size, top_k,
                               gumbel == CandidateTask::Gumbel::kWanted ? " gumbel" : ""),
          .bytes = 4.0 * static_cast<double>(rows * vocab_size),
          .num_runs = 20,
          .run = run,
          .check = [run, data, vocab_size]() -> std::string {
            run(0);
            for (size_t i = 0; i < data->tasks.size(); ++i) {
              std::vector<float> sorted(
                  data->logits.begin() + data->tasks[i].row * vocab_size,
                  data->logits.begin() + (data->tasks[i].row + 1) * vocab_size);
              std::sort(sorted.begin(), sorted.end(), std::greater<>());
              for (size_t c = 0; c < data->results[i].candidates.size(); ++c) {
                if (data->results[i].candidates[c].logit != sorted[c]) {
                  return fmt::format("row {}: candidate {} is {}, expected {}", i, c,
                                     data->results[i].candidates[c].logit, sorted[c]);
                }
              }
            }
            return "";
          }};
}

}  // namespace phalanx
