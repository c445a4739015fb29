// What a model takes of a device's memory: everything before its first step, under names, and what
// it says where that is not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <numeric>
#include <string>

#include "kernels/backend.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulated_device.h"
#include "model/model.h"
#include "parallel/single_communicator.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;

constexpr int64_t kBlockSize = 16;
constexpr int64_t kRows = 40;
constexpr int64_t kSeqs = 7;
constexpr int64_t kLogitRows = 9;
constexpr int64_t kBlocksPerSeq = 4;
constexpr int32_t kVocabSize = 500;

Qwen2Config SmallConfig() {
  constexpr const char* kConfig = R"({"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2",
    "hidden_size": 128, "intermediate_size": 200, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "vocab_size": 500, "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu", "tie_word_embeddings": true,
    "torch_dtype": "bfloat16", "eos_token_id": 499})";
  return std::move(ParseConfig(kConfig, "config.json")).value();
}

// The model on an emulated device that the test keeps sight of.
struct Loaded {
  explicit Loaded(size_t memory_bytes, Numerics numerics = Numerics::kExact,
                  OpProfile profile = OpProfile::kOff) {
    auto opened = std::move(cuda::emulated::OpenEmulatedDevice(memory_bytes, 1)).value();
    device = opened.get();
    backend = cuda::emulated::CreateCudaBackend({.numerics = numerics, .op_profile = profile},
                                                std::move(opened));
    ModelOptions options;
    options.load_format = LoadFormat::kDummy;
    options.max_num_tokens = kRows;
    options.max_num_logit_rows = kLogitRows;
    options.max_num_seqs = kSeqs;
    options.block_size = kBlockSize;
    options.load_threads = 2;
    auto created = Qwen2Model::Load("", SmallConfig(), options, *backend, *communicator);
    status = created.status();
    if (!created.ok()) return;
    model = std::move(created).value();
    status = model->CreateKvCache(model->KvSpec(kSeqs * kBlocksPerSeq, kBlockSize, DType::kBF16));
  }

  // `rows` new tokens of each sequence at position 0, the last rows' logits.
  Status Step(int64_t num_seqs, int64_t rows, int64_t num_logit_rows, int32_t first_block = 0) {
    std::vector<int32_t> ids;
    std::vector<int32_t> positions;
    std::vector<int32_t> seq_of_token;
    std::vector<int32_t> row_start = {0};
    for (int64_t s = 0; s < num_seqs; ++s) {
      for (int64_t i = 0; i < rows; ++i) {
        ids.push_back(static_cast<int32_t>(7 * s + i));
        positions.push_back(static_cast<int32_t>(i));
        seq_of_token.push_back(static_cast<int32_t>(s));
      }
      row_start.push_back(static_cast<int32_t>(ids.size()));
    }
    std::vector<int32_t> blocks(static_cast<size_t>(num_seqs * kBlocksPerSeq));
    std::iota(blocks.begin(), blocks.end(), first_block);
    std::vector<int32_t> logit_rows(static_cast<size_t>(num_logit_rows));
    std::iota(logit_rows.begin(), logit_rows.end(),
              static_cast<int32_t>(num_seqs * rows - num_logit_rows));
    const StepScope scope(*backend);
    PHALANX_ASSIGN_OR_RETURN(
        const TensorView logits,
        model->Forward({.token_ids = ids,
                        .batch = {num_seqs * rows, num_seqs, kBlocksPerSeq, positions.data(),
                                  seq_of_token.data(), row_start.data(), blocks.data()},
                        .logit_rows = logit_rows}));
    return Choose(logits);
  }

  // As sampling does: as many tokens adjusted as a sequence can have, all at once where it is new
  // and `num_changed` of them later; then what top-p and log-probabilities take.
  Status Choose(const TensorView& logits) {
    std::vector<RowAdjustment> adjustments;
    std::vector<CandidateTask> tasks;
    const std::vector<uint32_t> mask(kVocabSize / 32 + 1, 0xfffffffeU);
    for (int64_t row = 0; row < logits.rows; ++row) {
      adjustments.push_back({.row = row,
                             .slot = static_cast<int32_t>(row % kSeqs),
                             .tokens = adjusted,
                             .changed = std::span(indices).first(num_changed),
                             .repetition_penalty = 1.2F,
                             .presence_penalty = 0.5F,
                             .mask = mask,
                             .bans = std::span(indices).first(1)});
      for (const int32_t top_k : {20, kTopPCandidates}) {
        tasks.push_back({.row = row, .top_k = std::min<int32_t>(top_k, kVocabSize)});
      }
    }
    std::vector<CandidateResult> results(tasks.size());
    backend->AdjustLogits(logits, 0, adjustments);
    backend->SelectCandidates(logits, 0, tasks, results);
    PHALANX_RETURN_IF_ERROR(backend->Finish());
    for (const CandidateResult& result : results) {
      for (const Candidate& candidate : result.candidates) EXPECT_NE(candidate.id, 0);
    }
    return OkStatus();
  }

  // Every token of the vocabulary, as a long sequence's.
  void AdjustAll() {
    indices.clear();
    for (int32_t id = 0; id < kVocabSize; ++id) {
      adjusted.push_back({.id = id, .count = 1, .seen = TokenAdjustment::Seen::kYes});
      indices.push_back(id);
    }
    num_changed = indices.size();
  }

  std::vector<TokenAdjustment> adjusted;
  std::vector<int32_t> indices = {0};
  size_t num_changed = 0;
  std::unique_ptr<Communicator> communicator = MakeSingleCommunicator();
  cuda::emulated::Device* device = nullptr;
  std::unique_ptr<Backend> backend;
  std::unique_ptr<Qwen2Model> model;
  Status status;
};

constexpr size_t kEnough = size_t{1} << 30;

TEST(CudaMemoryTest, NoStepAllocates) {
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    Loaded loaded(kEnough, numerics);
    ASSERT_TRUE(loaded.status.ok()) << loaded.status;
    const int64_t allocated = loaded.device->num_allocations();
    ASSERT_GT(allocated, 0);
    // The largest steps by rows, by sequences, by logits, and small ones between them.
    for (const auto& [seqs, rows, logits] :
         {std::tuple{1, 40, 9}, {1, 1, 1}, {5, 8, 5}, {7, 1, 7}, {7, 5, 9}, {2, 20, 0}}) {
      const Status status = loaded.Step(seqs, rows, logits);
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(loaded.device->num_allocations(), allocated);
    }
  }
}

// Sequences with penalties that have used the whole vocabulary, that come, go on and come again.
TEST(CudaMemoryTest, NoStepWithPenaltiesOnLongSequencesAllocates) {
  Loaded loaded(kEnough);
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  const int64_t allocated = loaded.device->num_allocations();
  loaded.AdjustAll();
  for (const size_t num_changed : {loaded.indices.size(), size_t{1}, loaded.indices.size()}) {
    loaded.num_changed = num_changed;
    for (const int64_t num_seqs : {kSeqs, int64_t{2}}) {
      const Status status = loaded.Step(num_seqs, 3, num_seqs);
      EXPECT_TRUE(status.ok()) << status;
      EXPECT_EQ(loaded.device->num_allocations(), allocated);
    }
  }
}

TEST(CudaMemoryTest, EverythingHasAName) {
  Loaded loaded(kEnough);
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  int64_t on_device = 0;
  std::vector<std::string> names;
  for (const MemoryUse& use : loaded.backend->Memory()) {
    names.push_back(use.name);
    if (use.where == MemoryUse::Where::kDevice) on_device += use.bytes;
  }
  EXPECT_EQ(on_device, static_cast<int64_t>(kEnough) - loaded.device->FreeBytes());
  EXPECT_THAT(names, ::testing::IsSupersetOf(
                         {"KV cache", "rope table", "step arrays", "step arrays to send",
                          "results for the host", "residual stream", "logits",
                          "raw logits of adjusted rows", "attention's partial results",
                          "adjusted tokens of slots", "a step's adjustments",
                          "a step's adjustments to send", "sampling's tasks", "summaries of logits",
                          "maxima of logits", "candidates of a step", "candidates received",
                          "model.layers.*.mlp.gate_proj.weight", "model.embed_tokens.weight"}));
  // Weights have been sent.
  EXPECT_THAT(names, ::testing::Not(::testing::Contains("weights to send")));
}

// Whatever is the first that does not fit, it is named, with its size and what is free.
TEST(CudaMemoryTest, WhatDoesNotFitIsNamed) {
  Loaded whole(kEnough);
  const auto used = kEnough - static_cast<size_t>(whole.device->FreeBytes());
  const Status kv_cache = Loaded(used - 1).status;
  EXPECT_THAT(kv_cache.message(),
              ::testing::MatchesRegex("KV cache: cannot allocate [0-9]+ bytes, [0-9]+ of [0-9]+ "
                                      "are free"));
  EXPECT_EQ(kv_cache.code(), StatusCode::kResourceExhausted);
  EXPECT_THAT(Loaded(size_t{100} << 10).status.message(),
              ::testing::MatchesRegex("model\\..*: cannot allocate [0-9]+ bytes, [0-9]+ of 102400 "
                                      "are free"));
  for (size_t left = 0; left < used; left += used / 40) {
    const Status status = Loaded(left).status;
    EXPECT_EQ(status.code(), StatusCode::kResourceExhausted) << left;
    EXPECT_THAT(status.message(), HasSubstr(": cannot allocate ")) << left;
  }
}

// A block that the pool does not have: what a broken scheduler would ask for.
TEST(CudaMemoryTest, AFailedKernelIsNamedAndNothingRunsBehindIt) {
  Loaded loaded(kEnough);
  ASSERT_TRUE(loaded.Step(2, 3, 2).ok());
  const Status status = loaded.Step(2, 3, 2, 1 << 20);
  EXPECT_EQ(status.code(), StatusCode::kInternal);
  EXPECT_THAT(status.message(), HasSubstr("qkv_rope_append"));
  const auto launches = loaded.device->stream().executor().launches();
  EXPECT_EQ(loaded.Step(2, 3, 2), status);
  EXPECT_EQ(loaded.device->stream().executor().launches(), launches);
}

// Layers are 2; each step has one embedding and one final norm.
TEST(CudaProfileTest, EveryOpOfAStepIsTimed) {
  Loaded loaded(kEnough, Numerics::kExact, OpProfile::kOn);
  ASSERT_TRUE(loaded.status.ok()) << loaded.status;
  ASSERT_TRUE(loaded.Step(2, 3, 2).ok());
  ASSERT_TRUE(loaded.Step(1, 5, 1).ok());
  std::map<std::string, int64_t> calls;
  double in_ops = 0;
  double in_steps = 0;
  for (const OpTime& time : loaded.backend->TakenTimes()) {
    calls[time.name] = time.calls;
    EXPECT_GE(time.seconds, 0) << time.name;
    (time.name == kWholeStep ? in_steps : in_ops) += time.seconds;
  }
  EXPECT_GE(in_steps, in_ops);
  EXPECT_THAT(
      calls,
      ::testing::UnorderedElementsAre(
          ::testing::Pair("step", 2), ::testing::Pair("upload", 2), ::testing::Pair("embedding", 2),
          ::testing::Pair("rms_norm", 2), ::testing::Pair("add_rms_norm", 8),
          ::testing::Pair("linear model.layers.*.self_attn.q_proj.weight", 4),
          ::testing::Pair("qkv_rope_append", 4), ::testing::Pair("paged_attention", 4),
          ::testing::Pair("linear model.layers.*.self_attn.o_proj.weight", 4),
          ::testing::Pair("gate_up_swiglu model.layers.*.mlp.gate_proj.weight", 4),
          ::testing::Pair("linear model.layers.*.mlp.down_proj.weight", 4),
          ::testing::Pair("gather_rows", 4), ::testing::Pair("linear model.embed_tokens.weight", 2),
          ::testing::Pair("adjust_logits", 2), ::testing::Pair("select_candidates", 2)));
}

TEST(CudaProfileTest, NobodyAsked) {
  Loaded loaded(kEnough);
  ASSERT_TRUE(loaded.Step(2, 3, 2).ok());
  EXPECT_TRUE(loaded.backend->TakenTimes().empty());
}

}  // namespace
}  // namespace phalanx
