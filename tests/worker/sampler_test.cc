// The sampler over vocabulary shards against a naive oracle over whole rows, in transformers'
// order.
#include "worker/sampler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <random>
#include <set>

#include "kernels/backend_factory.h"
#include "tests/worker/rank_threads.h"
#include "worker/slot_state.h"
#include "worker/token_filter.h"

namespace phalanx {
namespace {

constexpr int32_t kVocab = 1000;  // no multiple of the shard unit
constexpr float kInfinity = std::numeric_limits<float>::infinity();

using Row = std::vector<float>;

Row RandomRow(uint32_t seed, float spread = 3.0F, int32_t vocab = kVocab) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  Row row(static_cast<size_t>(vocab));
  for (float& value : row) value = normal(random);
  return row;
}

struct Case {
  SlotInit init;
  Row logits;
};

struct GroupSetup {
  int ranks = 1;
  int32_t vocab = kVocab;
  int32_t top_p_candidates = 1024;
  int num_steps = 1;  // the same logits again, with the tokens sampled so far in the state
};

// All cases in one batch; result [step][case]. Every rank must get the same.
std::vector<std::vector<SampleResult>> RunSampler(const GroupSetup& setup,
                                                  std::vector<Case> cases) {
  std::vector<std::vector<std::vector<SampleResult>>> of_rank(static_cast<size_t>(setup.ranks));
  OnEveryRank(setup.ranks, [&](Communicator& communicator) {
    const ShardSpec shard = MakeShardSpec(
        {.num_heads = 4, .num_kv_heads = 2, .intermediate_size = 256, .vocab_size = setup.vocab},
        communicator.rank(), setup.ranks);
    const auto backend = std::move(CreateBackend({.device = "cpu", .num_threads = 1})).value();
    const auto sampler = Sampler::Create({.max_num_seqs = static_cast<int32_t>(cases.size()),
                                          .vocab_size = setup.vocab,
                                          .top_p_candidates = setup.top_p_candidates},
                                         shard, *backend, communicator);
    StepPlan plan;
    for (size_t i = 0; i < cases.size(); ++i) {
      SlotInit init = cases[i].init;
      init.slot = static_cast<int32_t>(i);
      sampler->InitSlot(init);
      plan.work.push_back({.slot = init.slot,
                           .start_position = 0,
                           .tokens = {0},
                           .block_table = {0},
                           .logit_offsets = {0},
                           .sample = SequenceWork::Sample::kLast});
    }
    const int64_t width = shard.vocab.size();
    for (int step = 0; step < setup.num_steps; ++step) {
      std::vector<float> local(static_cast<size_t>(width) * cases.size() + 1);
      for (size_t i = 0; i < cases.size(); ++i) {
        std::copy_n(cases[i].logits.begin() + shard.vocab.begin, width,
                    local.begin() + static_cast<int64_t>(i) * width);
      }
      auto results = sampler->Sample(
          plan, MakeTensor(local.data(), DType::kF32, static_cast<int64_t>(cases.size()), width));
      ASSERT_TRUE(results.ok()) << results.status();
      of_rank[static_cast<size_t>(communicator.rank())].push_back(*std::move(results));
    }
  });
  for (const auto& other : of_rank) {
    for (size_t step = 0; step < other.size(); ++step) {
      for (size_t i = 0; i < cases.size(); ++i) {
        EXPECT_EQ(other[step][i].token_id, of_rank[0][step][i].token_id);
        EXPECT_EQ(other[step][i].logprobs.logprob, of_rank[0][step][i].logprobs.logprob);
      }
    }
  }
  return of_rank[0];
}

int32_t SampleOne(const GroupSetup& setup, const Case& one) {
  return RunSampler(setup, {one})[0][0].token_id;
}

// The oracle: adjusted row, then the set of tokens that may be chosen with their probabilities.
Row Adjusted(const Case& one) {
  const SamplingParams& params = one.init.params;
  Row row = one.logits;
  const auto at = [&](int32_t id) -> float& { return row[static_cast<size_t>(id)]; };
  std::map<int32_t, int> counts;
  for (const int32_t id : one.init.emitted_ids) ++counts[id];
  std::set<int32_t> seen(one.init.prompt_ids.begin(), one.init.prompt_ids.end());
  seen.insert(one.init.emitted_ids.begin(), one.init.emitted_ids.end());
  for (const auto& [id, bias] : params.logit_bias) at(id) += bias;
  for (const int32_t id : seen) {
    const float penalty = params.repetition_penalty;
    at(id) = at(id) < 0 ? at(id) * penalty : at(id) / penalty;
  }
  for (const auto& [id, count] : counts) {
    at(id) -= params.frequency_penalty * static_cast<float>(count);
    at(id) -= params.presence_penalty;
  }
  if (!params.allowed_token_ids.empty()) {
    for (int32_t id = 0; id < static_cast<int32_t>(row.size()); ++id) {
      if (std::ranges::find(params.allowed_token_ids, id) == params.allowed_token_ids.end()) {
        at(id) = -kInfinity;
      }
    }
  }
  const auto& output = one.init.emitted_ids;
  for (const auto& word : params.bad_words) {
    if (word.size() <= output.size() + 1 &&
        std::equal(word.rbegin() + 1, word.rend(), output.rbegin())) {
      at(word.back()) = -kInfinity;
    }
  }
  if (static_cast<int32_t>(output.size()) < params.min_tokens) {
    for (const int32_t id : params.eos_token_ids) at(id) = -kInfinity;
    for (const int32_t id : params.stop_token_ids) at(id) = -kInfinity;
  }
  return row;
}

std::map<int32_t, double> Distribution(const Case& one) {
  const SamplingParams& params = one.init.params;
  const Row row = Adjusted(one);
  std::vector<std::pair<double, int32_t>> order;  // (-logit / T, id) ascending
  for (size_t id = 0; id < row.size(); ++id) {
    if (row[id] == -kInfinity) continue;
    order.emplace_back(-static_cast<double>(row[id]) / static_cast<double>(params.temperature),
                       static_cast<int32_t>(id));
  }
  std::sort(order.begin(), order.end());
  if (params.top_k > 0 && order.size() > static_cast<size_t>(params.top_k)) {
    order.resize(static_cast<size_t>(params.top_k));
  }
  std::vector<double> p;
  double sum = 0.0;
  for (const auto& entry : order) sum += std::exp(order.front().first - entry.first);
  for (const auto& entry : order) p.push_back(std::exp(order.front().first - entry.first) / sum);
  if (params.top_p < 1.0F) {
    // transformers: ascending cumulative probabilities <= 1 - top_p go, the last one stays.
    double ascending = 0.0;
    size_t kept = p.size();
    for (size_t i = p.size(); i-- > 1;) {
      ascending += p[i];
      if (ascending <= 1.0 - static_cast<double>(params.top_p)) kept = i;
    }
    p.resize(kept);
  }
  size_t kept = 0;
  while (kept < p.size() && p[kept] >= static_cast<double>(params.min_p) * p[0]) ++kept;
  std::map<int32_t, double> out;
  double mass = 0.0;
  for (size_t i = 0; i < kept; ++i) mass += p[i];
  for (size_t i = 0; i < kept; ++i) out[order[i].second] = p[i] / mass;
  return out;
}

// Draws `count` tokens with rising seeds, in batches.
std::map<int32_t, int> Draw(const GroupSetup& setup, const Case& one, int count) {
  std::map<int32_t, int> drawn;
  constexpr int kBatch = 250;
  for (int first = 0; first < count; first += kBatch) {
    std::vector<Case> cases(kBatch, one);
    for (int i = 0; i < kBatch; ++i) {
      cases[static_cast<size_t>(i)].init.params.seed = static_cast<uint64_t>(first + i);
    }
    const auto results = RunSampler(setup, cases);
    for (const SampleResult& result : results[0]) ++drawn[result.token_id];
  }
  return drawn;
}

// Chi-square against `expected`; rare tokens are pooled. Fails beyond 5 standard deviations.
void ExpectFits(const std::map<int32_t, int>& drawn, const std::map<int32_t, double>& expected) {
  int count = 0;
  for (const auto& [id, times] : drawn) {
    EXPECT_TRUE(expected.contains(id)) << "token " << id << " may not be chosen";
    count += times;
  }
  double statistic = 0.0;
  double pooled_expected = 0.0;
  double pooled_drawn = 0.0;
  int cells = 0;
  const auto add = [&](double want, double got) {
    statistic += (got - want) * (got - want) / want;
    ++cells;
  };
  for (const auto& [id, probability] : expected) {
    const double want = probability * count;
    const auto it = drawn.find(id);
    const double got = it == drawn.end() ? 0.0 : it->second;
    if (want >= 5.0) {
      add(want, got);
    } else {
      pooled_expected += want;
      pooled_drawn += got;
    }
  }
  if (pooled_expected >= 5.0) add(pooled_expected, pooled_drawn);
  const double freedom = std::max(cells - 1, 1);
  EXPECT_LT(statistic, freedom + 5.0 * std::sqrt(2.0 * freedom)) << cells << " cells";
}

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
  ExpectFits(Draw({.ranks = GetParam()}, one, 20000), Distribution(one));
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
    const Row row = Adjusted(one);
    SlotState slot;
    slot.Init(one.init);
    Row adjusted = one.logits;
    std::vector<RawLogit> overwritten;
    slot.Adjust({0, kVocab}, adjusted, overwritten);
    EXPECT_EQ(adjusted, row) << "round " << round;
    for (const RawLogit& raw : overwritten) {
      EXPECT_EQ(raw.logit, one.logits[static_cast<size_t>(raw.id)]);
    }
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
    EXPECT_EQ(results[0].status.field(), "allowed_token_ids");
  }
}

}  // namespace
}  // namespace phalanx
