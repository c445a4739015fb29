// Paged attention of a group of query rows that share one KV head.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cpu/cpu_kv_cache.h"
#include "kernels/cpu/isa.h"

namespace phalanx {

// Query rows (tokens times heads) of one group: as many as keep their scores and sums in the
// second-level cache, enough to use each loaded key and value many times.
inline constexpr int64_t kMaxAttentionRows = 64;

struct AttentionProblem {
  const float* q = nullptr;  // [num_tokens, num_heads * head_dim]
  int64_t q_stride = 0;
  float* out = nullptr;  // like q
  int64_t out_stride = 0;
  const int32_t* positions = nullptr;    // [num_tokens]
  const int32_t* block_table = nullptr;  // [num_seqs, max_blocks_per_seq]
  int64_t max_blocks_per_seq = 0;
  float scale = 0.0F;
  KvLayerView cache;
};

// Consecutive tokens of one sequence times consecutive query heads of one KV head;
// num_tokens * num_heads <= kMaxAttentionRows.
struct AttentionTask {
  int32_t seq = 0;
  int32_t first_token = 0;
  int32_t num_tokens = 0;
  int32_t first_head = 0;
  int32_t num_heads = 0;
  int32_t kv_head = 0;
};

// Floats of scratch that a task needs, 64-byte aligned.
size_t AttentionScratchFloats(int64_t head_dim);

using AttentionKernel = void (*)(const AttentionProblem& problem, const AttentionTask& task,
                                 float* scratch);
AttentionKernel GetAttentionKernel(CpuIsa isa);

}  // namespace phalanx
