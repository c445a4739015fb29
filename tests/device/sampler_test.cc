// The sampler on the device under test beside the same on the CPU: with the same logits, the same
// tokens.
#include <fmt/format.h>

#include <cmath>
#include <random>

#include "tests/device/device_under_test.h"
#include "tests/worker/sampler_group.h"

namespace phalanx {
namespace {

// Parameters of every kind, alone and together.
std::vector<Case> MixedCases() {
  std::mt19937 random(91);
  std::vector<Case> cases;
  const auto id = [&] { return static_cast<int32_t>(random() % kVocab); };
  for (uint32_t i = 0; i < 36; ++i) {
    Case& one = cases.emplace_back();
    one.logits = RandomRow(200 + i, i % 5 == 0 ? 0.5F : 2.0F);
    SamplingParams& params = one.init.params;
    params.seed = random();
    params.choice = i % 3;
    params.temperature = i % 4 == 0 ? 0.0F : 0.6F + 0.1F * static_cast<float>(i % 7);
    if (i % 3 == 1) params.top_k = 1 + static_cast<int32_t>(random() % 60);
    if (i % 5 == 2) params.top_p = 0.8F;
    if (i % 6 == 3) params.min_p = 0.05F;
    if (i % 2 == 1) params.repetition_penalty = 1.4F;
    if (i % 7 == 2) params.frequency_penalty = 0.9F;
    if (i % 7 == 3) params.presence_penalty = 1.5F;
    if (i % 4 == 2) params.logprobs = static_cast<int32_t>(i % 21);
    for (int t = 0; t < 30; ++t) one.init.prompt_ids.push_back(id());
    for (int t = 0; t < 5; ++t) one.init.emitted_ids.push_back(id());
    if (i % 3 == 0) params.logit_bias = {{7, 4.0F}, {500, -100.0F}, {999, 3.5F}};
    if (i % 9 == 4) params.allowed_token_ids = {3, 64, 500, 640, 998};
    if (i % 8 == 5) params.bad_words = {{id()}, {one.init.emitted_ids.back(), 12}};
    if (i % 10 == 6) {
      params.min_tokens = 8;
      params.eos_token_ids = {7, 999};
      params.stop_token_ids = {7};
    }
    if (i % 9 == 7) {
      params.constraint = Constraint::kMask;
      one.mask = RandomMask(random);
      one.mask[3] = ~0U;
    }
  }
  return cases;
}

class DeviceSamplerTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, DeviceSamplerTest, ::testing::Values(1, 2, 3, 17),
                         [](const auto& info) { return fmt::format("N{}", info.param); });

TEST_P(DeviceSamplerTest, ChoosesTheTokensOfTheCpu) {
  // Few candidates of top-p, so that whole rows are gathered, too. Of many ranks, the last ones
  // hold nothing.
  GroupSetup setup{
      .ranks = GetParam(), .top_p_candidates = 12, .num_steps = GetParam() > 3 ? 1 : 4};
  const std::vector<Case> cases = MixedCases();
  const auto expected = RunSampler(setup, cases);
  setup.device = testing::Device().name;
  const auto actual = RunSampler(setup, cases);
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t step = 0; step < expected.size(); ++step) {
    for (size_t i = 0; i < cases.size(); ++i) {
      SCOPED_TRACE(::testing::Message() << "step " << step << ", case " << i);
      const SampleResult& want = expected[step][i];
      const SampleResult& got = actual[step][i];
      EXPECT_EQ(got.status.code(), want.status.code()) << got.status;
      EXPECT_EQ(got.token_id, want.token_id);
      EXPECT_EQ(got.logprobs.rank, want.logprobs.rank);
      // The sum of exponentials is right to 1e-5.
      EXPECT_NEAR(got.logprobs.logprob, want.logprobs.logprob, 2e-5F);
      ASSERT_EQ(got.logprobs.top.size(), want.logprobs.top.size());
      for (size_t t = 0; t < want.logprobs.top.size(); ++t) {
        EXPECT_EQ(got.logprobs.top[t].token_id, want.logprobs.top[t].token_id);
        EXPECT_NEAR(got.logprobs.top[t].logprob, want.logprobs.top[t].logprob, 2e-5F);
      }
    }
  }
}

TEST(DeviceSamplerEdgesTest, NanEndsOnlyItsOwnRequest) {
  std::vector<Case> cases(3, {.init = {}, .logits = RandomRow(7)});
  cases[1].logits[400] = std::nanf("");
  const auto results = RunSampler({.ranks = 2, .device = testing::Device().name}, cases);
  EXPECT_EQ(results[0][1].status.code(), StatusCode::kInternal);
  for (const size_t i : {0, 2}) EXPECT_GE(results[0][i].token_id, 0);
}

}  // namespace
}  // namespace phalanx
