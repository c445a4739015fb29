// The bundled model on the device under test: its logits beside those of the CPU in float32, and
// its bits however the work is cut.
#include <cmath>
#include <random>
#include <tuple>

#include "tests/device/device_under_test.h"
#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using testing::GroupOptions;
using testing::ModelGroup;
using testing::Piece;
using testing::Row;

GroupOptions Options(const std::string& device, int num_ranks) {
  GroupOptions options;
  options.num_ranks = num_ranks;
  options.model_dir = testing::Device().data / "launch/demo/model";
  options.config = std::move(LoadConfig(options.model_dir)).value();
  options.model.max_num_tokens = 256;
  options.model.max_num_logit_rows = 64;
  options.model.load_threads = 1;
  options.backend.device = device;
  options.num_sequences = 20;
  return options;
}

std::unique_ptr<ModelGroup> Load(const GroupOptions& options) {
  auto group = ModelGroup::Load(options);
  PHALANX_CHECK(group.ok());
  return std::move(group).value();
}

std::vector<int32_t> RandomIds(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(generator() % 500);
  return ids;
}

// A prompt of more than 64 tokens in two chunks beside 16 short ones, then a token for each: their
// last rows' logits.
std::vector<Row> MixedSteps(ModelGroup& group) {
  constexpr size_t kLong = 90;
  constexpr int32_t kShort = 16;
  const std::vector<int32_t> ids = RandomIds(kLong, 1);
  std::vector<Piece> first = {{0, 0, {ids.begin(), ids.begin() + 70}, Piece::Want::kNothing}};
  std::vector<Piece> second = {{0, 70, {ids.begin() + 70, ids.end()}}};
  for (int32_t s = 1; s <= kShort; ++s) {
    const auto length = static_cast<size_t>(1 + s % 9);
    first.push_back({s, 0, RandomIds(length, static_cast<uint32_t>(s) + 10)});
    second.push_back({s, static_cast<int32_t>(length), RandomIds(1, static_cast<uint32_t>(s))});
  }
  std::vector<Row> rows;
  for (const auto& step : {first, second}) {
    auto logits = group.Step(step);
    EXPECT_TRUE(logits.ok()) << logits.status();
    if (!logits.ok()) return {};
    rows.insert(rows.end(), logits->begin(), logits->end());
  }
  return rows;
}

class DeviceModelTest : public ::testing::TestWithParam<std::tuple<int, Numerics>> {};

// Each of the layers' products reads activations that were rounded to 8 bits of mantissa, 2^-9 of
// their size at most. The rounding errors of a layer's four products are independent, and the
// residual stream keeps what each layer adds: 2^-9 sqrt(4 layers) of the logits' size.
TEST_P(DeviceModelTest, LogitsAreThoseOfTheCpuWithinTheRoundingOfActivations) {
  const auto& [num_ranks, numerics] = GetParam();
  GroupOptions on_device = Options(testing::Device().name, num_ranks);
  on_device.backend.numerics = numerics;
  const std::vector<Row> expected = MixedSteps(*Load(Options("cpu", 1)));
  const std::vector<Row> actual = MixedSteps(*Load(on_device));
  ASSERT_EQ(actual.size(), expected.size());
  const double bound = 0x1p-9 * std::sqrt(4.0 * static_cast<double>(on_device.config.num_layers));
  int num_compared = 0;
  for (size_t r = 0; r < expected.size(); ++r) {
    double squared_error = 0.0;
    double squared = 0.0;
    double largest_error = 0.0;
    for (size_t c = 0; c < expected[r].size(); ++c) {
      const double value = static_cast<double>(expected[r][c]);
      const double error = static_cast<double>(actual[r][c]) - value;
      squared_error += error * error;
      squared += value * value;
      largest_error = std::max(largest_error, std::abs(error));
    }
    EXPECT_LE(std::sqrt(squared_error / squared), bound) << "row " << r;
    // Two logits, each wrong by several deviations of the bound.
    const double size = std::sqrt(squared / static_cast<double>(expected[r].size()));
    const testing::Best best = testing::GreedyChoice(expected[r]);
    if (static_cast<double>(best.margin) <= 8 * bound * size) continue;
    ++num_compared;
    EXPECT_EQ(testing::GreedyChoice(actual[r]).id, best.id) << "row " << r;
  }
  EXPECT_GE(num_compared, 10);
}

INSTANTIATE_TEST_SUITE_P(All, DeviceModelTest,
                         ::testing::Combine(::testing::Values(1, 2, 3),
                                            ::testing::Values(Numerics::kExact, Numerics::kFast)));

TEST(DeviceDeterminismTest, ExactBitsDependNeitherOnChunksNorOnCompany) {
  constexpr int64_t kLength = 70;
  const auto group = Load(Options(testing::Device().name, 1));
  const std::vector<int32_t> ids = RandomIds(kLength, 3);
  enum class Company { kNone, kOthers };
  // The last `single` tokens go one by one.
  const auto last_row = [&](int64_t chunk, int64_t single, Company company) {
    Row row;
    for (int64_t begin = 0; begin < kLength;) {
      const int64_t end =
          begin < kLength - single ? std::min(begin + chunk, kLength - single) : begin + 1;
      std::vector<Piece> step;
      for (int32_t s = 1; company == Company::kOthers && s < 12; ++s) {
        step.push_back({s, 0, RandomIds(3, 9)});
      }
      step.push_back({0, static_cast<int32_t>(begin), {ids.begin() + begin, ids.begin() + end}});
      auto logits = group->Step(step);
      EXPECT_TRUE(logits.ok()) << logits.status();
      if (!logits.ok()) return Row();
      row = logits->back();
      begin = end;
    }
    return row;
  };
  const Row whole = last_row(kLength, 0, Company::kNone);
  EXPECT_EQ(last_row(kLength, 0, Company::kOthers), whole);
  EXPECT_EQ(last_row(33, 0, Company::kNone), whole);
  EXPECT_EQ(last_row(kLength, 6, Company::kNone), whole);
}

// Fast numerics pick kernels by the batch, so the same batches give the same bits.
TEST(DeviceDeterminismTest, FastStepsHaveTheSameBitsAgain) {
  GroupOptions options = Options(testing::Device().name, 1);
  options.backend.numerics = Numerics::kFast;
  const std::vector<Row> first = MixedSteps(*Load(options));
  EXPECT_FALSE(first.empty());
  const int runs = testing::Device().is_emulated() ? 1 : 5;
  for (int run = 0; run < runs; ++run) EXPECT_EQ(MixedSteps(*Load(options)), first);
}

}  // namespace
}  // namespace phalanx
