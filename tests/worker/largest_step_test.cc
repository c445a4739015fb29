// The step that is run before the KV pool is sized: is it as large as any, and does it keep to its
// own cache?
#include "worker/largest_step.h"

#include <gtest/gtest.h>

#include <numeric>
#include <set>
#include <utility>

namespace phalanx {
namespace {

// Keeps what it is asked to run.
class RecordingModel final : public Qwen2Model {
 public:
  const Qwen2Config& config() const override { return config_; }
  const ShardSpec& shard() const override { return shard_; }
  int64_t weight_bytes() const override { return 0; }
  TensorView kept_logits() const override { return {}; }
  KvCacheSpec KvSpec(int64_t num_blocks, int64_t block_size, DType dtype) const override {
    return {.num_layers = 2,
            .num_blocks = num_blocks,
            .block_size = block_size,
            .num_kv_heads_local = 1,
            .head_dim = 64,
            .dtype = dtype};
  }
  Status CreateKvCache(const KvCacheSpec& spec) override {
    cache = spec;
    return cache_status;
  }
  StatusOr<TensorView> Forward(const ForwardBatch& batch) override {
    num_tokens = batch.batch.num_tokens;
    num_logit_rows = static_cast<int64_t>(batch.logit_rows.size());
    EXPECT_EQ(static_cast<int64_t>(batch.token_ids.size()), num_tokens);
    for (int64_t s = 0; s < batch.batch.num_seqs; ++s) {
      lengths.push_back(batch.batch.row_start[s + 1] - batch.batch.row_start[s]);
    }
    for (int64_t t = 0; t < num_tokens; ++t) {
      const int32_t position = batch.batch.positions[t];
      const int32_t s = batch.batch.seq_of_token[t];
      EXPECT_EQ(position, t - batch.batch.row_start[s]);
      const int32_t block =
          batch.batch.block_table[s * batch.batch.max_blocks_per_seq + position / cache.block_size];
      EXPECT_LT(block, cache.num_blocks);
      EXPECT_TRUE(slots.emplace(block, position % cache.block_size).second) << "row " << t;
    }
    for (const int32_t row : batch.logit_rows) EXPECT_LT(row, num_tokens);
    return forward_status.ok() ? StatusOr<TensorView>(TensorView()) : forward_status;
  }
  void SetTraceSink(TraceSink) override {}

  Status cache_status;
  Status forward_status;
  KvCacheSpec cache;
  int64_t num_tokens = 0;
  int64_t num_logit_rows = 0;
  std::vector<int32_t> lengths;
  std::set<std::pair<int32_t, int64_t>> slots;  // of the cache

 private:
  Qwen2Config config_;
  ShardSpec shard_;
};

constexpr LargestStep kStep = {.max_num_tokens = 512,
                               .max_num_seqs = 256,
                               .max_num_logit_rows = 256,
                               .max_model_len = 4096,
                               .block_size = 16,
                               .kv_dtype = DType::kBF16};

TEST(LargestStepTest, HasAllRowsAndAllLogits) {
  RecordingModel model;
  ASSERT_EQ(RunLargestStep(kStep, model), OkStatus());
  EXPECT_EQ(model.num_tokens, 512);
  EXPECT_EQ(model.num_logit_rows, 256);
  // A prompt, and single tokens.
  EXPECT_GT(model.lengths.front(), 400);
  EXPECT_EQ(model.lengths.back(), 1);
}

TEST(LargestStepTest, IsSmallWhereAllIsSmall) {
  LargestStep step = kStep;
  step.max_num_tokens = 1;
  step.max_num_seqs = 1;
  RecordingModel model;
  EXPECT_TRUE(RunLargestStep(step, model).ok());
  EXPECT_EQ(model.num_tokens, 1);
  EXPECT_EQ(model.num_logit_rows, 1);
}

TEST(LargestStepTest, SequencesAreNoLongerThanTheContext) {
  LargestStep step = kStep;
  step.max_model_len = 100;
  RecordingModel model;
  EXPECT_TRUE(RunLargestStep(step, model).ok());
  EXPECT_EQ(model.num_tokens, 512);
  for (const int32_t length : model.lengths) EXPECT_LE(length, 100);
  step.max_num_seqs = 2;
  RecordingModel two;
  EXPECT_TRUE(RunLargestStep(step, two).ok());
  EXPECT_EQ(two.lengths, (std::vector<int32_t>{100, 100}));
}

TEST(LargestStepTest, SaysWhatFailed) {
  RecordingModel full;
  full.cache_status = ResourceExhaustedError("KV cache: cannot allocate 5 bytes");
  EXPECT_EQ(RunLargestStep(kStep, full).message(),
            "largest step: KV cache: cannot allocate 5 bytes");
  RecordingModel broken;
  broken.forward_status = InternalError("kernel gemm: broken");
  EXPECT_EQ(RunLargestStep(kStep, broken).message(), "largest step: kernel gemm: broken");
}

}  // namespace
}  // namespace phalanx
