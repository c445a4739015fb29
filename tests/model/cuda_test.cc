// Which of the CUDA kernels serving launches.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <random>
#include <set>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/emulated_device.h"
#include "parallel/nccl_collectives.h"
#include "parallel/single_communicator.h"
#include "tests/model/model_group.h"

namespace phalanx {
namespace {

using testing::GroupOptions;

const char* const kModel = PHALANX_SOURCE_DIR "/launch/demo/model";

GroupOptions Options() {
  GroupOptions options;
  options.model_dir = kModel;
  options.config = std::move(LoadConfig(kModel)).value();
  options.model.max_num_tokens = 256;
  options.model.max_num_logit_rows = 64;
  options.model.load_threads = 1;
  return options;
}

std::vector<int32_t> RandomIds(size_t count, uint32_t seed) {
  std::mt19937 generator(seed);
  std::vector<int32_t> ids(count);
  for (int32_t& id : ids) id = static_cast<int32_t>(generator() % 500);
  return ids;
}

// A kernel that no step launches is tested for nothing.
TEST(CudaKernelsTest, AllServingKernelsRun) {
  std::set<std::string> launched;
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    auto device = std::move(cuda::emulated::OpenEmulatedDevice(size_t{1} << 30, 1)).value();
    const cuda::emulation::Executor& executor = device->stream().executor();
    const auto backend = cuda::emulated::CreateCudaBackend(
        {.activation_dtype = DType::kBF16, .numerics = numerics}, std::move(device));
    const auto communicator = MakeSingleCommunicator();
    const auto collectives =
        std::move(CreateNcclCollectives(
                      {.library = std::move(NcclLibrary::Load(PHALANX_NCCL_STAND_IN)).value(),
                       .stream = backend->device_queue()->stream_handle()},
                      *communicator))
            .value();
    GroupOptions options = Options();
    options.model.device_collectives = collectives.get();
    options.model.numerics = numerics;
    const auto model =
        std::move(Qwen2Model::Load(kModel, options.config, options.model, *backend, *communicator))
            .value();
    constexpr int64_t kBlocks = 32;
    ASSERT_TRUE(model->CreateKvCache(model->KvSpec(kBlocks, 16, DType::kBF16)).ok());
    const std::vector<int32_t> row_logits = {0};
    std::vector<int32_t> blocks(kBlocks);
    std::iota(blocks.begin(), blocks.end(), 0);
    // A long prompt in two chunks, and a token behind it.
    int32_t begin = 0;
    for (const int32_t count : {256, 20, 1}) {
      const std::vector<int32_t> ids = RandomIds(static_cast<size_t>(count), 4);
      std::vector<int32_t> positions(ids.size());
      std::iota(positions.begin(), positions.end(), begin);
      const std::vector<int32_t> seq_of_token(ids.size(), 0);
      const std::vector<int32_t> row_start = {0, count};
      const auto logits =
          model->Forward({.token_ids = ids,
                          .batch = {count, 1, kBlocks, positions.data(), seq_of_token.data(),
                                    row_start.data(), blocks.data()},
                          .logit_rows = row_logits});
      ASSERT_TRUE(logits.ok()) << logits.status();
      begin += count;
    }
    for (const auto& [name, count] : executor.launches()) launched.insert(name);
  }
  EXPECT_THAT(launched, ::testing::UnorderedElementsAre(
                            "add_rms_norm", "attention_combine", "attention_decode",
                            "attention_prefill", "embedding", "gather_rows", "gemm", "gemv",
                            "qkv_rope_append", "sum_parts", "sum_splits"));
}

}  // namespace
}  // namespace phalanx
