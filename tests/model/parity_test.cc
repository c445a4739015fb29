// Logits and greedy tokens against what transformers gave (tests/model/goldens, make_goldens.py).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "tests/model/checkpoint_writer.h"
#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::GroupOptions;
using testing::ModelGroup;

// In log-probability: where the oracle's two best are closer, its choice does not bind.
constexpr double kTieMargin = 1e-3;

std::vector<std::string> GoldenNames() {
  std::vector<std::string> names;
  for (const auto& entry :
       std::filesystem::directory_iterator(PHALANX_SOURCE_DIR "/tests/model/goldens")) {
    names.push_back(entry.path().stem().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class ParityTest : public ::testing::TestWithParam<std::tuple<std::string, int>> {};

TEST_P(ParityTest, MatchesTransformers) {
  const auto& [name, num_ranks] = GetParam();
  const json golden = json::parse(
      testing::ReadFile(fmt::format("{}/tests/model/goldens/{}.json", PHALANX_SOURCE_DIR, name)));
  GroupOptions options;
  options.num_ranks = num_ranks;
  if (golden.contains("checkpoint")) {
    options.model_dir = std::filesystem::path(PHALANX_SOURCE_DIR) / golden["checkpoint"];
    auto config = LoadConfig(options.model_dir);
    ASSERT_TRUE(config.ok()) << config.status();
    options.config = *config;
  } else {
    auto config = ParseConfig(golden["config"].dump(), name);
    ASSERT_TRUE(config.ok()) << config.status();
    options.config = *config;
    options.model.load_format = LoadFormat::kDummy;
    options.model.dummy_seed = golden["dummy_seed"];
  }
  std::vector<std::vector<int32_t>> prompts;
  for (const json& run : golden["runs"]) prompts.push_back(run["prompt"]);
  constexpr int64_t kChunk = 48;
  options.num_sequences = static_cast<int64_t>(prompts.size());
  options.max_sequence_tokens = 256;
  options.model.max_num_tokens = kChunk;
  options.model.max_num_logit_rows = kChunk;
  options.model.load_threads = 1;
  options.model.max_model_len = 256;
  const auto group = ModelGroup::Load(options);
  ASSERT_TRUE(group.ok()) << group.status();
  const int steps = static_cast<int>(golden["runs"][0]["tokens"].size());
  ASSERT_GE(steps, 64);
  const auto results = (*group)->Generate(prompts, steps, kChunk, ModelGroup::PromptLogits::kYes);
  ASSERT_TRUE(results.ok()) << results.status();

  double worst = 0.0;
  int ties = 0;
  for (size_t p = 0; p < prompts.size(); ++p) {
    const json& run = golden["runs"][p];
    const auto expected = run["last_logits"].get<std::vector<float>>();
    const testing::Row& actual = (*results)[p].prompt_logits.back();
    ASSERT_EQ(actual.size(), expected.size());
    for (size_t i = 0; i < expected.size(); ++i) {
      // The file keeps six digits.
      const double allowed = run["tolerance"].get<double>() + 1e-5 * std::abs(expected[i]);
      const double error = std::abs(static_cast<double>(actual[i]) - expected[i]);
      ASSERT_LE(error, allowed) << "prompt " << p << " token " << i;
      worst = std::max(worst, error);
    }
    for (size_t t = 0; t < static_cast<size_t>(steps); ++t) {
      if ((*results)[p].tokens[t] == run["tokens"][t].get<int32_t>()) continue;
      ASSERT_LE(run["margins"][t].get<double>(), kTieMargin)
          << "prompt " << p << " step " << t << ": " << (*results)[p].tokens[t] << ", expected "
          << run["tokens"][t];
      ++ties;
      break;
    }
  }
  RecordProperty("largest_logit_error", std::to_string(worst));
  RecordProperty("ties", ties);
  EXPECT_LE(ties, 1) << "ties must be rare";
}

INSTANTIATE_TEST_SUITE_P(Goldens, ParityTest,
                         ::testing::Combine(::testing::ValuesIn(GoldenNames()),
                                            ::testing::Values(1, 2, 3, 4, 5, 7, 8)),
                         [](const auto& info) {
                           return fmt::format("{}_on_{}", std::get<0>(info.param),
                                              std::get<1>(info.param));
                         });

}  // namespace
}  // namespace phalanx
