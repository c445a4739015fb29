// Where keys and values lie in a layer's pool of blocks on the device:
//
//   [num_blocks][num_kv_heads_local][2: K, V][block_size][head_dim]
//
// A block of one KV head is one contiguous stream of K and one of V; block_size is a multiple of
// 16, so 16 tokens from a multiple of 16 never leave it. Pools are larger than 32 bits count.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

inline constexpr int kKvBlockUnit = 16;  // tokens; divides every block size

struct KvLayout {
  int32_t num_kv_heads = 0;  // of this rank
  int32_t block_size = 0;    // tokens
  int32_t head_dim = 0;

  // Elements from K to V of the same slot.
  PHALANX_DEVICE int64_t PartElements() const { return int64_t{block_size} * head_dim; }
  // Elements before the key of the slot.
  PHALANX_DEVICE int64_t KeyOffset(int32_t block, int32_t kv_head, int32_t slot) const {
    return (int64_t{block} * num_kv_heads + kv_head) * 2 * PartElements() +
           int64_t{slot} * head_dim;
  }
};

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
