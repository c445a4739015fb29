// Rotation of one row's heads and its append to the KV cache.
#pragma once

#include <cstdint>

#include "kernels/attention.h"
#include "kernels/cpu/cpu_kv_cache.h"
#include "kernels/cpu/isa.h"

namespace phalanx {

struct RopeRow {
  const float* qkv = nullptr;  // [(num_heads + 2 num_kv_heads) * head_dim]
  const float* cos = nullptr;  // [head_dim / 2] of the row's position
  const float* sin = nullptr;
  float* q_out = nullptr;  // [num_heads * head_dim]
  int64_t num_heads = 0;
  int64_t block = 0;  // where K and V go
  int64_t slot = 0;
};

using RopeKernel = void (*)(const RopeRow& row, const KvLayerView& cache);
RopeKernel GetRopeKernel(CpuIsa isa);

}  // namespace phalanx
