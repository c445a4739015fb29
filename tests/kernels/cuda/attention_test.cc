// The attention kernels against the oracle over a cache full of NaNs, and the bits of rows however
// they are cut and mixed.
#include "kernels/cuda/attention.h"

#include <gtest/gtest.h>

#include "tests/kernels/cuda/paged_device.h"

namespace phalanx {
namespace {

using testing::Chunk;
using testing::PagedCase;
using testing::PagedDevice;

constexpr Numerics kModes[] = {Numerics::kFast, Numerics::kExact};

cuda::AttentionPlanOptions Plan(Numerics mode, int64_t max_partials = 1 << 20) {
  return {.mode = mode, .num_multiprocessors = 132, .max_partials = max_partials};
}

void ExpectSameBits(const PagedDevice& actual, const PagedDevice& expected, std::string_view what) {
  for (const auto& [at, row] : actual.results()) {
    ASSERT_TRUE(expected.results().contains(at));
    EXPECT_EQ(testing::BitMismatch(row, expected.results().at(at)), "")
        << what << ", sequence " << at.first << ", position " << at.second;
  }
}

class AttentionTest : public ::testing::TestWithParam<PagedCase> {};

TEST_P(AttentionTest, MatchesTheOracleInMixedBatches) {
  uint64_t seed = 1;
  for (const Numerics mode : kModes) {
    PagedCase c = GetParam();
    c.plan = Plan(mode);
    PagedDevice device(c, seed++);
    device.Step({{0, 0, 15}, {1, 0, 63}, {2, 0, 1}});
    device.Step({{2, 1, 70}, {0, 15, 1}, {1, 63, 1}});
    device.Step({{0, 16, 1}, {1, 64, 1}, {2, 71, 129}});
    device.Step({{0, 17, 1}, {1, 65, 2}, {2, 200, 1}});
    EXPECT_EQ(device.MismatchWithOracle(), "");
  }
}

// Long enough for several parts, with tiles that end in different ones.
TEST_P(AttentionTest, MatchesTheOracleInParts) {
  for (const Numerics mode : kModes) {
    PagedCase c = GetParam();
    c.plan = Plan(mode);
    PagedDevice device(c);
    device.Append({{0, 0, 590}, {1, 0, 250}});
    device.Step({{0, 590, 1}, {1, 250, 12}});
    EXPECT_GT(device.num_partials(), 0);
    device.plan_options().max_partials = 64;  // not for all
    device.Step({{0, 591, 9}, {1, 262, 1}});
    device.plan_options().max_partials = 0;
    device.Step({{1, 263, 1}});
    EXPECT_EQ(device.num_partials(), 0);
    EXPECT_EQ(device.MismatchWithOracle(), "");
  }
}

const PagedCase kCases[] = {
    {.heads_of_kv_head = {7, 7}},
    {.heads_of_kv_head = {1, 1}, .block_size = 32, .dtype = DType::kF16},
    {.heads_of_kv_head = {7, 3, 1}, .head_dim = 128, .dtype = DType::kF16},
    {.heads_of_kv_head = {3}, .head_dim = 128, .block_size = 32},
    {.heads_of_kv_head = {1, 20}, .block_size = 48},
};
INSTANTIATE_TEST_SUITE_P(All, AttentionTest, ::testing::ValuesIn(kCases));

class ExactAttentionTest : public ::testing::TestWithParam<PagedCase> {};

TEST_P(ExactAttentionTest, RowsHaveTheSameBitsHoweverTheyAreCutAndMixed) {
  PagedCase c = GetParam();
  c.plan = Plan(Numerics::kExact, 0);
  PagedDevice whole(c);
  whole.Step({{0, 0, 300}, {1, 0, 70}, {2, 0, 3}});
  EXPECT_EQ(whole.MismatchWithOracle(), "");

  c.plan = Plan(Numerics::kExact);
  PagedDevice cut(c, 2);
  cut.Step({{2, 0, 1}, {0, 0, 61}});
  cut.Step({{0, 61, 7}, {1, 0, 64}, {2, 1, 1}});
  cut.Step({{1, 64, 6}, {0, 68, 181}, {2, 2, 1}});
  cut.Step({{0, 249, 50}});
  cut.Step({{0, 299, 1}});
  ASSERT_EQ(cut.results().size(), whole.results().size());
  ExpectSameBits(cut, whole, "chunks");

  PagedDevice alone(c, 3);
  for (int32_t t = 0; t < 300; ++t) alone.Step({{0, t, 1}});
  ExpectSameBits(alone, whole, "one token after the other");

  PagedDevice mixed(c, 4);
  mixed.plan_options().num_multiprocessors = 1;
  mixed.Append({{0, 0, 256}});
  for (int32_t t = 0; t < 8; ++t) mixed.Step({{1, t, 1}, {0, 256 + t, 1}});
  mixed.Step({{2, 0, 2}, {0, 264, 36}, {1, 8, 1}});
  ExpectSameBits(mixed, whole, "among others");
}

// The plan cuts at the same places whatever the number of parts.
TEST_P(ExactAttentionTest, PartsDoNotChangeBits) {
  PagedCase c = GetParam();
  c.plan = Plan(Numerics::kExact, 0);
  PagedDevice whole(c);
  PagedDevice cut(c);
  cut.plan_options() = Plan(Numerics::kExact);
  for (PagedDevice* const device : {&whole, &cut}) {
    device->Append({{0, 0, 508}});
    device->Step({{0, 508, 20}});
    device->Step({{0, 528, 1}});
  }
  EXPECT_EQ(whole.num_partials(), 0);
  EXPECT_GT(cut.num_partials(), 0);
  ExpectSameBits(cut, whole, "parts");
}

// sm_86, sm_89 and sm_12x give a block 99 KiB.
TEST_P(ExactAttentionTest, LessSharedMemoryDoesNotChangeBits) {
  PagedCase c = GetParam();
  c.plan = Plan(Numerics::kExact);
  PagedDevice whole(c);
  c.max_shared_bytes = 99 * 1024;
  PagedDevice small(c);
  for (PagedDevice* const device : {&whole, &small}) {
    device->Append({{0, 0, 300}, {1, 0, 250}});
    device->Step({{0, 300, 30}, {1, 250, 70}, {2, 0, 90}});
    EXPECT_GT(device->num_partials(), 0);
  }
  // Only where 64 rows would not fit.
  EXPECT_EQ(small.num_large() > whole.num_large(), c.head_dim == 128);
  EXPECT_EQ(whole.MismatchWithOracle(), "");
  ExpectSameBits(small, whole, "99 KiB");
}

TEST(AttentionEdgeTest, LargeItemsAreAsLargeAsSharedMemoryAllows) {
  const auto warps = [](int64_t head_dim, Numerics mode, size_t kib) {
    return cuda::emulated::AttentionLargeWarps(head_dim, mode, kib * 1024);
  };
  EXPECT_EQ(warps(128, Numerics::kExact, 112), cuda::kAttentionLargeWarps);
  EXPECT_EQ(warps(128, Numerics::kExact, 111), cuda::kAttentionFewerWarps);
  EXPECT_EQ(warps(128, Numerics::kFast, 99), cuda::kAttentionLargeWarps);
  EXPECT_EQ(warps(64, Numerics::kExact, 99), cuda::kAttentionLargeWarps);
}

const PagedCase kExactCases[] = {
    {.heads_of_kv_head = {7}},
    {.heads_of_kv_head = {1, 3}, .head_dim = 128, .block_size = 32, .dtype = DType::kF16},
};
INSTANTIATE_TEST_SUITE_P(All, ExactAttentionTest, ::testing::ValuesIn(kExactCases));

TEST(AttentionEdgeTest, TheOrderOfThreadsAndBlocksDoesNotMatter) {
  const PagedCase c{.heads_of_kv_head = {7, 1}, .plan = Plan(Numerics::kFast)};
  PagedDevice first(c);
  for (uint64_t seed = 1; seed < 6; ++seed) {
    PagedDevice other(c, seed);
    PagedDevice& device = seed == 1 ? first : other;
    device.Append({{0, 0, 550}, {1, 0, 20}});
    device.Step({{0, 550, 1}, {1, 20, 33}});
    ExpectSameBits(device, first, "seed " + std::to_string(seed));
  }
}

// Scores of thousands: weights underflow to 0, and a row is still an average of values.
TEST(AttentionEdgeTest, LargeScoresDoNotOverflow) {
  for (const Numerics mode : kModes) {
    PagedDevice device({.heads_of_kv_head = {2}, .plan = Plan(mode)}, 1, 1000.0F);
    device.Append({{0, 0, 290}});
    device.Step({{0, 290, 2}, {1, 0, 30}});
    for (const auto& [at, row] : device.results()) {
      for (const float value : row) ASSERT_LT(std::abs(value), 1e4F);
    }
  }
}

TEST(AttentionEdgeTest, ARankMayHoldNoHead) {
  PagedDevice device({.heads_of_kv_head = {}, .plan = Plan(Numerics::kExact)});
  device.Step({{0, 0, 3}});
}

TEST(AttentionEdgeTest, RefusesWhatTheKernelsCannotTake) {
  testing::EmulatedDevice device;
  const auto refusal = [&](const cuda::emulated::KvLayout& layout, DType dtype) {
    auto attention = device.Stream();
    LaunchAttention(attention, {.layout = layout}, dtype);
    auto rope = device.Stream();
    LaunchQkvRopeAppend(rope, {.layout = layout}, dtype);
    EXPECT_EQ(attention.status(), rope.status());
    return attention.status().ToString();
  };
  EXPECT_EQ(refusal({.num_kv_heads = 1, .block_size = 16, .head_dim = 80}, DType::kBF16),
            "INVALID_ARGUMENT: head_dim: 80, allowed on a GPU: 64, 128");
  EXPECT_EQ(refusal({.num_kv_heads = 1, .block_size = 24, .head_dim = 64}, DType::kBF16),
            "INVALID_ARGUMENT: block_size: 24, allowed on a GPU: multiples of 16");
  EXPECT_EQ(refusal({.num_kv_heads = 1, .block_size = 16, .head_dim = 64}, DType::kF32),
            "INVALID_ARGUMENT: dtype: F32, allowed on a GPU: BF16, F16");
}

TEST(KvLayoutTest, OffsetsGoBeyond32Bits) {
  const cuda::emulated::KvLayout layout{.num_kv_heads = 8, .block_size = 32, .head_dim = 128};
  EXPECT_EQ(layout.PartElements(), 4096);
  EXPECT_EQ(layout.KeyOffset(0, 0, 31), 31 * 128);
  EXPECT_EQ(layout.KeyOffset(0, 3, 1), 3 * 8192 + 128);
  EXPECT_EQ(layout.KeyOffset(2'000'000'000, 7, 31),
            2'000'000'000LL * 8 * 8192 + 7LL * 8192 + 31 * 128);
}

}  // namespace
}  // namespace phalanx
