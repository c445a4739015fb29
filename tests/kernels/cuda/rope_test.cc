// The rope kernel against the oracle, and where it put keys and values.
#include "kernels/cuda/rope.h"

#include <gtest/gtest.h>

#include <tuple>

#include "tests/kernels/cuda/paged_device.h"

namespace phalanx {
namespace {

using testing::Generator;

class RopeTest : public ::testing::TestWithParam<std::tuple<int32_t, int32_t, DType>> {};

TEST_P(RopeTest, RotatesQueriesAndKeysAndAppends) {
  const auto [head_dim, block_size, dtype] = GetParam();
  constexpr int32_t kNumHeads = 5;
  constexpr int32_t kNumKvHeads = 2;
  constexpr int64_t kMaxTokens = 70;
  // Rows need not be dense.
  const int64_t stride = (kNumHeads + 2 * kNumKvHeads) * head_dim + 24;
  Generator generator(11);
  const std::vector<float> cos = testing::RandomFloats(kMaxTokens * head_dim / 2, generator);
  const std::vector<float> sin = testing::RandomFloats(kMaxTokens * head_dim / 2, generator);
  const testing::PagedBatch batch({{1, 0, 5}, {0, 33, 30}}, 2, kMaxTokens, block_size);
  const BatchView view = batch.view();
  const auto rows = static_cast<size_t>(view.num_tokens);
  const std::vector<uint16_t> qkv =
      testing::Narrow(testing::RandomFloats(view.num_tokens * stride, generator), dtype);
  testing::EmulatedDevice device(7);
  const cuda::emulated::KvLayout layout{
      .num_kv_heads = kNumKvHeads, .block_size = block_size, .head_dim = head_dim};
  const int64_t num_blocks = testing::PagedBatch::NumBlocks(2, kMaxTokens, block_size);
  const auto cache_size = static_cast<size_t>(num_blocks * block_size * kNumKvHeads * 2 * head_dim);
  auto* const cache = device.Allocate<uint16_t>(cache_size);
  auto* const q_out = device.Allocate<uint16_t>(rows * kNumHeads * static_cast<size_t>(head_dim));
  auto stream = device.Stream();
  LaunchQkvRopeAppend(
      stream,
      {.num_tokens = view.num_tokens,
       .num_heads = kNumHeads,
       .layout = layout,
       .qkv = device.Upload(qkv),
       .qkv_stride = stride,
       .positions = device.Upload(std::vector(view.positions, view.positions + rows)),
       .seq_of_token = device.Upload(std::vector(view.seq_of_token, view.seq_of_token + rows)),
       .block_table = device.Upload(std::vector(
           view.block_table, view.block_table + view.num_seqs * view.max_blocks_per_seq)),
       .max_blocks_per_seq = view.max_blocks_per_seq,
       .cos = device.Upload(cos),
       .sin = device.Upload(sin),
       .q_out = q_out,
       .cache = cache},
      dtype);
  ASSERT_TRUE(stream.status().ok()) << stream.status();

  const auto size = static_cast<size_t>(head_dim);
  size_t written = 0;
  for (size_t row = 0; row < rows; ++row) {
    const int32_t position = view.positions[row];
    const auto factor = static_cast<size_t>(position) * size / 2;
    const auto at = [&](int32_t head) {
      return testing::Widen(
          qkv.data() + row * static_cast<size_t>(stride) + static_cast<size_t>(head) * size, size,
          dtype);
    };
    const auto expect_rotated = [&](const uint16_t* actual, int32_t head) {
      testing::Expected expected =
          testing::RotateOracle(at(head), std::span(cos).subspan(factor, size / 2),
                                std::span(sin).subspan(factor, size / 2));
      for (size_t i = 0; i < size; ++i) {
        // float16 has no full precision below 2^-14.
        expected.tolerance[i] +=
            std::abs(expected.value[i]) * testing::UnitRoundoffOf(dtype) + 0x1p-25;
      }
      EXPECT_EQ(testing::Mismatch(testing::Widen(actual, size, dtype), expected), "")
          << "row " << row << ", head " << head;
    };
    for (int32_t head = 0; head < kNumHeads; ++head) {
      expect_rotated(q_out + (row * kNumHeads + static_cast<size_t>(head)) * size, head);
    }
    const int32_t block =
        view.block_table[view.seq_of_token[row] * view.max_blocks_per_seq + position / block_size];
    for (int32_t kv_head = 0; kv_head < kNumKvHeads; ++kv_head) {
      // [num_blocks][num_kv_heads][K, V][block_size][head_dim]
      const uint16_t* const key =
          cache +
          (((block * kNumKvHeads + kv_head) * 2) * block_size + position % block_size) * head_dim;
      expect_rotated(key, kNumHeads + kv_head);
      EXPECT_EQ(testing::BitMismatch(testing::Widen(key + block_size * head_dim, size, dtype),
                                     at(kNumHeads + kNumKvHeads + kv_head)),
                "")
          << "row " << row << ", value of KV head " << kv_head;
      written += 2 * size;
    }
  }
  // Nothing else was written.
  for (size_t i = 0; i < cache_size; ++i) written += cache[i] == 0xffff ? 1 : 0;
  EXPECT_EQ(written, cache_size);
}

INSTANTIATE_TEST_SUITE_P(All, RopeTest,
                         ::testing::Combine(::testing::Values(64, 128), ::testing::Values(16, 32),
                                            ::testing::Values(DType::kBF16, DType::kF16)));

}  // namespace
}  // namespace phalanx
