// The whole step loop on a small model with random weights: tokens and log-probabilities are the
// same bits whatever shares the batch, however prefill is cut, with a prefix hit or miss and after
// preemption.
#include "worker/engine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>

#include "kernels/backend_factory.h"
#include "tests/worker/rank_threads.h"

namespace phalanx {
namespace {

constexpr const char* kConfig = R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
  "hidden_size": 128, "intermediate_size": 200, "num_hidden_layers": 2, "num_attention_heads": 4,
  "num_key_value_heads": 2, "vocab_size": 500, "max_position_embeddings": 512,
  "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
  "torch_dtype": "bfloat16", "eos_token_id": 499})";

struct Answer {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  std::vector<float> prompt;
  int32_t cached_tokens = 0;
  Status status;
};

struct Scenario {
  int ranks = 1;
  int32_t max_num_tokens = 64;
  int64_t num_blocks = 200;
  int32_t max_num_seqs = 16;
  PrefixCaching prefix_caching = PrefixCaching::kOff;
};

struct Outcome {
  std::map<uint64_t, Answer> answers;
  SchedulerStats stats;
};

// Rank 0's side; the engine is shut down at the end.
using Leader = std::function<void(Engine&, Outcome&)>;

void StepOnce(Engine& engine, Outcome& outcome) {
  const auto outputs = engine.Step();
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  for (const EngineOutput& output : *outputs) {
    Answer& answer = outcome.answers[output.token.request];
    answer.status = output.status;
    if (!output.status.ok()) continue;
    EXPECT_EQ(output.token.index, static_cast<int32_t>(answer.tokens.size()));
    answer.tokens.push_back(output.token.token_id);
    answer.logprobs.push_back(output.logprobs.logprob);
    for (const TokenLogprobs& prompt : output.prompt) answer.prompt.push_back(prompt.logprob);
    if (output.token.index == 0) answer.cached_tokens = output.token.cached_tokens;
  }
}

void Finish(Engine& engine, Outcome& outcome) {
  while (engine.HasWork() && !::testing::Test::HasFatalFailure()) StepOnce(engine, outcome);
}

Outcome RunGroup(const Scenario& scenario, const Leader& leader) {
  Outcome outcome;
  const Qwen2Config config = std::move(ParseConfig(kConfig, "config.json")).value();
  OnEveryRank(scenario.ranks, [&](Communicator& communicator) {
    const auto backend = std::move(CreateBackend({.device = "cpu", .num_threads = 1})).value();
    EngineOptions options;
    PlanLimits& limits = options.scheduler.limits;
    limits = {.max_num_seqs = scenario.max_num_seqs,
              .max_num_tokens = scenario.max_num_tokens,
              .max_model_len = 512,
              .vocab_size = 500,
              .block_size = 16,
              .num_blocks = scenario.num_blocks};
    options.scheduler.prefix_caching = scenario.prefix_caching;
    ModelOptions model_options;
    model_options.load_format = LoadFormat::kDummy;
    model_options.max_num_tokens = scenario.max_num_tokens;
    model_options.load_threads = 1;
    auto model = Qwen2Model::Load("", config, model_options, *backend, communicator);
    ASSERT_TRUE(model.ok()) << model.status();
    ASSERT_TRUE(
        (*model)
            ->CreateKvCache((*model)->KvSpec(limits.num_blocks, limits.block_size, DType::kF32))
            .ok());
    const auto engine = Engine::Create(options, **model, *backend, communicator);
    if (communicator.rank() != 0) {
      EXPECT_TRUE(engine->Follow().ok());
      return;
    }
    leader(*engine, outcome);
    outcome.stats = engine->stats();
    EXPECT_TRUE(engine->Heartbeat().ok());
    EXPECT_TRUE(engine->Shutdown().ok());
  });
  return outcome;
}

EngineRequest MakeRequest(uint64_t id) {
  std::mt19937 random(static_cast<uint32_t>(id));
  EngineRequest request;
  request.id = id;
  request.group = id;
  const size_t length = 3 + random() % 150;
  while (request.prompt_ids.size() < length) {
    request.prompt_ids.push_back(static_cast<int32_t>(random() % 499));
  }
  SamplingParams& params = request.params;
  params.temperature = id % 3 == 0 ? 0.0F : 1.2F;
  params.top_p = id % 3 == 1 ? 0.9F : 1.0F;
  params.repetition_penalty = id % 2 == 0 ? 1.2F : 1.0F;
  params.seed = id;
  params.max_tokens = 40;
  params.logprobs = 1;
  params.prompt_logprobs = id % 4 == 0 ? 0 : -1;
  return request;
}

constexpr uint64_t kRequests = 8;

Outcome AllTogether(const Scenario& scenario) {
  return RunGroup(scenario, [](Engine& engine, Outcome& outcome) {
    for (uint64_t id = 1; id <= kRequests; ++id) {
      ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
      if (id % 3 == 0) StepOnce(engine, outcome);
    }
    Finish(engine, outcome);
  });
}

Outcome OneByOne(const Scenario& scenario) {
  return RunGroup(scenario, [](Engine& engine, Outcome& outcome) {
    for (uint64_t id = 1; id <= kRequests; ++id) {
      ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
      Finish(engine, outcome);
    }
  });
}

void ExpectSame(const Outcome& a, const Outcome& b) {
  ASSERT_EQ(a.answers.size(), b.answers.size());
  for (const auto& [id, answer] : a.answers) {
    const Answer& other = b.answers.at(id);
    EXPECT_EQ(answer.tokens.size(), 40U);
    EXPECT_EQ(answer.tokens, other.tokens) << "request " << id;
    EXPECT_EQ(answer.logprobs, other.logprobs) << "request " << id;
    EXPECT_EQ(answer.prompt, other.prompt) << "request " << id;
    EXPECT_EQ(answer.prompt.size(), id % 4 == 0 ? MakeRequest(id).prompt_ids.size() : 0U);
  }
}

class EngineOverRanks : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, EngineOverRanks, ::testing::Values(1, 2, 3),
                         [](const auto& info) { return fmt::format("N{}", info.param); });

TEST_P(EngineOverRanks, BatchMatesAndChunksChangeNothing) {
  const Outcome alone = OneByOne({.ranks = GetParam(), .max_num_tokens = 512});
  for (const int32_t chunk : {1, 7, 64, 512}) {
    SCOPED_TRACE(testing::Message() << "chunk " << chunk);
    ExpectSame(alone, AllTogether({.ranks = GetParam(), .max_num_tokens = chunk}));
  }
}

TEST_P(EngineOverRanks, PreemptionChangesNothing) {
  const Outcome roomy = AllTogether({.ranks = GetParam()});
  const Outcome tight = AllTogether({.ranks = GetParam(), .num_blocks = 20});
  EXPECT_EQ(roomy.stats.num_preemptions, 0);
  EXPECT_GT(tight.stats.num_preemptions, 0);
  ExpectSame(roomy, tight);
}

TEST_P(EngineOverRanks, PrefixHitsChangeNothing) {
  const Outcome cold = OneByOne({.ranks = GetParam()});
  const Outcome warm = RunGroup({.ranks = GetParam(), .prefix_caching = PrefixCaching::kOn},
                                [](Engine& engine, Outcome& outcome) {
                                  for (uint64_t id = 1; id <= kRequests; ++id) {
                                    ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
                                    Finish(engine, outcome);
                                  }
                                  outcome.answers.clear();
                                  for (uint64_t id = 1; id <= kRequests; ++id) {
                                    ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
                                  }
                                  Finish(engine, outcome);
                                });
  int32_t cached = 0;
  for (const auto& [id, answer] : warm.answers) cached += answer.cached_tokens;
  EXPECT_GT(cached, 100);
  ExpectSame(cold, warm);
}

TEST_P(EngineOverRanks, ReplayedOutputContinues) {
  const Outcome whole = OneByOne({.ranks = GetParam()});
  RunGroup({.ranks = GetParam()}, [&](Engine& engine, Outcome&) {
    for (uint64_t id = 1; id <= kRequests; ++id) {
      const Answer& want = whole.answers.at(id);
      EngineRequest request = MakeRequest(id);
      request.emitted_ids.assign(want.tokens.begin(), want.tokens.begin() + 17);
      ASSERT_TRUE(engine.Submit(std::move(request)).ok());
      std::vector<int32_t> tokens;
      std::vector<float> logprobs;
      while (engine.HasWork()) {
        const auto outputs = engine.Step();
        ASSERT_TRUE(outputs.ok());
        for (const EngineOutput& output : *outputs) {
          tokens.push_back(output.token.token_id);
          logprobs.push_back(output.logprobs.logprob);
        }
      }
      EXPECT_EQ(tokens, std::vector<int32_t>(want.tokens.begin() + 17, want.tokens.end()));
      EXPECT_EQ(logprobs, std::vector<float>(want.logprobs.begin() + 17, want.logprobs.end()));
    }
  });
}

TEST(EngineTest, CancelledRequestsLeaveTheOthersAlone) {
  const Outcome all = AllTogether({.ranks = 2});
  const Outcome some = RunGroup({.ranks = 2}, [](Engine& engine, Outcome& outcome) {
    for (uint64_t id = 1; id <= kRequests; ++id) ASSERT_TRUE(engine.Submit(MakeRequest(id)).ok());
    for (int i = 0; i < 20; ++i) StepOnce(engine, outcome);
    EXPECT_TRUE(engine.Cancel(2));
    EXPECT_FALSE(engine.Cancel(2));
    EXPECT_FALSE(engine.Cancel(77));
    const size_t before = outcome.answers[2].tokens.size();
    Finish(engine, outcome);
    EXPECT_EQ(outcome.answers[2].tokens.size(), before);
  });
  for (const auto& [id, answer] : some.answers) {
    if (id != 2) {
      EXPECT_EQ(answer.tokens, all.answers.at(id).tokens);
    }
  }
}

TEST(EngineTest, WhatCanNeverRunIsRefusedByField) {
  RunGroup({.ranks = 1, .num_blocks = 4}, [](Engine& engine, Outcome&) {
    EngineRequest request = MakeRequest(1);
    request.prompt_ids = {1, 2, 3};
    request.params.max_tokens = 4000;
    EXPECT_EQ(engine.Submit(request).field(), "max_tokens");
    request.prompt_ids.clear();
    EXPECT_EQ(engine.Submit(request).field(), "prompt");
    EXPECT_FALSE(engine.HasWork());
  });
}

}  // namespace
}  // namespace phalanx
