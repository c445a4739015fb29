// What ranks agree on before they serve, and how the KV pool is sized.
#include "worker/group.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>

#include "tests/worker/rank_threads.h"
#include "worker/agreement.h"
#include "worker/host.h"
#include "worker/kv_pool.h"

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

TEST(KvPoolTest, TakesAFractionOfTheMemoryDividedByTheRanks) {
  KvPoolRequest request{.block_bytes = 1000, .available_bytes = 1'000'000, .local_ranks = 2};
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

TEST(KvPoolTest, ADeviceHasItsMemoryToItself) {
  KvPoolRequest request{.block_bytes = 1000,
                        .available_bytes = 1'000'000,
                        .memory = KvPoolRequest::Memory::kOwn,
                        .local_ranks = 2,
                        .most_blocks = 10'000'000};
  EXPECT_EQ(*NumKvBlocks(request), 900);
  request.memory_fraction = 0.5;
  EXPECT_EQ(*NumKvBlocks(request), 500);
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
