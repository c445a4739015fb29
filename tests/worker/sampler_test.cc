// The sampler over vocabulary shards against a naive oracle over whole rows, in transformers'
// order.
#include "worker/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/backend_factory.h"
#include "tests/worker/sampler_group.h"
#include "worker/slot_state.h"

namespace phalanx {
namespace {

class SamplerOverRanks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, SamplerOverRanks, ::testing::Values(1, 2, 3, 5),
                         [](const auto& info) { return fmt::format("N{}", info.param); });

TEST_P(SamplerOverRanks, GreedyTakesTheLowestOfTheBest) {
  Case one{.init = {}, .logits = RandomRow(1)};
  one.init.params.temperature = 0.0F;
  one.logits[70] = one.logits[999] = one.logits[500] = 40.0F;
  EXPECT_EQ(SampleOne({.ranks = GetParam()}, one), 70);
}

TEST_P(SamplerOverRanks, UnfilteredDrawsFollowTheSoftmax) {
  Case one{.init = {}, .logits = RandomRow(2)};
  one.init.params.temperature = 2.0F;
  ExpectFits(Draw({.ranks = GetParam()}, one, 200 * PHALANX_TEST_EFFORT), Distribution(one));
}

TEST_P(SamplerOverRanks, FilteredDrawsFollowTheOracle) {
  struct Filter {
    int32_t top_k;
    float top_p;
    float min_p;
  };
  for (const Filter& filter : {Filter{7, 1.0F, 0.0F}, Filter{0, 0.6F, 0.0F}, Filter{0, 1.0F, 0.05F},
                               Filter{40, 0.8F, 0.0F}, Filter{300, 0.9F, 0.03F},
                               Filter{0, 0.95F, 0.02F}, Filter{2000, 1.0F, 0.0F}}) {
    SCOPED_TRACE(testing::Message() << "top_k " << filter.top_k << " top_p " << filter.top_p
                                    << " min_p " << filter.min_p);
    Case one{.init = {}, .logits = RandomRow(3, 2.0F)};
    one.init.params.temperature = 1.3F;
    one.init.params.top_k = filter.top_k;
    one.init.params.top_p = filter.top_p;
    one.init.params.min_p = filter.min_p;
    ExpectFits(Draw({.ranks = GetParam()}, one, 2000), Distribution(one));
  }
}

TEST_P(SamplerOverRanks, TopPGathersTheRowWhereCandidatesFallShort) {
  Case one{.init = {}, .logits = RandomRow(4, 0.5F)};
  one.init.params.temperature = 1.0F;
  one.init.params.top_p = 0.7F;
  one.init.params.repetition_penalty = 1.5F;
  one.init.params.logprobs = 1;
  one.init.prompt_ids = {1, 2, 3, 700, 999};
  const std::map<int32_t, int> few = Draw({.ranks = GetParam(), .top_p_candidates = 4}, one, 2000);
  ExpectFits(few, Distribution(one));
  EXPECT_GT(few.size(), 100U);
  EXPECT_EQ(few, Draw({.ranks = GetParam(), .top_p_candidates = 1024}, one, 2000));
}

TEST_P(SamplerOverRanks, AdjustmentsFollowTheOracle) {
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    Case one{.init = {}, .logits = RandomRow(static_cast<uint32_t>(100 + round), 1.0F)};
    SamplingParams& params = one.init.params;
    const auto id = [&] { return static_cast<int32_t>(random() % kVocab); };
    const auto best = static_cast<int32_t>(std::max_element(one.logits.begin(), one.logits.end()) -
                                           one.logits.begin());
    params.temperature = 0.0F;
    params.repetition_penalty = 1.0F + 0.1F * static_cast<float>(random() % 10);
    params.frequency_penalty = 0.2F * static_cast<float>(random() % 5);
    params.presence_penalty = 0.3F * static_cast<float>(random() % 4);
    for (int i = 0; i < 20; ++i) one.init.prompt_ids.push_back(id());
    for (int i = 0; i < 10; ++i) one.init.emitted_ids.push_back(i % 3 == 0 ? best : id());
    params.logit_bias = {{5, 2.5F}, {best, -0.5F}};
    std::ranges::sort(params.logit_bias);
    params.bad_words = {{id()}, {one.init.emitted_ids.back(), best}, {id(), best}};
    params.eos_token_ids = {best};
    params.min_tokens = round % 2 == 0 ? 20 : 0;
    if (round % 4 == 3) params.allowed_token_ids = {3, 64, 500, 640, 998};
    if (round % 3 == 2) {
      params.constraint = Constraint::kMask;
      one.mask = RandomMask(random);
      for (const int32_t allowed : {3, 998})
        one.mask[static_cast<size_t>(allowed) / 32] |= 1U << (allowed % 32);
    }
    const Row row = Adjusted(one);
    SlotState slot;
    slot.Init(one.init);
    Row adjusted = one.logits;
    Row kept(kVocab);
    RowAdjustment adjustment = slot.Adjustment(kVocab, one.mask);
    adjustment.kept = kept.data();
    const auto backend = std::move(CreateBackend({.num_threads = 1})).value();
    backend->AdjustLogits(MakeTensor(adjusted.data(), DType::kF32, 1, kVocab), 0, {&adjustment, 1});
    EXPECT_EQ(adjusted, row) << "round " << round;
    EXPECT_EQ(kept, one.logits);
    const auto want = std::max_element(row.begin(), row.end()) - row.begin();
    EXPECT_EQ(SampleOne({.ranks = GetParam()}, one), want) << "round " << round;
  }
}

TEST_P(SamplerOverRanks, LogprobsAreOfTheRawRow) {
  for (const float temperature : {0.0F, 0.7F}) {
    Case one{.init = {}, .logits = RandomRow(6)};
    SamplingParams& params = one.init.params;
    params.temperature = temperature;
    params.logprobs = 5;
    params.repetition_penalty = 1.8F;
    params.allowed_token_ids = {10, 400, 900};
    one.init.prompt_ids = {10, 400};
    const SampleResult result = RunSampler({.ranks = GetParam()}, {one})[0][0];
    double sum = 0.0;
    for (const float logit : one.logits) sum += std::exp(static_cast<double>(logit));
    const auto logprob = [&](int32_t id) {
      return static_cast<double>(one.logits[static_cast<size_t>(id)]) - std::log(sum);
    };
    EXPECT_THAT(params.allowed_token_ids, ::testing::Contains(result.token_id));
    EXPECT_NEAR(result.logprobs.logprob, logprob(result.token_id), 1e-5);
    ASSERT_EQ(result.logprobs.top.size(), 5U);
    for (size_t i = 0; i < 5; ++i) {
      EXPECT_NEAR(result.logprobs.top[i].logprob, logprob(result.logprobs.top[i].token_id), 1e-5);
      if (i > 0) {
        EXPECT_LE(result.logprobs.top[i].logprob, result.logprobs.top[i - 1].logprob);
      }
    }
  }
}

TEST_P(SamplerOverRanks, BatchMatesChangeNothing) {
  std::vector<Case> cases;
  for (uint32_t i = 0; i < 12; ++i) {
    Case one{.init = {}, .logits = RandomRow(200 + i)};
    SamplingParams& params = one.init.params;
    params.temperature = i % 4 == 0 ? 0.0F : 1.0F;
    params.seed = i;
    params.top_k = i % 4 == 1 ? 20 : 0;
    params.top_p = i % 3 == 1 ? 0.8F : 1.0F;
    params.min_p = i % 4 == 2 ? 0.1F : 0.0F;
    params.frequency_penalty = i % 2 == 0 ? 0.5F : 0.0F;
    params.logprobs = i % 2 == 0 ? 2 : -1;
    cases.push_back(one);
  }
  const GroupSetup setup{.ranks = GetParam(), .num_steps = 4};
  const auto together = RunSampler(setup, cases);
  for (size_t i = 0; i < cases.size(); ++i) {
    const auto alone = RunSampler(setup, {cases[i]});
    for (size_t step = 0; step < 4; ++step) {
      EXPECT_EQ(alone[step][0].token_id, together[step][i].token_id);
      EXPECT_EQ(alone[step][0].logprobs.logprob, together[step][i].logprobs.logprob);
    }
  }
}

TEST(SamplerTest, TokensDoNotDependOnTheNumberOfRanks) {
  std::vector<Case> cases;
  for (uint32_t i = 0; i < 64; ++i) {
    Case one{.init = {}, .logits = RandomRow(300 + i)};
    one.init.params.seed = i;
    one.init.params.top_k = i % 3 == 0 ? 50 : 0;
    one.init.params.top_p = i % 3 == 1 ? 0.9F : 1.0F;
    cases.push_back(one);
  }
  const auto one = RunSampler({.ranks = 1, .num_steps = 3}, cases);
  for (const int ranks : {2, 3, 5, 20}) {  // 20: some ranks hold no row of the vocabulary
    const auto many = RunSampler({.ranks = ranks, .num_steps = 3}, cases);
    for (size_t step = 0; step < 3; ++step) {
      for (size_t i = 0; i < cases.size(); ++i) {
        EXPECT_EQ(many[step][i].token_id, one[step][i].token_id) << ranks << " ranks, case " << i;
      }
    }
  }
}

TEST(SamplerTest, NanEndsOnlyItsOwnRequest) {
  std::vector<Case> cases(3, Case{.init = {}, .logits = RandomRow(7)});
  cases[1].logits[777] = std::numeric_limits<float>::quiet_NaN();
  const auto results = RunSampler({.ranks = 3}, cases)[0];
  EXPECT_TRUE(results[0].status.ok());
  EXPECT_EQ(results[1].status.code(), StatusCode::kInternal);
  EXPECT_TRUE(results[2].status.ok());
}

TEST(SamplerTest, NoTokenLeftIsTheRequestsFault) {
  Case one{.init = {}, .logits = RandomRow(8)};
  one.init.params.allowed_token_ids = {9};
  one.init.params.bad_words = {{9}};
  for (const float temperature : {0.0F, 1.0F}) {
    one.init.params.temperature = temperature;
    const auto results = RunSampler({.ranks = 2}, {one})[0];
    EXPECT_EQ(results[0].status.code(), StatusCode::kInvalidArgument);
    EXPECT_EQ(results[0].status.field(), "sampling.allowed_token_ids");
  }
}

}  // namespace
}  // namespace phalanx
