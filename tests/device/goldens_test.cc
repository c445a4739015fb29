// Models of several shapes on the device under test beside what transformers gave in float32
// (tests/model/goldens): errors no more than twice transformers' own in the same 16-bit type, and
// the same token wherever that error cannot decide.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/device/device_under_test.h"
#include "tests/model/checkpoint_writer.h"
#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::Device;
using testing::GroupOptions;
using testing::ModelGroup;
using testing::Piece;
using testing::Row;

json ReadGolden(const std::string& name) {
  return json::parse(
      testing::ReadFile((Device().data / "tests/model/goldens" / (name + ".json")).string()));
}

// Those whose head size devices know.
std::vector<std::string> GoldenNames() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(Device().data / "tests/model/goldens")) {
    const std::string name = entry.path().stem().string();
    if (ReadGolden(name).contains("narrow")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

class DeviceGoldensTest
    : public ::testing::TestWithParam<std::tuple<std::string, std::pair<int, Numerics>>> {};

TEST_P(DeviceGoldensTest, ErrorsAreOfTheSizeOfTransformersOwn) {
  const auto& [name, way] = GetParam();
  const auto& [num_ranks, numerics] = way;
  const json golden = ReadGolden(name);
  GroupOptions options;
  options.num_ranks = num_ranks;
  options.backend.device = Device().name;
  options.backend.numerics = options.model.numerics = numerics;
  options.backend.activation_dtype =
      golden["narrow"]["dtype"] == "float16" ? DType::kF16 : DType::kBF16;
  if (golden.contains("checkpoint")) {
    options.model_dir = Device().data / golden["checkpoint"].get<std::string>();
    options.config = std::move(LoadConfig(options.model_dir)).value();
  } else {
    options.config = std::move(ParseConfig(golden["config"].dump(), name)).value();
    options.model.load_format = LoadFormat::kDummy;
    options.model.dummy_seed = golden["dummy_seed"];
  }
  // An emulated device has time for the two short prompts and a few tokens.
  const size_t num_prompts = Device().is_emulated() ? 2 : golden["runs"].size();
  const std::ptrdiff_t num_tokens = Device().is_emulated() ? 16 : 64;
  constexpr int64_t kChunk = 48;
  options.num_sequences = static_cast<int64_t>(num_prompts);
  options.max_sequence_tokens = 256;
  options.model.max_num_tokens = kChunk;
  options.model.max_num_logit_rows = kChunk;
  options.model.load_threads = 1;
  options.model.max_model_len = 256;
  const auto group = ModelGroup::Load(options);
  ASSERT_TRUE(group.ok()) << group.status();

  // The oracle's tokens are fed, whatever is computed, so that all of its choices are compared.
  double squared_error = 0.0;
  size_t num_logits = 0;
  int num_bound = 0;
  const double binding = 4 * golden["narrow"]["largest_error"].get<double>();
  for (size_t p = 0; p < num_prompts; ++p) {
    const json& run = golden["runs"][p];
    auto ids = run["prompt"].get<std::vector<int32_t>>();
    const auto prompt_length = static_cast<int64_t>(ids.size());
    auto tokens = run["tokens"].get<std::vector<int32_t>>();
    ASSERT_GE(static_cast<std::ptrdiff_t>(tokens.size()), num_tokens);
    tokens.erase(tokens.begin() + num_tokens, tokens.end());
    ids.insert(ids.end(), tokens.begin(), tokens.end() - 1);
    std::vector<Row> rows;
    for (int64_t begin = 0; begin < static_cast<int64_t>(ids.size()); begin += kChunk) {
      const int64_t end = std::min(begin + kChunk, static_cast<int64_t>(ids.size()));
      auto logits = (*group)->Step({{static_cast<int32_t>(p),
                                     static_cast<int32_t>(begin),
                                     {ids.begin() + begin, ids.begin() + end},
                                     Piece::Want::kAll}});
      ASSERT_TRUE(logits.ok()) << logits.status();
      rows.insert(rows.end(), logits->begin(), logits->end());
    }
    const auto expected = run["last_logits"].get<std::vector<float>>();
    const Row& actual = rows[static_cast<size_t>(prompt_length - 1)];
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      const double error = static_cast<double>(actual[i]) - static_cast<double>(expected[i]);
      squared_error += error * error;
    }
    num_logits += expected.size();
    for (size_t t = 0; t < tokens.size(); ++t) {
      if (run["margins"][t].get<double>() <= binding) continue;
      ++num_bound;
      const Row& row = rows[static_cast<size_t>(prompt_length - 1) + t];
      EXPECT_EQ(testing::GreedyChoice(row).id, tokens[t]) << "prompt " << p << ", step " << t;
    }
  }
  const double error = std::sqrt(squared_error / static_cast<double>(num_logits));
  EXPECT_LE(error, 2 * golden["narrow"]["error"].get<double>());
  EXPECT_GE(num_bound, 10);
  RecordProperty("error", std::to_string(error));
  RecordProperty("error_of_transformers", golden["narrow"]["error"].dump());
  RecordProperty("compared_tokens", num_bound);
}

// Numbers of ranks, which share the device, and numerics.
std::vector<std::pair<int, Numerics>> Ways() {
  std::vector<std::pair<int, Numerics>> ways = {{1, Numerics::kExact}, {3, Numerics::kFast}};
  if (Device().is_emulated()) return ways;
  ways.insert(ways.end(), {{1, Numerics::kFast},
                           {2, Numerics::kExact},
                           {3, Numerics::kExact},
                           {8, Numerics::kExact},
                           {8, Numerics::kFast}});
  return ways;
}

INSTANTIATE_TEST_SUITE_P(Goldens, DeviceGoldensTest,
                         ::testing::Combine(::testing::ValuesIn(GoldenNames()),
                                            ::testing::ValuesIn(Ways())),
                         [](const auto& info) {
                           const auto& way = std::get<1>(info.param);
                           return fmt::format("{}_on_{}_{}", std::get<0>(info.param), way.first,
                                              testing::NameOf(way.second));
                         });

}  // namespace
}  // namespace phalanx
