// Ranks that share a host's GPUs, and the environment that a GPU's libraries find.
#include "kernels/gpu_place.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "kernels/backend_factory.h"

namespace phalanx {
namespace {

TEST(GpuPlaceTest, NeighboursShareAGpu) {
  for (int rank = 0; rank < 6; ++rank) {
    EXPECT_EQ(GpuIndex({.local_rank = rank}), rank);
    EXPECT_EQ(GpuIndex({.local_rank = rank, .ranks_per_gpu = 2}), rank / 2);
    EXPECT_EQ(GpuIndex({.local_rank = rank, .ranks_per_gpu = 8}), 0);
  }
}

TEST(GpuPlaceTest, TheLastGpuMayHaveFewerRanks) {
  EXPECT_EQ(RanksOnGpu({.local_rank = 4}, 5), 1);
  EXPECT_EQ(RanksOnGpu({.local_rank = 0, .ranks_per_gpu = 2}, 5), 2);
  EXPECT_EQ(RanksOnGpu({.local_rank = 3, .ranks_per_gpu = 2}, 5), 2);
  EXPECT_EQ(RanksOnGpu({.local_rank = 4, .ranks_per_gpu = 2}, 5), 1);
  EXPECT_EQ(RanksOnGpu({.local_rank = 4, .ranks_per_gpu = 8}, 5), 5);
}

TEST(GpuPlaceTest, MoreRanksThanTheGpusTakeAreRefused) {
  EXPECT_EQ(CheckGpuPlace({.local_rank = 1}, 2), OkStatus());
  EXPECT_EQ(CheckGpuPlace({.local_rank = 5, .ranks_per_gpu = 3}, 2), OkStatus());
  EXPECT_EQ(
      CheckGpuPlace({.local_rank = 2}, 2),
      InvalidField("--device", "cuda", "at most 2 ranks on this host: 2 GPUs x --ranks-per-gpu 1"));
  EXPECT_EQ(
      CheckGpuPlace({.local_rank = 6, .ranks_per_gpu = 3}, 2),
      InvalidField("--device", "cuda", "at most 6 ranks on this host: 2 GPUs x --ranks-per-gpu 3"));
}

TEST(PrepareEnvironmentTest, KernelsForGpusAreLoadedAtOnceUnlessSomebodySaysOtherwise) {
  const char* const kName = "CUDA_MODULE_LOADING";
  unsetenv(kName);
  PrepareEnvironment("cpu");
  EXPECT_EQ(getenv(kName), nullptr);
  PrepareEnvironment("cuda");
  EXPECT_STREQ(getenv(kName), "EAGER");
  setenv(kName, "LAZY", 1);
  PrepareEnvironment("cuda");
  EXPECT_STREQ(getenv(kName), "LAZY");
  unsetenv(kName);
}

}  // namespace
}  // namespace phalanx
