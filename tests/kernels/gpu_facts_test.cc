// Which drivers and GPUs are refused before anything is loaded, and in which words.
#include "kernels/gpu_facts.h"

#include <gtest/gtest.h>

namespace phalanx {
namespace {

Status Refused(std::string_view allowed) { return InvalidField("--device", "cuda", allowed); }

TEST(GpuFactsTest, DriversAreOfTheRuntimesMajorVersionOrLater) {
  const struct {
    CudaHostFacts facts;
    Status expected;
  } kRows[] = {
      {{.runtime_version = 13020}, Refused("cpu: this host has no CUDA driver")},
      {{.driver_version = 12090, .runtime_version = 13000, .num_gpus = 8},
       Refused("cpu, or a driver for CUDA 13 or later: this host's is for CUDA 12")},
      {{.driver_version = 13000, .runtime_version = 13020, .count_text = "no device"},
       Refused("cpu: no GPU is usable here (no device)")},
      {{.driver_version = 13000, .runtime_version = 13020, .num_gpus = 1}, OkStatus()},
      {{.driver_version = 14000, .runtime_version = 13020, .num_gpus = 8}, OkStatus()},
  };
  for (const auto& row : kRows) EXPECT_EQ(CheckCudaHost(row.facts), row.expected);
}

TEST(GpuFactsTest, GpusHaveWhatKernelsNeed) {
  const struct {
    GpuFacts facts;
    Status expected;
  } kRows[] = {
      {{.index = 1, .name = "T4", .major = 7, .minor = 5, .max_shared_bytes = 64 << 10},
       Refused("GPUs from sm_80 on; GPU 1, T4, is sm_75")},
      {{.index = 2, .name = "X", .major = 8, .minor = 0, .max_shared_bytes = 101'375},
       Refused("GPUs with 101376 bytes of shared memory a block or more; GPU 2, X, has 101375")},
      {{.major = 8, .minor = 0, .max_shared_bytes = 163 << 10}, OkStatus()},
      {{.major = 8, .minor = 6, .max_shared_bytes = 99 << 10}, OkStatus()},
      {{.major = 9, .minor = 0, .max_shared_bytes = 227 << 10}, OkStatus()},
      {{.major = 12, .minor = 0, .max_shared_bytes = 99 << 10}, OkStatus()},
  };
  for (const auto& row : kRows) EXPECT_EQ(CheckGpu(row.facts), row.expected);
}

}  // namespace
}  // namespace phalanx
