#include "tests/worker/engine_ranks.h"

#include <gtest/gtest.h>

#include <bit>

#include "tests/worker/rank_threads.h"

namespace phalanx {
namespace {

constexpr int32_t kBlockSize = 16;

LogprobBits BitsOf(const TokenLogprobs& logprobs) {
  LogprobBits bits = {static_cast<uint32_t>(logprobs.token_id),
                      std::bit_cast<uint32_t>(logprobs.logprob),
                      static_cast<uint32_t>(logprobs.rank)};
  for (const TokenAlternative& token : logprobs.top) {
    bits.push_back(static_cast<uint32_t>(token.token_id));
    bits.push_back(std::bit_cast<uint32_t>(token.logprob));
  }
  return bits;
}

EngineOptions OptionsOf(const EngineModel& model, const EngineRun& run) {
  EngineOptions options;
  options.scheduler.limits = {
      .max_num_seqs = run.max_num_seqs,
      .max_num_tokens = run.max_num_tokens,
      .max_model_len = static_cast<int32_t>(model.config.max_position_embeddings),
      .vocab_size = static_cast<int32_t>(model.config.vocab_size),
      .block_size = kBlockSize,
      .num_blocks = run.num_blocks};
  options.scheduler.prefix_caching = run.prefix_caching;
  return options;
}

}  // namespace

Qwen2Config SmallConfig() {
  constexpr const char* kConfig = R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 128, "intermediate_size": 200, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 500, "max_position_embeddings": 512,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "eos_token_id": 499})";
  return std::move(ParseConfig(kConfig, "config.json")).value();
}

void RunEngines(const EngineModel& model, const std::vector<EngineRun>& runs) {
  OnEveryRank(model.ranks, [&](Communicator& communicator) {
    const auto backend = CreateBackend(model.backend);
    ASSERT_TRUE(backend.ok()) << backend.status();
    ModelOptions options;
    if (model.model_dir.empty()) options.load_format = LoadFormat::kDummy;
    options.max_num_tokens = model.max_num_tokens;
    options.load_threads = 1;
    const auto loaded =
        Qwen2Model::Load(model.model_dir, model.config, options, **backend, communicator);
    ASSERT_TRUE(loaded.ok()) << loaded.status();
    const KvCacheSpec spec = (*loaded)->KvSpec(model.num_blocks, kBlockSize, DType::kF32);
    ASSERT_TRUE((*loaded)->CreateKvCache(spec).ok());
    for (const EngineRun& run : runs) {
      const auto engine = Engine::Create(OptionsOf(model, run), **loaded, **backend, communicator);
      if (run.warm_up == EngineRun::WarmUp::kYes) {
        EXPECT_TRUE(engine->WarmUp().ok());
      }
      if (communicator.rank() != 0) {
        EXPECT_TRUE(engine->Follow().ok());
        continue;
      }
      run.leader(*engine);
      EXPECT_TRUE(engine->Heartbeat().ok());
      EXPECT_TRUE(engine->Shutdown().ok());
    }
  });
}

void StepOnce(Engine& engine, Answers& answers) {
  const auto outputs = engine.Step();
  ASSERT_TRUE(outputs.ok()) << outputs.status();
  for (const EngineOutput& output : *outputs) {
    Answer& answer = answers[output.token.request];
    answer.status = output.status;
    if (!output.status.ok()) continue;
    if (answer.tokens.empty()) {
      answer.first_index = output.token.index;
      answer.cached_tokens = output.token.cached_tokens;
    }
    EXPECT_EQ(output.token.index - answer.first_index, static_cast<int32_t>(answer.tokens.size()));
    answer.tokens.push_back(output.token.token_id);
    answer.logprobs.push_back(BitsOf(output.logprobs));
    for (const TokenLogprobs& prompt : output.prompt) answer.prompt.push_back(BitsOf(prompt));
  }
}

void Finish(Engine& engine, Answers& answers) {
  while (engine.HasWork() && !::testing::Test::HasFatalFailure()) StepOnce(engine, answers);
}

}  // namespace phalanx
