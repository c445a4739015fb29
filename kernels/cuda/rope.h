// Launcher of rope and append (kernels/rope.h) over the device's cache (kv_cache_layout.h).
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/cuda/kv_cache_layout.h"
#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// All pointers are device memory, 16-byte aligned. T is kBF16 or kF16.
struct QkvRopeAppendParams {
  int64_t num_tokens = 0;
  int32_t num_heads = 0;  // query heads of this rank; may be 0
  KvLayout layout{};
  const void* qkv = nullptr;           // [num_tokens, (num_heads + 2 num_kv_heads) * head_dim] of T
  int64_t qkv_stride = 0;              // elements from row to row; a multiple of 8
  const int32_t* positions = nullptr;  // [num_tokens]
  const int32_t* seq_of_token = nullptr;  // [num_tokens]
  const int32_t* block_table = nullptr;   // [num_seqs, max_blocks_per_seq]
  int64_t max_blocks_per_seq = 0;
  const float* cos = nullptr;  // [num_positions, head_dim / 2]
  const float* sin = nullptr;  // [num_positions, head_dim / 2]
  void* q_out = nullptr;       // [num_tokens, num_heads * head_dim] of T
  void* cache = nullptr;       // the layer's blocks
};
// The stream gets INVALID_ARGUMENT naming head_dim, block_size or dtype.
void LaunchQkvRopeAppend(Stream& stream, const QkvRopeAppendParams& params, DType dtype);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
