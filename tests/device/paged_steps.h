// Sequences over a paged cache of the device under test: steps that append and attend, as a model's
// layer does, and what the oracle says of them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/device/device_under_test.h"
#include "tests/kernels/paged_batch.h"
#include "tests/testing/compare.h"

namespace phalanx::testing {

struct PagedShape {
  std::vector<int32_t> heads_of_kv_head{};
  int64_t head_dim = 64;
  int64_t block_size = 16;
  int64_t max_tokens = 600;  // of one sequence
  int64_t num_seqs = 3;
  DType dtype = DType::kBF16;
  Numerics numerics = Numerics::kExact;
};

// Queries, keys and values at every position of each sequence are given, rounded to the cache's
// type. Queries and keys are turned by quarters of a circle, which rounds nothing.
class PagedSteps {
 public:
  explicit PagedSteps(PagedShape shape);

  // One step; its rows are put under (sequence, position).
  void Step(const std::vector<Chunk>& chunks);

  using Results = std::map<std::pair<int32_t, int32_t>, std::vector<float>>;
  const Results& results() const { return results_; }
  // Empty where results are right: all of few, some of many.
  std::string MismatchWithOracle() const;

 private:
  int64_t num_heads() const { return static_cast<int64_t>(kv_head_of_.size()); }
  int64_t num_kv_heads() const { return static_cast<int64_t>(shape_.heads_of_kv_head.size()); }
  int64_t QkvCols() const { return (num_heads() + 2 * num_kv_heads()) * shape_.head_dim; }
  int64_t QCols() const { return num_heads() * shape_.head_dim; }
  HeadLayout Heads() const;
  float Scale() const;
  // A head's query, key or value as the cache or q_out has it.
  std::vector<float> Head(int32_t seq, int32_t position, int64_t head) const;
  Expected ExpectedRow(int32_t seq, int32_t position, int64_t head) const;

  PagedShape shape_;
  std::vector<int32_t> kv_head_of_;
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<KvCache> cache_;
  std::vector<float> cos_, sin_;  // [max_tokens, head_dim / 2]
  std::unique_ptr<DeviceArray<float>> device_cos_, device_sin_;
  std::vector<std::vector<float>> qkv_;  // of each sequence, [max_tokens, QkvCols()]
  Results results_;
};

}  // namespace phalanx::testing
