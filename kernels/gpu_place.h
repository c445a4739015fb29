// Which of its host's GPUs a rank computes on. Pure.
#pragma once

#include <algorithm>

#include "kernels/base/status.h"

namespace phalanx {

struct GpuPlace {
  int local_rank = 0;  // among the ranks of the host
  int ranks_per_gpu = 1;
};

inline int GpuIndex(const GpuPlace& place) { return place.local_rank / place.ranks_per_gpu; }

// Of the host's `num_local_ranks`: this rank and those that compute on the same GPU.
inline int RanksOnGpu(const GpuPlace& place, int num_local_ranks) {
  const int first = GpuIndex(place) * place.ranks_per_gpu;
  return std::min(place.ranks_per_gpu, num_local_ranks - first);
}

// INVALID_ARGUMENT naming --device and --ranks-per-gpu where the host has too few GPUs.
inline Status CheckGpuPlace(const GpuPlace& place, int num_gpus) {
  if (GpuIndex(place) < num_gpus) return OkStatus();
  return InvalidField("--device", "cuda",
                      fmt::format("at most {} ranks on this host: {} GPUs x --ranks-per-gpu {}",
                                  num_gpus * place.ranks_per_gpu, num_gpus, place.ranks_per_gpu));
}

}  // namespace phalanx
