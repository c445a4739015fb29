// A context of 131,072 tokens in a pool of more than 2^31 elements: what counts in 32 bits would
// read and write elsewhere. The pool is address space; only a few of its blocks are touched, and
// the sequence's table names them again and again.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/emulation/device_memory.h"
#include "kernels/cuda/rope.h"
#include "kernels/cuda/stream.h"
#include "tests/kernels/cuda/paged_device.h"

namespace phalanx {
namespace {

using cuda::emulation::DeviceMemory;
using testing::Generator;

constexpr int32_t kContext = 131'072;
constexpr int32_t kBlockSize = 16;
constexpr int32_t kHeadDim = 64;
constexpr int32_t kKvHeads = 2;
constexpr int32_t kHeads = 2;
constexpr int32_t kBlocksPerSeq = kContext / kBlockSize;
constexpr int64_t kBlockElements = int64_t{2} * kKvHeads * kBlockSize * kHeadDim;
constexpr int32_t kNumBlocks = 768 * 1024;
static_assert(kNumBlocks * kBlockElements > int64_t{1} << 31);
// On both sides of 2^31 elements and of 2^32 bytes, and the very first and last.
constexpr int32_t kTouched[] = {0, 524'287, 524'288, 700'001, kNumBlocks - 1};
constexpr int32_t kNewTokens = 3;

class LongContextTest : public ::testing::Test {
 protected:
  template <typename T>
  T* Allocate(size_t count, DeviceMemory::Fill fill = DeviceMemory::Fill::kNaN) {
    return static_cast<T*>(std::move(memory_->Allocate(count * sizeof(T), "buffer", fill)).value());
  }
  template <typename T>
  T* Upload(const std::vector<T>& values) {
    T* const p = Allocate<T>(values.size());
    std::memcpy(p, values.data(), values.size() * sizeof(T));
    return p;
  }
  const uint16_t* Slot(int32_t position, int32_t kv_head) const {
    const int64_t block = table_[static_cast<size_t>(position / kBlockSize)];
    return cache_ + (block * kKvHeads + kv_head) * (2 * kBlockSize * kHeadDim) +
           position % kBlockSize * kHeadDim;
  }

  std::unique_ptr<DeviceMemory> memory_ =
      std::move(DeviceMemory::Create(DeviceMemory::kCapacity)).value();
  cuda::emulation::Executor executor_{*memory_, /*seed=*/1};
  cuda::emulated::Stream stream_{executor_};
  const cuda::emulated::KvLayout layout_{
      .num_kv_heads = kKvHeads, .block_size = kBlockSize, .head_dim = kHeadDim};
  uint16_t* const cache_ =
      Allocate<uint16_t>(kNumBlocks * kBlockElements, DeviceMemory::Fill::kZero);
  std::vector<int32_t> table_;
};

TEST_F(LongContextTest, KeysAndValuesAreWhereTheyBelong) {
  Generator generator(5);
  for (const int32_t block : kTouched) {
    const std::vector<uint16_t> content =
        testing::Narrow(testing::RandomFloats(kBlockElements, generator), DType::kBF16);
    std::copy(content.begin(), content.end(), cache_ + block * kBlockElements);
  }
  // The last block is the last positions' alone: they will be written.
  for (int32_t b = 0; b < kBlocksPerSeq; ++b) {
    table_.push_back(b + 1 < kBlocksPerSeq ? kTouched[b * 7 % 4] : kTouched[4]);
  }
  std::vector<int32_t> positions(kNewTokens);
  std::iota(positions.begin(), positions.end(), kContext - kNewTokens);
  constexpr int64_t kCols = (kHeads + 2 * kKvHeads) * kHeadDim;
  const std::vector<uint16_t> qkv =
      testing::Narrow(testing::RandomFloats(kNewTokens * kCols, generator), DType::kBF16);
  // Nothing is rotated but by the factors of the very last positions: a half turn.
  constexpr size_t kFactors = size_t{kContext} * kHeadDim / 2;
  std::vector<float> cos(kFactors, 1.0F);
  std::fill(cos.end() - kNewTokens * kHeadDim / 2, cos.end(), -1.0F);
  auto* const q = Allocate<uint16_t>(kNewTokens * kHeads * kHeadDim);
  const int32_t* const table = Upload(table_);
  LaunchQkvRopeAppend(stream_,
                      {.num_tokens = kNewTokens,
                       .num_heads = kHeads,
                       .layout = layout_,
                       .qkv = Upload(qkv),
                       .qkv_stride = kCols,
                       .positions = Upload(positions),
                       .seq_of_token = Upload(std::vector<int32_t>(kNewTokens, 0)),
                       .block_table = table,
                       .max_blocks_per_seq = kBlocksPerSeq,
                       .cos = Upload(cos),
                       .sin = Allocate<float>(kFactors, DeviceMemory::Fill::kZero),
                       .q_out = q,
                       .cache = cache_},
                      DType::kBF16);
  ASSERT_TRUE(stream_.status().ok()) << stream_.status();
  for (int32_t t = 0; t < kNewTokens; ++t) {
    const uint16_t* const row = qkv.data() + t * kCols;
    for (int32_t h = 0; h < kKvHeads; ++h) {
      const uint16_t* const key = Slot(positions[static_cast<size_t>(t)], h);
      const uint16_t* const value = key + kBlockSize * kHeadDim;
      for (int32_t i = 0; i < kHeadDim; ++i) {
        // The sign of a float is its highest bit.
        EXPECT_EQ(key[i], row[(kHeads + h) * kHeadDim + i] ^ 0x8000U);
        EXPECT_EQ(value[i], row[(kHeads + kKvHeads + h) * kHeadDim + i]);
      }
    }
  }

  const std::vector<int32_t> kv_head_of = {0, 1};
  const std::vector<cuda::SequenceRows> sequences = {{0, kNewTokens, kContext - kNewTokens}};
  const cuda::AttentionPlan plan = cuda::PlanAttention(
      sequences, cuda::GroupHeads(kv_head_of, kKvHeads),
      {.mode = Numerics::kExact, .num_multiprocessors = 132, .max_partials = 1 << 20});
  ASSERT_GT(plan.num_partials, 0);
  const auto num_partials = static_cast<size_t>(plan.num_partials);
  auto* const out = Allocate<uint16_t>(kNewTokens * kHeads * kHeadDim);
  const float scale = 1.0F / std::sqrt(float{kHeadDim});
  LaunchAttention(stream_,
                  {.mode = Numerics::kExact,
                   .num_heads = kHeads,
                   .layout = layout_,
                   .scale = scale,
                   .q = q,
                   .cache = cache_,
                   .block_table = table,
                   .max_blocks_per_seq = kBlocksPerSeq,
                   .out = out,
                   .items = Upload(plan.items),
                   .combinations = Upload(plan.combinations),
                   .num_small = plan.num_small,
                   .num_large = plan.num_large(),
                   .num_combinations = static_cast<int32_t>(plan.combinations.size()),
                   .partial_sums = Allocate<float>(num_partials * kHeadDim),
                   .partial_weights = Allocate<float>(num_partials * 2)},
                  DType::kBF16);
  ASSERT_TRUE(stream_.status().ok()) << stream_.status();
  for (int32_t h = 0; h < kHeads; ++h) {
    std::vector<float> keys;
    std::vector<float> values;
    for (int32_t p = 0; p < kContext; ++p) {
      const std::vector<float> key = testing::Widen(Slot(p, h), kHeadDim, DType::kBF16);
      const std::vector<float> value =
          testing::Widen(Slot(p, h) + kBlockSize * kHeadDim, kHeadDim, DType::kBF16);
      keys.insert(keys.end(), key.begin(), key.end());
      values.insert(values.end(), value.begin(), value.end());
    }
    const int32_t last = (kNewTokens - 1) * kHeads + h;
    const std::vector<float> query = testing::Widen(q + last * kHeadDim, kHeadDim, DType::kBF16);
    testing::Expected expected = testing::AttentionOracle(query, keys, values, scale);
    // Weights and the result are rounded to the cache's type (paged_device.h).
    for (float& value : values) value = std::abs(value);
    const std::vector<double> magnitude =
        testing::AttentionOracle(query, keys, values, scale).value;
    for (size_t i = 0; i < kHeadDim; ++i) {
      expected.tolerance[i] +=
          testing::UnitRoundoffOf(DType::kBF16) * (magnitude[i] + std::abs(expected.value[i]));
    }
    EXPECT_EQ(
        testing::Mismatch(testing::Widen(out + last * kHeadDim, kHeadDim, DType::kBF16), expected),
        "")
        << "head " << h;
  }
}

}  // namespace
}  // namespace phalanx
