// Sequences over a paged cache on an emulated device: appends, steps of attention, and what the
// oracles say of them.
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/rope.h"
#include "tests/kernels/cuda/emulated_device.h"
#include "tests/kernels/paged_batch.h"
#include "tests/testing/inputs.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx::testing {

struct PagedCase {
  std::vector<int32_t> heads_of_kv_head{};
  int32_t head_dim = 64;
  int32_t block_size = 16;
  DType dtype = DType::kBF16;
  cuda::AttentionPlanOptions plan{};  // large_warps follow from the device
  size_t max_shared_bytes = cuda::emulation::Executor::kMaxSharedBytes;
};

// Queries, keys and values at every position of a few sequences are given. Nothing is rotated, so
// what the kernels see are these numbers, rounded to the cache's type.
class PagedDevice {
 public:
  static constexpr int32_t kNumSeqs = 3;
  static constexpr int32_t kMaxTokens = 600;

  explicit PagedDevice(PagedCase c, uint64_t seed = 1, float deviation = 1.0F)
      : case_(std::move(c)), device_(seed, case_.max_shared_bytes) {
    for (size_t kv_head = 0; kv_head < case_.heads_of_kv_head.size(); ++kv_head) {
      kv_head_of_.insert(kv_head_of_.end(), static_cast<size_t>(case_.heads_of_kv_head[kv_head]),
                         static_cast<int32_t>(kv_head));
    }
    layout_ = {.num_kv_heads = static_cast<int32_t>(case_.heads_of_kv_head.size()),
               .block_size = case_.block_size,
               .head_dim = case_.head_dim};
    const int64_t num_blocks = PagedBatch::NumBlocks(kNumSeqs, kMaxTokens, case_.block_size);
    // NaNs: every block is as one that another sequence left.
    cache_ = device_.Allocate<uint16_t>(static_cast<size_t>(
        num_blocks * case_.block_size * layout_.num_kv_heads * 2 * case_.head_dim));
    const auto num_factors = static_cast<size_t>(kMaxTokens * case_.head_dim / 2);
    cos_ = device_.Upload(std::vector<float>(num_factors, 1.0F));
    sin_ = device_.Upload(std::vector<float>(num_factors, 0.0F));
    Generator generator(12);
    for (std::vector<float>& rows : qkv_) {
      rows = RandomFloats(kMaxTokens * QkvCols(), generator, deviation);
      for (float& value : rows) value = Widen(Narrow(value, case_.dtype), case_.dtype);
    }
  }

  int32_t num_heads() const { return static_cast<int32_t>(kv_head_of_.size()); }
  int64_t QkvCols() const {
    return int64_t{num_heads() + 2 * layout_.num_kv_heads} * case_.head_dim;
  }
  size_t OutCols() const { return static_cast<size_t>(num_heads() * case_.head_dim); }
  float Scale() const { return 1.0F / std::sqrt(static_cast<float>(case_.head_dim)); }
  // Of the steps from here on.
  cuda::AttentionPlanOptions& plan_options() { return case_.plan; }

  // Appends the chunks' keys and values; their queries, [rows, OutCols()].
  uint16_t* Append(const std::vector<Chunk>& chunks) {
    std::vector<uint16_t> qkv;
    for (const Chunk& chunk : chunks) {
      for (int64_t i = chunk.first * QkvCols(); i < (chunk.first + chunk.count) * QkvCols(); ++i) {
        qkv.push_back(Narrow(qkv_[chunk.seq][static_cast<size_t>(i)], case_.dtype));
      }
    }
    const PagedBatch batch(chunks, kNumSeqs, kMaxTokens, case_.block_size);
    const BatchView view = batch.view();
    const auto rows = static_cast<size_t>(view.num_tokens);
    auto* const q = device_.Allocate<uint16_t>(rows * OutCols());
    auto stream = device_.Stream();
    LaunchQkvRopeAppend(
        stream,
        {.num_tokens = view.num_tokens,
         .num_heads = num_heads(),
         .layout = layout_,
         .qkv = device_.Upload(qkv),
         .qkv_stride = QkvCols(),
         .positions = device_.Upload(std::vector(view.positions, view.positions + rows)),
         .seq_of_token = device_.Upload(std::vector(view.seq_of_token, view.seq_of_token + rows)),
         .block_table = UploadTable(view),
         .max_blocks_per_seq = view.max_blocks_per_seq,
         .cos = cos_,
         .sin = sin_,
         .q_out = q,
         .cache = cache_},
        case_.dtype);
    EXPECT_TRUE(stream.status().ok()) << stream.status();
    return q;
  }

  // Appends, then attends. Rows are put under (sequence, position).
  void Step(const std::vector<Chunk>& chunks) {
    const uint16_t* const q = Append(chunks);
    const PagedBatch batch(chunks, kNumSeqs, kMaxTokens, case_.block_size);
    const BatchView view = batch.view();
    std::vector<cuda::SequenceRows> sequences;
    for (size_t i = 0; i < chunks.size(); ++i) {
      sequences.push_back({view.row_start[i], chunks[i].count, chunks[i].first});
    }
    cuda::AttentionPlanOptions options = case_.plan;
    options.large_warps = cuda::emulated::AttentionLargeWarps(case_.head_dim, options.mode,
                                                              device_.max_shared_bytes());
    const cuda::AttentionPlan plan = cuda::PlanAttention(
        sequences, cuda::GroupHeads(kv_head_of_, layout_.num_kv_heads), options);
    num_large_ = plan.num_large();
    num_partials_ = plan.num_partials;
    const auto num_partials = static_cast<size_t>(plan.num_partials);
    auto* const out =
        device_.Allocate<uint16_t>(static_cast<size_t>(view.num_tokens) * OutCols(), "out");
    auto stream = device_.Stream();
    LaunchAttention(
        stream,
        {.mode = options.mode,
         .num_heads = num_heads(),
         .layout = layout_,
         .scale = Scale(),
         .q = q,
         .cache = cache_,
         .block_table = UploadTable(view),
         .max_blocks_per_seq = view.max_blocks_per_seq,
         .out = out,
         .items = device_.Upload(plan.items, "items"),
         .combinations = device_.Upload(plan.combinations, "combinations"),
         .num_small = plan.num_small,
         .num_large = plan.num_large(),
         .num_combinations = static_cast<int32_t>(plan.combinations.size()),
         .large_warps = options.large_warps,
         .partial_sums = device_.Allocate<float>(num_partials * static_cast<size_t>(case_.head_dim),
                                                 "partial sums"),
         .partial_weights = device_.Allocate<float>(num_partials * 2, "partial weights")},
        case_.dtype);
    ASSERT_TRUE(stream.status().ok()) << stream.status();
    const uint16_t* row = out;
    for (const Chunk& chunk : chunks) {
      for (int32_t t = 0; t < chunk.count; ++t, row += OutCols()) {
        results_[{chunk.seq, chunk.first + t}] = Widen(row, OutCols(), case_.dtype);
      }
    }
  }

  const std::map<std::pair<int32_t, int32_t>, std::vector<float>>& results() const {
    return results_;
  }
  int64_t num_partials() const { return num_partials_; }  // of the last step
  int32_t num_large() const { return num_large_; }        // items of it

  // Empty where all results are right.
  std::string MismatchWithOracle() const {
    const auto head_dim = static_cast<size_t>(case_.head_dim);
    for (const auto& [at, row] : results_) {
      for (size_t h = 0; h < kv_head_of_.size(); ++h) {
        const std::string mismatch =
            Mismatch({row.data() + h * head_dim, head_dim}, ExpectedRow(at.first, at.second, h));
        if (!mismatch.empty()) {
          return "sequence " + std::to_string(at.first) + ", position " +
                 std::to_string(at.second) + ", head " + std::to_string(h) + ": " + mismatch;
        }
      }
    }
    return "";
  }

 private:
  const int32_t* UploadTable(const BatchView& view) {
    return device_.Upload(
        std::vector(view.block_table, view.block_table + view.num_seqs * view.max_blocks_per_seq));
  }

  Expected ExpectedRow(int32_t seq, int32_t position, size_t head) const {
    const auto head_dim = static_cast<size_t>(case_.head_dim);
    const float* const rows = qkv_[seq].data();
    std::vector<float> keys;
    std::vector<float> values;
    for (int32_t t = 0; t <= position; ++t) {
      const float* const k =
          rows + t * QkvCols() + (num_heads() + kv_head_of_[head]) * case_.head_dim;
      const float* const v = k + layout_.num_kv_heads * case_.head_dim;
      keys.insert(keys.end(), k, k + head_dim);
      values.insert(values.end(), v, v + head_dim);
    }
    const std::span<const float> q(rows + position * QkvCols() + head * head_dim, head_dim);
    return StoredAttention({q.begin(), q.end()}, keys, std::move(values), Scale(), case_.dtype);
  }

  PagedCase case_;
  EmulatedDevice device_;
  std::vector<int32_t> kv_head_of_;
  cuda::emulated::KvLayout layout_;
  uint16_t* cache_ = nullptr;
  const float* cos_ = nullptr;
  const float* sin_ = nullptr;
  std::vector<float> qkv_[kNumSeqs];  // [kMaxTokens, QkvCols()]
  std::map<std::pair<int32_t, int32_t>, std::vector<float>> results_;
  int64_t num_partials_ = 0;
  int32_t num_large_ = 0;
};

}  // namespace phalanx::testing
