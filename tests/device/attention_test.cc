// Rope, the append to the cache and attention on the device under test.
#include <tuple>

#include "tests/device/paged_steps.h"
#include "tests/testing/narrow.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::Chunk;
using testing::Device;
using testing::DeviceArray;
using testing::DeviceMatrix;
using testing::PagedShape;
using testing::PagedSteps;

// Whole Qwen2.5-0.5B and 7B, shards of them, and shapes of neither.
std::vector<PagedShape> PagedShapes() {
  std::vector<PagedShape> shapes = {
      {.heads_of_kv_head = {7, 7}},
      {.heads_of_kv_head = {7, 3, 1}, .head_dim = 128, .dtype = DType::kF16},
      {.heads_of_kv_head = {1, 20}, .block_size = 48}};
  if (!Device().is_emulated()) {
    shapes.push_back({.heads_of_kv_head = {7, 7, 7, 7}, .head_dim = 128, .block_size = 32});
    shapes.push_back({.heads_of_kv_head = {7}, .head_dim = 128});
    shapes.push_back({.heads_of_kv_head = {5, 4}, .head_dim = 128, .dtype = DType::kF16});
  }
  return shapes;
}

class DeviceAttentionTest : public ::testing::TestWithParam<std::tuple<Numerics, PagedShape>> {
 protected:
  PagedShape shape() const {
    PagedShape shape = std::get<1>(GetParam());
    shape.numerics = std::get<0>(GetParam());
    return shape;
  }
};

TEST_P(DeviceAttentionTest, MixedBatchesMatchOracle) {
  PagedSteps steps(shape());
  steps.Step({{0, 0, 15}, {1, 0, 63}, {2, 0, 1}});
  steps.Step({{2, 1, 70}, {0, 15, 1}, {1, 63, 1}});
  steps.Step({{0, 16, 1}, {1, 64, 1}, {2, 71, 129}});
  steps.Step({{0, 17, 1}, {1, 65, 2}, {2, 200, 1}});
  EXPECT_EQ(steps.MismatchWithOracle(), "");
}

TEST_P(DeviceAttentionTest, LongContextsMatchOracle) {
  PagedShape long_shape = shape();
  // Several parts of a context, combined afterwards.
  const int32_t context = Device().is_emulated() ? 500 : 2000;
  long_shape.max_tokens = context + 40;
  PagedSteps steps(long_shape);
  steps.Step({{0, 0, context - 210}});
  steps.Step({{0, context - 210, 200}, {1, 0, 30}});
  for (int32_t t = 0; t < 3; ++t) steps.Step({{0, context - 10 + t, 1}, {1, 30 + t, 1}});
  EXPECT_EQ(steps.MismatchWithOracle(), "");
}

TEST_P(DeviceAttentionTest, TheSameStepsHaveTheSameBits) {
  const int32_t length = Device().is_emulated() ? 80 : 500;
  PagedSteps::Results first;
  for (int run = 0; run < 3; ++run) {
    PagedSteps steps(shape());
    steps.Step({{0, 0, length}, {1, 0, 30}});
    steps.Step({{0, length, 1}, {1, 30, 1}, {2, 0, 20}});
    if (run == 0) first = steps.results();
    EXPECT_EQ(steps.results(), first) << "run " << run;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceAttentionTest,
                         ::testing::Combine(::testing::Values(Numerics::kExact, Numerics::kFast),
                                            ::testing::ValuesIn(PagedShapes())));

class DeviceExactAttentionTest : public ::testing::TestWithParam<PagedShape> {};

TEST_P(DeviceExactAttentionTest, RowsHaveTheSameBitsHoweverTheyAreCutAndMixed) {
  PagedSteps whole(GetParam());
  whole.Step({{0, 0, 300}, {1, 0, 70}, {2, 0, 3}});
  PagedSteps cut(GetParam());
  cut.Step({{2, 0, 1}, {0, 0, 61}});
  cut.Step({{0, 61, 7}, {1, 0, 64}, {2, 1, 1}});
  cut.Step({{1, 64, 6}, {0, 68, 181}, {2, 2, 1}});
  cut.Step({{0, 249, 50}});
  cut.Step({{0, 299, 1}});
  ASSERT_EQ(cut.results().size(), whole.results().size());
  for (const auto& [at, row] : cut.results()) {
    ASSERT_EQ(testing::BitMismatch(row, whole.results().at(at)), "")
        << "sequence " << at.first << ", position " << at.second;
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceExactAttentionTest, ::testing::ValuesIn(PagedShapes()));

class DeviceRopeTest : public ::testing::TestWithParam<std::tuple<int64_t, DType>> {};

TEST_P(DeviceRopeTest, QueriesAreRotatedByAnyAngle) {
  const auto [head_dim, dtype] = GetParam();
  constexpr int64_t kNumHeads = 5;
  constexpr int64_t kMaxTokens = 70;
  const std::vector<int32_t> kv_head_of = {0, 0, 0, 1, 1};
  const HeadLayout heads{kNumHeads, 2, head_dim, kv_head_of};
  const auto backend = testing::MakeDevice(dtype, Numerics::kExact,
                                           {.max_num_tokens = 2 * kMaxTokens,
                                            .max_num_seqs = 2,
                                            .max_num_logit_rows = 1,
                                            .num_logit_cols = 1,
                                            .max_blocks_per_seq = 5,
                                            .heads = heads});
  const auto cache = std::move(backend->CreateKvCache({.num_layers = 1,
                                                       .num_blocks = 10,
                                                       .num_kv_heads_local = 2,
                                                       .head_dim = head_dim,
                                                       .dtype = dtype}))
                         .value();
  testing::Generator generator(11);
  const std::vector<float> cos = testing::RandomFloats(kMaxTokens * head_dim / 2, generator);
  const std::vector<float> sin = testing::RandomFloats(kMaxTokens * head_dim / 2, generator);
  const DeviceArray<float> device_cos(*backend, cos);
  const DeviceArray<float> device_sin(*backend, sin);
  const testing::PagedBatch batch({{1, 0, 5}, {0, 33, 30}}, 2, kMaxTokens, 16);
  const int64_t rows = batch.view().num_tokens;
  const int64_t cols = (kNumHeads + 4) * head_dim;
  const std::vector<float> qkv =
      testing::Rounded(testing::RandomFloats(rows * cols, generator), dtype);
  const std::vector<int32_t> ids(static_cast<size_t>(rows), 0);
  const auto uploaded = backend->Upload({.token_ids = ids, .batch = batch.view()});
  ASSERT_TRUE(uploaded.ok()) << uploaded.status();
  const DeviceMatrix on_device(*backend, qkv, rows, dtype, 24);
  const DeviceMatrix q(*backend, rows, kNumHeads * head_dim, dtype);
  backend->QkvRopeAppend(
      on_device.view(), uploaded->batch, heads,
      {kMaxTokens, head_dim / 2, device_cos.span().data(), device_sin.span().data()}, 0, *cache,
      q.view());
  const std::vector<float> actual = q.Download();
  const auto size = static_cast<size_t>(head_dim);
  for (int64_t row = 0; row < rows; ++row) {
    const size_t factor = static_cast<size_t>(batch.view().positions[row]) * size / 2;
    for (int64_t head = 0; head < kNumHeads; ++head) {
      testing::Expected expected = testing::RotateOracle(
          {qkv.data() + row * cols + head * head_dim, size},
          std::span(cos).subspan(factor, size / 2), std::span(sin).subspan(factor, size / 2));
      testing::AddRounding(dtype, expected);
      ASSERT_EQ(
          testing::Mismatch({actual.data() + (row * kNumHeads + head) * head_dim, size}, expected),
          "")
          << "row " << row << ", head " << head;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceRopeTest,
                         ::testing::Combine(::testing::Values(64, 128),
                                            ::testing::Values(DType::kBF16, DType::kF16)));

}  // namespace
}  // namespace phalanx
