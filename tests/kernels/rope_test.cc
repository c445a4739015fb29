// QkvRopeAppend. What it wrote into the cache is read back through attention over one key, whose
// softmax weight is 1, and through the scores of unit queries in attention_test.cc.
#include <gtest/gtest.h>

#include <cmath>
#include <string>
#include <tuple>

#include "kernels/backend_factory.h"
#include "tests/kernels/paged_batch.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::Generator;
using testing::ViewOf;

class RopeTest : public ::testing::TestWithParam<std::tuple<std::string, int64_t, DType>> {};

TEST_P(RopeTest, RotatesQueriesAndAppendsValues) {
  const auto& [isa, head_dim, kv_dtype] = GetParam();
  const auto backend = testing::MakeBackend(isa, 2);
  constexpr int64_t kNumHeads = 3;
  constexpr int64_t kNumKvHeads = 2;
  constexpr int64_t kMaxTokens = 70;
  Generator generator(11);
  const std::vector<float> cos = testing::RandomFloats(kMaxTokens * head_dim / 2, generator);
  const std::vector<float> sin = testing::RandomFloats(kMaxTokens * head_dim / 2, generator);
  const RopeTable rope{kMaxTokens, head_dim / 2, cos.data(), sin.data()};
  const std::vector<int32_t> kv_head_of = {0, 0, 1};
  const HeadLayout heads{kNumHeads, kNumKvHeads, head_dim, kv_head_of};
  const auto cache = std::move(backend->CreateKvCache(
                                   {.num_layers = 2,
                                    .num_blocks = testing::PagedBatch::NumBlocks(2, kMaxTokens, 16),
                                    .block_size = 16,
                                    .num_kv_heads_local = kNumKvHeads,
                                    .head_dim = head_dim,
                                    .dtype = kv_dtype}))
                         .value();
  const testing::PagedBatch batch({{1, 0, 5}, {0, 33, 30}}, 2, kMaxTokens, 16);
  const int64_t rows = batch.view().num_tokens;
  const int64_t qkv_cols = (kNumHeads + 2 * kNumKvHeads) * head_dim;
  std::vector<float> qkv = testing::RandomFloats(rows * qkv_cols, generator);
  std::vector<float> q = testing::NaNs(rows * kNumHeads * head_dim);
  backend->QkvRopeAppend(ViewOf(qkv, rows, qkv_cols), batch.view(), heads, rope, 1, *cache,
                         ViewOf(q, rows, kNumHeads * head_dim));
  for (int64_t t = 0; t < rows; ++t) {
    const int64_t position = batch.view().positions[t];
    const auto half = static_cast<size_t>(head_dim / 2);
    const std::span<const float> cos_row(cos.data() + position * head_dim / 2, half);
    const std::span<const float> sin_row(sin.data() + position * head_dim / 2, half);
    for (int64_t h = 0; h < kNumHeads; ++h) {
      const std::span<const float> in(qkv.data() + t * qkv_cols + h * head_dim, 2 * half);
      const std::span<const float> out(q.data() + (t * kNumHeads + h) * head_dim, 2 * half);
      EXPECT_EQ(testing::Mismatch(out, testing::RotateOracle(in, cos_row, sin_row)), "")
          << "row " << t << ", head " << h;
    }
  }
  // Token 0 of the first sequence sees only itself: attention returns its value.
  std::vector<float> first_q(static_cast<size_t>(kNumHeads * head_dim), 0.0F);
  std::vector<float> out = testing::NaNs(kNumHeads * head_dim);
  const testing::PagedBatch first({{1, 0, 1}}, 2, kMaxTokens, 16);
  backend->PagedAttention(ViewOf(first_q, 1, kNumHeads * head_dim), first.view(), heads, 1.0F, 1,
                          *cache, ViewOf(out, 1, kNumHeads * head_dim));
  for (int64_t h = 0; h < kNumHeads; ++h) {
    for (int64_t i = 0; i < head_dim; ++i) {
      const float value = qkv[static_cast<size_t>(
          (kNumHeads + kNumKvHeads + kv_head_of[static_cast<size_t>(h)]) * head_dim + i)];
      EXPECT_EQ(out[static_cast<size_t>(h * head_dim + i)],
                kv_dtype == DType::kF32 ? value : BF16ToFloat(FloatToBF16(value)));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, RopeTest,
                         ::testing::Combine(::testing::ValuesIn(AvailableCpuIsas()),
                                            ::testing::Values(2, 6, 34, 64, 80, 128),
                                            ::testing::Values(DType::kF32, DType::kBF16)));

}  // namespace
}  // namespace phalanx
