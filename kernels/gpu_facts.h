// Whether a host's CUDA driver and a GPU can run this build's kernels. Pure.
#pragma once

#include <cstddef>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

// What every GPU from sm_80 on gives a block of threads, and kernels count on.
inline constexpr size_t kLeastSharedBytes = size_t{99} * 1024;

// CUDA's versions are 1000 * major + 10 * minor.
struct CudaHostFacts {
  int driver_version = 0;   // the latest CUDA that the driver knows; 0: there is no driver
  int runtime_version = 0;  // this build's
  int num_gpus = 0;
  std::string_view count_text{};  // CUDA's words beside num_gpus
};

struct GpuFacts {
  int index = 0;
  std::string_view name{};
  int major = 0;  // of the compute capability, sm_[major][minor]
  int minor = 0;
  size_t max_shared_bytes = 0;  // of a block that asks for more than usual
};

// INVALID_ARGUMENT naming --device and what would do. Drivers know all versions of their own major
// one, beside PTX.
inline Status CheckCudaHost(const CudaHostFacts& facts) {
  const auto refuse = [](std::string_view allowed) {
    return InvalidField("--device", "cuda", allowed);
  };
  if (facts.driver_version == 0) return refuse("cpu: this host has no CUDA driver");
  if (facts.driver_version / 1000 < facts.runtime_version / 1000) {
    return refuse(fmt::format("cpu, or a driver for CUDA {} or later: this host's is for CUDA {}",
                              facts.runtime_version / 1000, facts.driver_version / 1000));
  }
  if (facts.num_gpus > 0) return OkStatus();
  return refuse(fmt::format("cpu: no GPU is usable here ({})", facts.count_text));
}

inline Status CheckGpu(const GpuFacts& facts) {
  constexpr int kLeastMajor = 8;
  if (facts.major < kLeastMajor) {
    return InvalidField("--device", "cuda",
                        fmt::format("GPUs from sm_80 on; GPU {}, {}, is sm_{}{}", facts.index,
                                    facts.name, facts.major, facts.minor));
  }
  if (facts.max_shared_bytes >= kLeastSharedBytes) return OkStatus();
  return InvalidField(
      "--device", "cuda",
      fmt::format("GPUs with {} bytes of shared memory a block or more; GPU {}, {}, has {}",
                  kLeastSharedBytes, facts.index, facts.name, facts.max_shared_bytes));
}

}  // namespace phalanx
