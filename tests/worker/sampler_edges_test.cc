// Sampling parameters at the ends of their ranges, and what must not change a token: a filter that
// filters nothing, the number of ranks, the rest of the batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "tests/worker/sampler_group.h"

namespace phalanx {
namespace {

constexpr float kLargest = std::numeric_limits<float>::max();

int32_t BestOf(const Row& row) {
  return static_cast<int32_t>(std::max_element(row.begin(), row.end()) - row.begin());
}

// One token for each of `count` seeds.
std::vector<int32_t> TokensOf(const GroupSetup& setup, const Case& one, int count) {
  std::vector<Case> cases(static_cast<size_t>(count), one);
  for (int i = 0; i < count; ++i) {
    cases[static_cast<size_t>(i)].init.params.seed = static_cast<uint64_t>(1000 + i);
  }
  std::vector<int32_t> tokens;
  const auto results = RunSampler(setup, cases);
  for (const SampleResult& result : results[0]) {
    EXPECT_TRUE(result.status.ok()) << result.status;
    tokens.push_back(result.token_id);
  }
  return tokens;
}

class SamplerEdges : public ::testing::TestWithParam<int> {
 protected:
  GroupSetup Setup() const { return {.ranks = GetParam()}; }
};
INSTANTIATE_TEST_SUITE_P(Ranks, SamplerEdges, ::testing::Values(1, 2, 3, 20),
                         [](const auto& info) { return fmt::format("N{}", info.param); });

TEST_P(SamplerEdges, AFilterThatFiltersNothingChangesNoToken) {
  Case one{.init = {}, .logits = RandomRow(20, 1.0F)};
  const std::vector<int32_t> unfiltered = TokensOf(Setup(), one, 300);
  for (const int32_t top_k : {kVocab, kVocab + 1, std::numeric_limits<int32_t>::max()}) {
    one.init.params.top_k = top_k;
    EXPECT_EQ(TokensOf(Setup(), one, 300), unfiltered) << "top_k " << top_k;
  }
  one.init.params.top_k = 0;
  one.init.params.min_p = std::numeric_limits<float>::denorm_min();
  EXPECT_EQ(TokensOf(Setup(), one, 300), unfiltered) << "the least min_p";
  one.init.params.min_p = 0.0F;
  for (int32_t id = 0; id < kVocab; ++id) one.init.params.allowed_token_ids.push_back(id);
  EXPECT_EQ(TokensOf(Setup(), one, 300), unfiltered) << "all ids allowed";
  one.init.params.allowed_token_ids.clear();
  one.init.params.logit_bias = {{4, 0.0F}, {900, 0.0F}};
  EXPECT_EQ(TokensOf(Setup(), one, 300), unfiltered) << "biases of 0";
}

TEST_P(SamplerEdges, TheStrictestFiltersAreGreedy) {
  Case one{.init = {}, .logits = RandomRow(21)};
  one.init.params.temperature = 2.0F;
  const std::vector<int32_t> best(50, BestOf(one.logits));
  Case strict = one;
  strict.init.params.top_k = 1;
  EXPECT_EQ(TokensOf(Setup(), strict, 50), best) << "top_k 1";
  strict = one;
  strict.init.params.top_p = 1e-6F;
  EXPECT_EQ(TokensOf(Setup(), strict, 50), best) << "top_p 1e-6";
  strict = one;
  strict.init.params.min_p = 1.0F;
  EXPECT_EQ(TokensOf(Setup(), strict, 50), best) << "min_p 1";
  strict.init.params.top_k = 40;
  EXPECT_EQ(TokensOf(Setup(), strict, 50), best) << "min_p 1 and top_k 40";
  strict = one;
  strict.init.params.temperature = 1e-5F;  // the lowest that is not greedy
  EXPECT_EQ(TokensOf(Setup(), strict, 50), best) << "temperature 1e-5";
}

TEST_P(SamplerEdges, AnInfiniteTemperatureIsUniform) {
  Case one{.init = {}, .logits = RandomRow(22)};
  one.init.params.temperature = kLargest;
  std::map<int32_t, double> uniform;
  for (int32_t id = 0; id < kVocab; ++id) uniform[id] = 1.0 / kVocab;
  ExpectFits(Draw(Setup(), one, 10000), uniform);
}

TEST_P(SamplerEdges, OneAllowedTokenIsAlwaysChosen) {
  for (const int32_t id : {0, 63, 64, 500, kVocab - 1}) {
    Case one{.init = {}, .logits = RandomRow(23)};
    one.logits[static_cast<size_t>(id)] = -50.0F;
    one.init.params.allowed_token_ids = {id};
    for (const float top_p : {1.0F, 0.3F}) {
      one.init.params.top_p = top_p;
      EXPECT_EQ(TokensOf(Setup(), one, 5), std::vector<int32_t>(5, id));
    }
    one.init.params.temperature = 0.0F;
    EXPECT_EQ(SampleOne(Setup(), one), id);
  }
}

TEST_P(SamplerEdges, BiasesOfAHundredForceAndForbid) {
  Case one{.init = {}, .logits = RandomRow(24)};
  const int32_t best = BestOf(one.logits);
  one.init.params.logit_bias = {{777, 100.0F}};
  EXPECT_EQ(TokensOf(Setup(), one, 100), std::vector<int32_t>(100, 777));
  one.init.params.logit_bias = {{best, -100.0F}};
  const std::vector<int32_t> without = TokensOf(Setup(), one, 300);
  EXPECT_EQ(std::ranges::count(without, best), 0);
  ExpectFits(Draw(Setup(), one, 2000), Distribution(one));
}

// Greedy over the same logits again and again: best, second, third ... as bad words forbid them.
TEST_P(SamplerEdges, BadWordsOfSeveralTokensForbidTheirLastOneInContext) {
  Case one{.init = {}, .logits = RandomRow(25, 0.1F)};
  one.logits[10] = 9.0F;
  one.logits[700] = 8.0F;
  one.logits[64] = 7.0F;
  one.init.params.temperature = 0.0F;
  one.init.params.bad_words = {{10, 10}, {10, 700, 10}, {700, 64}};
  GroupSetup setup = Setup();
  setup.num_steps = 8;
  std::vector<int32_t> tokens;
  for (const auto& step : RunSampler(setup, {one})) tokens.push_back(step[0].token_id);
  // 10; not 10 after 10; not 10 after 10 700, but a second 700; 10 again, and so on.
  EXPECT_EQ(tokens, (std::vector<int32_t>{10, 700, 700, 10, 700, 700, 10, 700}));
  one.init.emitted_ids = {10};
  EXPECT_EQ(SampleOne(Setup(), one), 700) << "replayed output counts";
  one.init.emitted_ids.clear();
  one.init.prompt_ids = {10};
  EXPECT_EQ(SampleOne(Setup(), one), 10) << "the prompt does not";
}

TEST_P(SamplerEdges, ExtremeParametersChooseATokenAndFailNothing) {
  const Row logits = RandomRow(26);
  const int32_t best = BestOf(logits);
  struct Extreme {
    const char* name;
    std::function<void(SamplingParams&)> set;
  };
  const std::vector<Extreme> extremes = {
      {"tiny repetition_penalty", [](auto& params) { params.repetition_penalty = 1e-40F; }},
      {"huge repetition_penalty", [](auto& params) { params.repetition_penalty = kLargest; }},
      {"huge frequency_penalty", [](auto& params) { params.frequency_penalty = kLargest; }},
      {"low frequency_penalty", [](auto& params) { params.frequency_penalty = -kLargest; }},
      {"huge presence_penalty", [](auto& params) { params.presence_penalty = kLargest; }},
      {"huge bias",
       [&](auto& params) {
         params.logit_bias = {{best, kLargest}};
       }},
      {"low bias",
       [&](auto& params) {
         params.logit_bias = {{best, -kLargest}};
       }},
      {"everything", [&](auto& params) {
         params.repetition_penalty = 1e-40F;
         params.frequency_penalty = kLargest;
         params.presence_penalty = -kLargest;
         params.logit_bias = {{best, kLargest}};
       }}};
  for (const Extreme& extreme : extremes) {
    for (const float temperature : {0.0F, 1e-5F, 1.0F, kLargest}) {
      for (const float top_p : {1.0F, 0.9F}) {
        SCOPED_TRACE(fmt::format("{}, temperature {}, top_p {}", extreme.name, temperature, top_p));
        Case one{.init = {}, .logits = logits};
        one.init.prompt_ids = {best, 3};
        one.init.emitted_ids = {best, best, 900};
        one.init.params.temperature = temperature;
        one.init.params.top_p = top_p;
        one.init.params.min_p = 0.01F;
        one.init.params.logprobs = 2;
        extreme.set(one.init.params);
        const SampleResult result = RunSampler(Setup(), {one})[0][0];
        ASSERT_TRUE(result.status.ok()) << result.status;
        EXPECT_GE(result.token_id, 0);
        EXPECT_TRUE(std::isfinite(result.logprobs.logprob));
      }
    }
  }
}

TEST(SamplerEdgesTest, AnInfinityOfTheModelIsNotHiddenByAnAdjustment) {
  Case one{.init = {}, .logits = RandomRow(27)};
  one.logits[5] = std::numeric_limits<float>::infinity();
  one.init.params.logit_bias = {{5, -1.0F}};
  EXPECT_EQ(RunSampler({.ranks = 2}, {one})[0][0].status.code(), StatusCode::kInternal);
}

TEST(SamplerEdgesTest, SeedsGiveTheSameTokensOnAnyNumberOfRanksInAnyBatch) {
  std::vector<Case> cases;
  for (uint32_t i = 0; i < 32; ++i) {
    Case one{.init = {}, .logits = RandomRow(400 + i, 1.5F)};
    SamplingParams& params = one.init.params;
    params.seed = i % 5;
    params.choice = i / 5;
    params.top_k = i % 4 == 1 ? 30 : 0;
    params.top_p = i % 4 == 2 ? 0.9F : 1.0F;
    params.min_p = i % 4 == 3 ? 0.02F : 0.0F;
    params.repetition_penalty = i % 2 == 0 ? 1.3F : 1.0F;
    params.presence_penalty = i % 3 == 0 ? 0.7F : 0.0F;
    if (i % 7 == 0) params.bad_words = {{BestOf(one.logits)}};
    one.init.prompt_ids = {1, 64, 999};
    cases.push_back(one);
  }
  const GroupSetup single{.ranks = 1, .num_steps = 3};
  const auto together = RunSampler(single, cases);
  std::vector<Case> backwards(cases.rbegin(), cases.rend());
  for (const int ranks : {2, 3, 8}) {
    const auto many = RunSampler({.ranks = ranks, .num_steps = 3}, backwards);
    for (size_t step = 0; step < 3; ++step) {
      for (size_t i = 0; i < cases.size(); ++i) {
        EXPECT_EQ(many[step][cases.size() - 1 - i].token_id, together[step][i].token_id)
            << ranks << " ranks, case " << i << ", step " << step;
      }
    }
  }
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto alone = RunSampler(single, {cases[i]});
    for (size_t step = 0; step < 3; ++step) {
      EXPECT_EQ(alone[step][0].token_id, together[step][i].token_id) << "case " << i;
    }
  }
}

}  // namespace
}  // namespace phalanx
