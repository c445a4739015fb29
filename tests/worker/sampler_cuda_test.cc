// The sampler on an emulated CUDA device beside the same on the CPU: with the same logits, the same
// tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulated_device.h"
#include "parallel/single_communicator.h"
#include "tests/testing/inputs.h"
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

class CudaSamplerTest : public ::testing::TestWithParam<int> {};
INSTANTIATE_TEST_SUITE_P(Ranks, CudaSamplerTest, ::testing::Values(1, 2, 3, 17),
                         [](const auto& info) { return fmt::format("N{}", info.param); });

TEST_P(CudaSamplerTest, ChoosesTheTokensOfTheCpu) {
  // Few candidates of top-p, so that whole rows are gathered, too. Of many ranks, the last ones
  // hold nothing.
  GroupSetup setup{
      .ranks = GetParam(), .top_p_candidates = 12, .num_steps = GetParam() > 3 ? 1 : 4};
  const std::vector<Case> cases = MixedCases();
  const auto expected = RunSampler(setup, cases);
  setup.device = "cuda-emulated";
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

TEST(CudaSamplerEdgesTest, NanEndsOnlyItsOwnRequest) {
  std::vector<Case> cases(3, {.init = {}, .logits = RandomRow(7)});
  cases[1].logits[400] = std::nanf("");
  const auto results = RunSampler({.ranks = 2, .device = "cuda-emulated"}, cases);
  EXPECT_EQ(results[0][1].status.code(), StatusCode::kInternal);
  for (const size_t i : {0, 2}) EXPECT_GE(results[0][i].token_id, 0);
}

// A kernel that no step launches is tested for nothing.
TEST(CudaSamplerKernelsTest, AllRunAndNothingIsAllocated) {
  auto opened = std::move(cuda::emulated::OpenEmulatedDevice(size_t{1} << 30, 1)).value();
  const cuda::emulated::Device* const device = opened.get();
  const cuda::emulation::Executor& executor = opened->stream().executor();
  const auto backend = cuda::emulated::CreateCudaBackend({}, std::move(opened));
  ASSERT_TRUE(backend->PrepareSteps(testing::SamplingLimits(1, kVocab)).ok());
  const auto communicator = MakeSingleCommunicator();
  const ShardSpec shard = MakeShardSpec(
      {.num_heads = 4, .num_kv_heads = 2, .intermediate_size = 256, .vocab_size = kVocab}, 0, 1);
  const auto kept = std::move(backend->Allocate(kVocab * sizeof(float), "kept logits")).value();
  const auto sampler =
      Sampler::Create({.max_num_seqs = 1,
                       .vocab_size = kVocab,
                       .kept_logits = MakeTensor(kept->data(), DType::kF32, 1, kVocab)},
                      shard, *backend, *communicator);
  SlotInit init;
  init.params.temperature = 0.8F;
  init.params.logprobs = 2;
  init.params.presence_penalty = 0.5F;
  init.params.allowed_token_ids = {5, 9, 700};
  init.params.bad_words = {{9}};
  sampler->InitSlot(init);
  StepPlan plan;
  plan.work.push_back({.tokens = {0},
                       .block_table = {0},
                       .logit_offsets = {0},
                       .sample = SequenceWork::Sample::kLast});
  const Row row = RandomRow(8);
  const auto logits = std::move(backend->Allocate(row.size() * sizeof(float), "logits")).value();
  const TensorView view = MakeTensor(logits->data(), DType::kF32, 1, kVocab);
  // A client decides what a step computes, but never what it takes.
  const int64_t allocated = device->num_allocations();
  for (int step = 0; step < 2; ++step) {
    backend->CopyToDevice(logits->data(), row.data(), row.size() * sizeof(float));
    const auto results = sampler->Sample(plan, view, TokenMasks(kVocab));
    ASSERT_TRUE(results.ok()) << results.status();
    EXPECT_THAT(results->front().token_id, ::testing::AnyOf(5, 700));
    EXPECT_EQ(results->front().logprobs.top.size(), 2U);
    EXPECT_EQ(device->num_allocations(), allocated);
  }
  std::vector<std::string> launched;
  for (const auto& [name, count] : executor.launches()) launched.push_back(name);
  EXPECT_THAT(launched,
              ::testing::ElementsAre("adjust_tokens", "ban_tokens", "keep_rows", "mask_tokens",
                                     "select_candidates", "summarize_logits", "update_tokens"));
}

}  // namespace
}  // namespace phalanx
