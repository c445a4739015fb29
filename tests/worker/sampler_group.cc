#include "tests/worker/sampler_group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/backend_factory.h"
#include "tests/testing/inputs.h"
#include "tests/worker/rank_threads.h"

namespace phalanx {

Row RandomRow(uint32_t seed, float spread, int32_t vocab) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, spread);
  Row row(static_cast<size_t>(vocab));
  for (float& value : row) value = normal(random);
  return row;
}

std::vector<uint32_t> RandomMask(std::mt19937& random) {
  std::vector<uint32_t> mask((kVocab + 31) / 32);
  for (uint32_t& word : mask) {
    const auto bits = static_cast<uint32_t>(random());
    word = bits % 3 == 0 ? 0 : bits % 3 == 1 ? ~uint32_t{0} : bits;
  }
  return mask;
}

std::vector<std::vector<SampleResult>> RunSampler(const GroupSetup& setup,
                                                  std::vector<Case> cases) {
  std::vector<std::vector<std::vector<SampleResult>>> of_rank(static_cast<size_t>(setup.ranks));
  OnEveryRank(setup.ranks, [&](Communicator& communicator) {
    const ShardSpec shard = MakeShardSpec(
        {.num_heads = 4, .num_kv_heads = 2, .intermediate_size = 256, .vocab_size = setup.vocab},
        communicator.rank(), setup.ranks);
    const auto backend =
        std::move(CreateBackend({.device = setup.device, .num_threads = 1})).value();
    const Status prepared = backend->PrepareSteps(
        testing::SamplingLimits(static_cast<int64_t>(cases.size()), shard.vocab.size()));
    ASSERT_TRUE(prepared.ok()) << prepared;
    const auto num_rows = static_cast<int64_t>(cases.size());
    const auto kept =
        std::move(
            backend->Allocate(static_cast<size_t>(num_rows * shard.vocab.size()) * sizeof(float),
                              "kept logits"))
            .value();
    const auto sampler = Sampler::Create(
        {.max_num_seqs = static_cast<int32_t>(cases.size()),
         .vocab_size = setup.vocab,
         .top_p_candidates = setup.top_p_candidates,
         .kept_logits = MakeTensor(kept->data(), DType::kF32, num_rows, shard.vocab.size())},
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
    TokenMasks masks(setup.vocab);
    for (const Case& one : cases) {
      if (one.init.params.constraint == Constraint::kMask) {
        std::copy(one.mask.begin(), one.mask.end(), masks.Add().begin());
      }
    }
    const int64_t width = shard.vocab.size();
    for (int step = 0; step < setup.num_steps; ++step) {
      std::vector<float> local(static_cast<size_t>(width) * cases.size() + 1);
      for (size_t i = 0; i < cases.size(); ++i) {
        std::copy_n(cases[i].logits.begin() + shard.vocab.begin, width,
                    local.begin() + static_cast<int64_t>(i) * width);
      }
      const size_t bytes = local.size() * sizeof(float);
      const auto logits = std::move(backend->Allocate(bytes, "logits")).value();
      backend->CopyToDevice(logits->data(), local.data(), bytes);
      auto results = sampler->Sample(
          plan, MakeTensor(logits->data(), DType::kF32, static_cast<int64_t>(cases.size()), width),
          masks);
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
  if (params.constraint == Constraint::kMask) {
    for (int32_t id = 0; id < static_cast<int32_t>(row.size()); ++id) {
      if ((one.mask[static_cast<size_t>(id) / 32] >> (id % 32) & 1) == 0) at(id) = -kInfinity;
    }
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

}  // namespace phalanx
