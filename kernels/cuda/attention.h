// Launchers of paged attention (kernels/attention.h) over the device's cache (kv_cache_layout.h).
//
//   AttentionPlan plan = PlanAttention(...)              once a step; its vectors go to the device
//   LaunchAttention(stream, params, counts, dtype)       every layer
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/kv_cache_layout.h"
#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// All pointers are device memory, 16-byte aligned. T is the cache's type, kBF16 or kF16. Slots
// behind a row's position are never used, whatever they hold; keys and values of slots up to the
// last position of the step are finite.
struct AttentionParams {
  Numerics mode = Numerics::kFast;  // the plan's
  int32_t num_heads = 0;            // query heads of this rank
  KvLayout layout{};
  float scale = 0.0F;                    // above 0
  const void* q = nullptr;               // [num_tokens, num_heads * head_dim] of T
  const void* cache = nullptr;           // the layer's blocks
  const int32_t* block_table = nullptr;  // [num_seqs, max_blocks_per_seq]
  int64_t max_blocks_per_seq = 0;
  void* out = nullptr;  // [num_tokens, num_heads * head_dim] of T

  const AttentionItem* items = nullptr;  // the plan's
  const AttentionCombination* combinations = nullptr;
  int32_t num_small = 0;
  int32_t num_large = 0;
  int32_t num_combinations = 0;
  int32_t large_warps = kAttentionLargeWarps;  // the plan's
  // The plan's num_partials of each, for one layer at a time; null where there are none.
  float* partial_sums = nullptr;     // [num_partials, head_dim] weighted sums of V
  float* partial_weights = nullptr;  // [num_partials, 2] largest score, sum of the weights
};

// Of the plans for a device whose blocks may take `max_shared_bytes` each: the most that fit.
int32_t AttentionLargeWarps(int64_t head_dim, Numerics mode, size_t max_shared_bytes);

// All of a step's rows: LaunchAttentionDecode, LaunchAttentionPrefill and LaunchAttentionCombine.
// The stream gets INVALID_ARGUMENT naming head_dim, block_size or dtype.
void LaunchAttention(Stream& stream, const AttentionParams& params, DType dtype);

// The small items, the large ones, and what was cut. Parameters have been checked.
void LaunchAttentionDecode(Stream& stream, const AttentionParams& params, DType dtype);
void LaunchAttentionPrefill(Stream& stream, const AttentionParams& params, DType dtype);
void LaunchAttentionCombine(Stream& stream, const AttentionParams& params, DType dtype);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
