// Rotary position embedding of Q and K, fused with the append of K and V to the paged cache.
//
//   qkv[t] = [q heads | k heads | v heads], (num_heads_local + 2 num_kv_heads_local) * head_dim
//   columns rotate(x, p)[i]           = x[i] cos[p,i] - x[i + d/2] sin[p,i]         0 <= i < d/2
//   rotate(x, p)[i + d/2]     = x[i + d/2] cos[p,i] + x[i] sin[p,i]
//   q_out[t] = rotate(q[t], positions[t]); cache K = rotate(k[t], positions[t]); cache V = v[t]
//
// q_out: [num_tokens, num_heads_local * head_dim]; it may not alias qkv. Blocks named by the
// batch's table must be in range of the cache; two rows never write the same slot. Source: Su et
// al. 2021 (RoFormer), in the half-split form that Hugging Face's Qwen2 uses.
#pragma once

#include <cstdint>

namespace phalanx {

// cos and sin by position, f32, scaled by the attention factor where the model's rope scaling has
// one.
struct RopeTable {
  int64_t num_positions = 0;
  int64_t half_dim = 0;        // head_dim / 2
  const float* cos = nullptr;  // [num_positions, half_dim]
  const float* sin = nullptr;  // [num_positions, half_dim]
};

}  // namespace phalanx
