// Which kernels the sampler launches on a CUDA device, and that it allocates nothing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulated_device.h"
#include "parallel/single_communicator.h"
#include "tests/testing/inputs.h"
#include "tests/worker/sampler_group.h"

namespace phalanx {
namespace {

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
