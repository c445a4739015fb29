// How weights become integers, and that all ranks together have the same ones as a single rank.
#include "model/quantize.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using testing::ModelGroup;

std::vector<float> RandomRow(int64_t n, uint32_t seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal(0.0F, 0.02F);
  std::vector<float> row(static_cast<size_t>(n));
  for (float& value : row) value = normal(generator);
  return row;
}

struct Quantized {
  std::vector<int8_t> values;
  std::vector<float> scales;
};

Quantized Quantize(const std::vector<float>& row, int bits, int64_t group_size) {
  const auto n = static_cast<int64_t>(row.size());
  const int64_t groups = group_size == 0 ? 1 : (n + group_size - 1) / group_size;
  Quantized result{std::vector<int8_t>(row.size()),
                   std::vector<float>(static_cast<size_t>(groups))};
  QuantizeRow(row, bits, group_size, result.values, result.scales);
  return result;
}

double SquaredError(const std::vector<float>& row, const Quantized& q, int64_t group_size) {
  double error = 0;
  for (size_t i = 0; i < row.size(); ++i) {
    const size_t group = group_size == 0 ? 0 : i / static_cast<size_t>(group_size);
    error += std::pow(row[i] - q.values[i] * q.scales[group], 2);
  }
  return error;
}

TEST(QuantizeRowTest, EightBitsAreWithinHalfAStepAndReachTheEnds) {
  for (uint32_t seed = 0; seed < 20; ++seed) {
    std::vector<float> row = RandomRow(203, seed);
    row[17] = seed % 2 == 0 ? 0.5F : -0.5F;
    const Quantized q = Quantize(row, 8, 0);
    EXPECT_EQ(q.values[17], seed % 2 == 0 ? 127 : -127);
    EXPECT_EQ(q.scales[0], BF16ToFloat(FloatToBF16(q.scales[0]))) << "scales are bf16";
    for (size_t i = 0; i < row.size(); ++i) {
      // The largest may be a little more than 127 scales, since these are rounded.
      EXPECT_LE(std::abs(row[i] - q.values[i] * q.scales[0]), q.scales[0]) << i;
      if (i == 17) continue;
      EXPECT_LE(std::abs(row[i] - q.values[i] * q.scales[0]), q.scales[0] * 0.501F);
    }
  }
}

TEST(QuantizeRowTest, TheSearchLosesLessThanTheWholeRange) {
  double searched = 0, whole = 0;
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const std::vector<float> row = RandomRow(64, seed);
    searched += SquaredError(row, Quantize(row, 4, 64), 64);
    float largest = 0;
    for (const float value : row) largest = std::max(largest, std::abs(value));
    for (const float value : row) {
      whole += std::pow(value - std::nearbyint(value / (largest / 7)) * (largest / 7), 2);
    }
  }
  EXPECT_LT(searched, 0.9 * whole);
}

TEST(QuantizeRowTest, FourBitsHaveAScaleForEachGroupAlsoAShortOne) {
  std::vector<float> row = RandomRow(150, 1);
  for (size_t i = 64; i < 128; ++i) row[i] *= 100;
  const Quantized q = Quantize(row, 4, 64);
  ASSERT_EQ(q.scales.size(), 3);
  EXPECT_GT(q.scales[1], 20 * q.scales[0]);
  EXPECT_GT(q.scales[1], 20 * q.scales[2]);
  for (const int8_t value : q.values) EXPECT_TRUE(value >= -8 && value <= 7);
  EXPECT_LT(SquaredError(row, q, 64),
            0.02 * SquaredError(row, {std::vector<int8_t>(150), {0, 0, 0}}, 64));
}

TEST(QuantizeRowTest, WhatNoScaleReachesBecomesZero) {
  for (const int bits : {8, 4}) {
    for (const float value : {0.0F, -0.0F, 1e-45F, -1e-39F}) {
      const Quantized q = Quantize(std::vector<float>(64, value), bits, 64);
      EXPECT_THAT(q.values, Each(0)) << value;
      EXPECT_EQ(q.scales[0], 0.0F) << value;
    }
    const Quantized most = Quantize(std::vector<float>(64, 3e38F), bits, 64);
    EXPECT_NEAR(most.values[5] * static_cast<double>(most.scales[0]), 3e38, 3e36);
  }
}

TEST(RowQuantizerTest, AShardHasTheIntegersOfTheWholeRow) {
  constexpr int64_t kCols = 517;
  const std::vector<float> full = RandomRow(2 * kCols, 3);
  for (const auto& [bits, group] : {std::pair{8, 0}, {4, 64}}) {
    const WeightQuantization form{bits, group, 0};
    WeightRow whole{.name = "w", .rows = 2, .cols = kCols, .quantization = form};
    RowQuantizer of_whole(whole);
    const QuantizedRows all = of_whole.Quantize(full);
    for (const Range part : {Range{0, 517}, Range{0, 100}, Range{100, 101}, Range{130, 517}}) {
      WeightRow shard = whole;
      shard.axis = SplitAxis::kInput;
      shard.slice = part;
      shard.quantization.first_feature = part.begin;
      const Range read = shard.read_cols();
      std::vector<float> floats;
      for (int64_t r = 0; r < 2; ++r) {
        floats.insert(floats.end(), full.begin() + r * kCols + read.begin,
                      full.begin() + r * kCols + read.end);
      }
      RowQuantizer of_shard(shard);
      const QuantizedRows rows = of_shard.Quantize(floats);
      ASSERT_EQ(rows.values.cols, part.size());
      ASSERT_EQ(rows.scales.cols, shard.quantization.NumGroups(part.size()));
      for (int64_t r = 0; r < 2; ++r) {
        for (int64_t k = 0; k < part.size(); ++k) {
          const int64_t in_row = part.begin + k;
          EXPECT_EQ(rows.values.row<int8_t>(r)[k], all.values.row<int8_t>(r)[in_row]);
          EXPECT_EQ(rows.scales.row<float>(r)[shard.quantization.GroupOf(k)],
                    all.scales.row<float>(r)[whole.quantization.GroupOf(in_row)]);
        }
      }
    }
  }
}

testing::GroupOptions SmallModel(int num_ranks, Quantization quantization) {
  testing::GroupOptions options;
  options.num_ranks = num_ranks;
  options.config.hidden_size = 160;
  options.config.intermediate_size = 517;
  options.config.num_layers = 2;
  options.config.num_heads = 6;
  options.config.num_kv_heads = 2;
  options.config.head_dim = 40;
  options.config.vocab_size = 300;
  options.config.max_position_embeddings = 128;
  options.config.tie_word_embeddings = true;
  options.model.load_format = LoadFormat::kDummy;
  options.model.quantization = quantization;
  options.max_sequence_tokens = 128;
  return options;
}

std::vector<testing::Row> Logits(const testing::GroupOptions& options) {
  auto group = ModelGroup::Load(options);
  EXPECT_TRUE(group.ok()) << group.status();
  auto rows = (*group)->Step({{0, 0, {5, 250, 17, 0, 99, 123, 45}, testing::Piece::Want::kAll}});
  EXPECT_TRUE(rows.ok()) << rows.status();
  return *rows;
}

double LargestDifference(const std::vector<testing::Row>& a, const std::vector<testing::Row>& b) {
  double largest = 0;
  for (size_t r = 0; r < a.size(); ++r) {
    for (size_t i = 0; i < a[r].size(); ++i) {
      largest = std::max(largest, std::abs(static_cast<double>(a[r][i]) - b[r][i]));
    }
  }
  return largest;
}

TEST(QuantizedModelTest, AnyNumberOfRanksHasOneModel) {
  const std::vector<testing::Row> plain = Logits(SmallModel(1, Quantization::kNone));
  for (const Quantization quantization : {Quantization::kInt8, Quantization::kInt4}) {
    const std::vector<testing::Row> alone = Logits(SmallModel(1, quantization));
    // What rounding the weights changes is far more than what the order of sums does.
    EXPECT_GT(LargestDifference(alone, plain), 1e-3) << Name(quantization);
    for (const int num_ranks : {2, 3, 4, 5, 6, 7, 8}) {
      EXPECT_LT(LargestDifference(Logits(SmallModel(num_ranks, quantization)), alone), 2e-5)
          << Name(quantization) << ", " << num_ranks << " ranks";
    }
  }
}

TEST(QuantizedModelTest, TakesAsMuchMemoryAsItsIntegers) {
  const auto bytes = [](Quantization quantization) {
    testing::GroupOptions options = SmallModel(1, quantization);
    options.config.hidden_size = 896;
    options.config.intermediate_size = 4864;
    auto group = ModelGroup::Load(options);
    return static_cast<double>((*group)->rank(0).model->weight_bytes());
  };
  const double plain = bytes(Quantization::kNone);
  EXPECT_NEAR(bytes(Quantization::kInt8) / plain, 0.5, 0.01);
  EXPECT_NEAR(bytes(Quantization::kInt4) / plain, 4.5 / 16, 0.02);
}

TEST(QuantizedModelTest, DevicesRefuseIt) {
  const std::vector<std::string> devices = AvailableDevices();
  if (std::ranges::find(devices, "cuda-emulated") == devices.end()) {
    GTEST_SKIP() << "built without emulated devices";
  }
  testing::GroupOptions options = SmallModel(1, Quantization::kInt8);
  options.backend.device = "cuda-emulated";
  EXPECT_THAT(ModelGroup::Load(options).status().ToString(), HasSubstr("dtype is I8, allowed"));
}

}  // namespace
}  // namespace phalanx
