// What ranks agree on before they serve, and how the KV pool is sized.
#include "worker/group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "kernels/backend_factory.h"
#include "parallel/liveness.h"
#include "parallel/single_communicator.h"
#include "tests/model/checkpoint_writer.h"
#include "tests/worker/rank_threads.h"
#include "worker/agreement.h"
#include "worker/host.h"
#include "worker/kv_pool.h"
#include "worker/rank_stats.h"

namespace phalanx {
namespace {

TEST(AgreementTest, TheLowestFailingRankSpeaksForAll) {
  OnEveryRank(4, [](Communicator& ranks) {
    EXPECT_TRUE(AgreeOnStatus(ranks, OkStatus()).ok());
    const Status mine =
        ranks.rank() >= 2 ? InvalidField("--threads", ranks.rank(), "none") : OkStatus();
    const Status agreed = AgreeOnStatus(ranks, mine);
    EXPECT_EQ(agreed.message(), "rank 2: --threads: is 2, allowed: none");
    EXPECT_EQ(agreed.field(), "--threads");
    EXPECT_EQ(agreed.code(), StatusCode::kInvalidArgument);
  });
}

TEST(AgreementTest, TakesTheBestInstructionSetThatAllHave) {
  OnEveryRank(3, [](Communicator& ranks) {
    std::vector<std::string> offered = {"avx2", "portable"};
    if (ranks.rank() != 1) offered.insert(offered.begin(), "avx512");
    const StatusOr<std::string> isa = AgreeOnIsa(ranks, offered);
    ASSERT_TRUE(isa.ok());
    EXPECT_EQ(*isa, "avx2");
    EXPECT_EQ(AgreeOnIsa(ranks, {ranks.rank() == 0 ? "avx2" : "avx512"}).status().code(),
              StatusCode::kFailedPrecondition);
  });
}

TEST(AgreementTest, NamesWhatDiffers) {
  OnEveryRank(3, [](Communicator& ranks) {
    EXPECT_TRUE(AgreeOnValues(ranks, {{"ranks", "3"}, {"isa", "avx2"}}).ok());
    const Status status =
        AgreeOnValues(ranks, {{"isa", "avx2"}, {"config", ranks.rank() == 2 ? "beef" : "cafe"}});
    EXPECT_EQ(status.message(),
              "ranks disagree on config: rank 0 has cafe, rank 2 has beef; all must have the same");
    EXPECT_EQ(*AgreeOnMinimum(ranks, 10 - ranks.rank()), 8);
  });
}

TEST(GroupTest, StepsTakeWhatIsComputedInTime) {
  Qwen2Config small;  // of the 0.5B shape
  small.vocab_size = 151'936;
  small.hidden_size = 896;
  small.intermediate_size = 4864;
  small.num_layers = 24;
  small.num_heads = 14;
  small.num_kv_heads = 2;
  small.head_dim = 64;
  // A slow machine's steps do not grow with the sequences that it may run.
  EXPECT_LT(DefaultStepTokens(small, "portable", 1, 1), 64);
  EXPECT_EQ(DefaultStepTokens(small, "portable", 1, 16),
            std::max(16, DefaultStepTokens(small, "portable", 1, 1)));
  EXPECT_EQ(DefaultStepTokens(small, "portable", 1, 64), 64);
  EXPECT_EQ(DefaultStepTokens(small, "portable", 1, 256), 64);
  EXPECT_EQ(DefaultStepTokens(small, "avx512", 10'000, 256), 2048);
  EXPECT_EQ(DefaultGpuStepTokens(256), 2048);
  EXPECT_EQ(DefaultGpuStepTokens(3000), 3000);
}

TEST(GroupTest, EveryRankGetsTheSameErrorForAMissingModel) {
  OnEveryRank(2, [](Communicator& ranks) {
    GroupOptions options;
    options.model = "/nonexistent/model";
    const StatusOr<Group> group = StartGroup(options, ranks);
    ASSERT_FALSE(group.ok());
    EXPECT_NE(group.status().message().find("rank 0: "), std::string::npos);
    EXPECT_NE(group.status().message().find("/nonexistent/model"), std::string::npos);
  });
}

// A small model on an emulated device, dummy weights.
class DeviceGroupTest : public ::testing::Test {
 protected:
  void SetUp() override {
    const std::vector<std::string> devices = AvailableDevices();
    if (std::find(devices.begin(), devices.end(), "cuda-emulated") == devices.end()) {
      GTEST_SKIP() << "this build has no emulated device";
    }
    WriteConfig(64);
    options_.model = dir_.path();
    options_.device = "cuda-emulated";
    options_.load_format = LoadFormat::kDummy;
    options_.threads = 1;
    options_.max_num_seqs = 4;
    options_.max_num_batched_tokens = 24;
  }
  void WriteConfig(int head_dim) const {
    testing::WriteFile(dir_.path() / "config.json", fmt::format(R"({{
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": 128,
        "intermediate_size": 200, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": {}, "vocab_size": 500,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": true, "torch_dtype": "bfloat16",
        "eos_token_id": 499}})",
                                                                head_dim));
  }
  StatusOr<Group> Start() const { return StartGroup(options_, *communicators_.front()); }
  // What every rank of two is told.
  void ExpectError(const std::string& message) const {
    OnEveryRank(2, [&](Communicator& ranks) {
      const Status status = StartGroup(options_, ranks).status();
      EXPECT_THAT(status.message(), ::testing::MatchesRegex(message));
    });
  }

  testing::TempDir dir_;
  GroupOptions options_;
  std::vector<std::unique_ptr<Communicator>> communicators_ = MakeThreadGroup(1);
};

// A lonely rank waits for nobody on the host.
TEST_F(DeviceGroupTest, TheDevicesTimeInCollectivesCountsAsTheRanks) {
  options_.nccl_library = PHALANX_NCCL_STAND_IN;
  for (const DeviceSums sums : {DeviceSums::kHost, DeviceSums::kNccl}) {
    const auto board = MakeLonelyLivenessBoard();
    options_.board = board.get();
    options_.device_sums = sums;
    const auto communicator = MakeSingleCommunicator();
    StatusOr<Group> group = StartGroup(options_, *communicator);
    ASSERT_TRUE(group.ok()) << group.status();
    ASSERT_EQ(WarmUp(*group), OkStatus());
    const uint64_t collective_ns = board->mine().collective_ns;
    if (sums == DeviceSums::kHost) {
      EXPECT_EQ(collective_ns, 0U);
    } else {
      EXPECT_GT(collective_ns, 0U);
      EXPECT_LT(collective_ns, board->mine().step_ns.load());
    }
  }
}

TEST_F(DeviceGroupTest, ThePoolIsAShareOfWhatTheLargestStepLeaves) {
  // So little that the pool is all of it.
  constexpr int64_t kMemoryBytes = int64_t{5} << 20;
  options_.emulated_memory_bytes = size_t{kMemoryBytes};
  options_.max_num_seqs = 256;
  for (const double fraction : {0.9, 0.5}) {
    options_.memory_fraction = fraction;
    const StatusOr<Group> group = Start();
    ASSERT_TRUE(group.ok()) << group.status();
    int64_t besides = 0;
    for (const MemoryUse& use : group->backend->Memory()) {
      if (use.where == MemoryUse::Where::kDevice && use.name != "KV cache") besides += use.bytes;
    }
    const double room = fraction * static_cast<double>(kMemoryBytes - besides);
    constexpr double kBlockBytes = 2 * 2 * 16 * 64 * 2;  // K and V, layers, slots, dims, bytes
    EXPECT_LE(static_cast<double>(group->kv_bytes), room);
    EXPECT_GT(static_cast<double>(group->kv_bytes), room - kBlockBytes);
    EXPECT_LT(group->scheduler.limits.num_blocks, 32 * 256);  // else memory was not what bounds it
  }
}

TEST_F(DeviceGroupTest, WhatARankHoldsIsToldTheRanksOfItsHost) {
  options_.emulated_memory_bytes = size_t{8} << 20;
  const auto board = MakeLonelyLivenessBoard();
  options_.board = board.get();
  StatusOr<Group> group = Start();
  ASSERT_TRUE(group.ok()) << group.status();
  ASSERT_TRUE(WarmUp(*group).ok());
  int64_t reserved = 0;
  for (const MemoryUse& use : group->backend->Memory()) {
    if (use.where == MemoryUse::Where::kDevice) reserved += use.bytes;
  }
  const std::vector<RankStats> ranks = ReadRankStats(*board);
  ASSERT_EQ(ranks.size(), 1U);
  EXPECT_EQ(ranks[0].kv_cache_bytes, group->kv_bytes);
  ASSERT_TRUE(ranks[0].device.has_value());
  EXPECT_EQ(ranks[0].device->reserved_bytes, reserved);
  EXPECT_GT(reserved, group->kv_bytes);
  EXPECT_EQ(ranks[0].device->free_bytes, *group->backend->FreeMemoryBytes());
}

TEST_F(DeviceGroupTest, ARankWithoutADeviceTellsOfNone) {
  options_.device = "cpu";
  const auto board = MakeLonelyLivenessBoard();
  options_.board = board.get();
  StatusOr<Group> group = Start();
  ASSERT_TRUE(group.ok()) << group.status();
  ASSERT_TRUE(WarmUp(*group).ok());
  const std::vector<RankStats> ranks = ReadRankStats(*board);
  ASSERT_EQ(ranks.size(), 1U);
  EXPECT_EQ(ranks[0].kv_cache_bytes, group->kv_bytes);
  EXPECT_GT(ranks[0].kv_cache_bytes, 0);
  EXPECT_FALSE(ranks[0].device.has_value());
}

TEST_F(DeviceGroupTest, WhatTheDeviceCannotIsSaidByEveryRankBeforeWeightsAreRead) {
  options_.on_load_progress = [](int64_t, int64_t) { ADD_FAILURE() << "weights were read"; };
  WriteConfig(32);
  ExpectError("rank 0: head_dim: 32, allowed on a GPU: 64, 128");
  WriteConfig(64);
  options_.kv_cache_dtype = DType::kF32;
  ExpectError("rank 0: --kv-cache-dtype: is F32, allowed: BF16, as the activations");
  options_.kv_cache_dtype.reset();
  options_.activation_dtype = DType::kF32;
  ExpectError("rank 0: --dtype: is F32, allowed: BF16, F16 on CUDA devices");
  options_.activation_dtype.reset();
  options_.quantization = Quantization::kInt8;
  ExpectError("rank 0: --quantization: is int8, allowed: none with --device cuda-emulated");
}

TEST_F(DeviceGroupTest, RanksDoNotShareACpu) {
  options_.device = "cpu";
  options_.ranks_per_gpu = 2;
  ExpectError("rank 0: --ranks-per-gpu: is 2, allowed: 1 with --device cpu");
}

TEST_F(DeviceGroupTest, AFullDeviceNamesWhatDidNotFit) {
  options_.emulated_memory_bytes = size_t{300} << 10;
  ExpectError("rank 0: model\\..*: cannot allocate [0-9]+ bytes, [0-9]+ of 307200 are free");
  options_.emulated_memory_bytes = size_t{4} << 20;
  options_.kv_cache_memory_bytes = int64_t{5} << 20;
  ExpectError(
      "rank 0: --kv-cache-memory-bytes: is 5242880, allowed: at most the [0-9]+ bytes of "
      "memory that are available");
}

TEST(KvPoolTest, TakesAFractionOfTheMemoryDividedByTheRanks) {
  KvPoolRequest request{.block_bytes = 1000, .available_bytes = 1'000'000, .sharing_ranks = 2};
  request.most_blocks = 10'000;
  EXPECT_EQ(*NumKvBlocks(request), 200);
  request.memory_fraction = 0.8;
  EXPECT_EQ(*NumKvBlocks(request), 400);
  request.kv_cache_memory_bytes = 5'500;
  EXPECT_EQ(*NumKvBlocks(request), 5);
  request.kv_cache_memory_bytes = 999;
  EXPECT_FALSE(NumKvBlocks(request).ok());
  request.kv_cache_memory_bytes = 2'000'000;
  EXPECT_EQ(NumKvBlocks(request).status().field(), "--kv-cache-memory-bytes");
  request.block_bytes = 0;  // a rank without heads
  EXPECT_EQ(*NumKvBlocks(request), 10'000);
}

TEST(KvPoolTest, RanksThatShareADeviceShareItsMemory) {
  KvPoolRequest request{.block_bytes = 1000,
                        .available_bytes = 1'000'000,
                        .memory = KvPoolRequest::Memory::kOwn,
                        .most_blocks = 10'000'000};
  EXPECT_EQ(*NumKvBlocks(request), 900);
  request.memory_fraction = 0.5;
  EXPECT_EQ(*NumKvBlocks(request), 500);
  request.sharing_ranks = 3;
  EXPECT_EQ(*NumKvBlocks(request), 166);
  request.kv_cache_memory_bytes = 333'333;
  EXPECT_EQ(*NumKvBlocks(request), 333);
  request.kv_cache_memory_bytes = 333'334;
  EXPECT_EQ(NumKvBlocks(request).status(),
            InvalidField("--kv-cache-memory-bytes", 333'334,
                         "at most the 333333 bytes of memory that are available"));
  request.kv_cache_memory_bytes.reset();
  request.sharing_ranks = 1;
  request.memory_fraction.reset();
  request.available_bytes = int64_t{100} << 30;
  EXPECT_GT(*NumKvBlocks(request) * request.block_bytes, kDefaultKvBytes);
}

TEST(KvPoolTest, NeverTakesMoreThanTheDefaultUnasked) {
  KvPoolRequest request{.block_bytes = 1 << 20, .available_bytes = int64_t{1} << 40};
  request.most_blocks = int64_t{1} << 40;
  EXPECT_EQ(*NumKvBlocks(request), kDefaultKvBytes >> 20);
}

TEST(KvPoolTest, ShrinksADefaultLengthAndRefusesAGivenOne) {
  ModelLenRequest request{.max_position_embeddings = 4096, .num_blocks = 100, .block_size = 16};
  EXPECT_EQ(*ChooseMaxModelLen(request), 1600);
  request.max_model_len = 1600;
  EXPECT_EQ(*ChooseMaxModelLen(request), 1600);
  for (const int32_t length : {1, 1601, 5000}) {
    request.max_model_len = length;
    EXPECT_EQ(ChooseMaxModelLen(request).status().field(), "--max-model-len") << length;
  }
}

TEST(HostTest, SlicesCoverTheCpus) {
  const std::vector<int> cpus = {0, 1, 4, 5, 6};
  EXPECT_EQ(CpuSlice(cpus, {0, 1}), cpus);
  EXPECT_EQ(CpuSlice(cpus, {0, 2}), (std::vector<int>{0, 1}));
  EXPECT_EQ(CpuSlice(cpus, {1, 2}), (std::vector<int>{4, 5, 6}));
  EXPECT_EQ(CpuSlice({3, 7}, {4, 5}), std::vector<int>{3});
  EXPECT_GT(AvailableMemoryBytes(), 0);
  EXPECT_FALSE(AllowedCpus().empty());
}

}  // namespace
}  // namespace phalanx
