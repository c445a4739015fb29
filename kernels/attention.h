// Paged self-attention over a KV cache, grouped-query, causal; prefill chunks and decode tokens
// mixed.
//
//   out[t, h] = softmax(scale * q[t, h] . K[0..p]) V[0..p]       p = positions[t], KV head
//   kv_head_of[h]
//
// K and V of a sequence lie in blocks of block_size tokens named by its row of the block table; the
// row's own key and value have been appended before (kernels/rope.h). The softmax is computed
// online over KV tiles that lie at absolute positions with one tile size in prefill, resumed chunks
// and decode, so that a row's bits do not depend on chunking or on the prefix cache. Sources:
// Milakov & Gimelshein 2018 (online softmax), Dao et al. 2022 (FlashAttention), Kwon et al. 2023
// (paging).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/dtype.h"

namespace phalanx {

// The rows of one step and where their keys and values lie. Arrays are in the backend's memory.
struct BatchView {
  int64_t num_tokens = 0;
  int64_t num_seqs = 0;
  int64_t max_blocks_per_seq = 0;
  const int32_t* positions = nullptr;  // [num_tokens] absolute position of each row in its sequence
  const int32_t* seq_of_token = nullptr;  // [num_tokens] index of the row's sequence in this batch
  const int32_t* row_start =
      nullptr;  // [num_seqs + 1] first row of each sequence; rows of one are consecutive
  const int32_t* block_table = nullptr;  // [num_seqs, max_blocks_per_seq] block ids
};

// The heads that one rank holds.
struct HeadLayout {
  int64_t num_heads_local = 0;  // query heads; may be 0
  int64_t num_kv_heads_local = 0;
  int64_t head_dim = 0;  // 64 or 128 are the fast cases; any multiple of 2 works
  std::span<const int32_t>
      kv_head_of{};  // [num_heads_local] local KV head that each local query head reads; ascending
};

struct KvCacheSpec {
  int64_t num_layers = 0;
  int64_t num_blocks = 0;
  int64_t block_size = 16;  // tokens
  int64_t num_kv_heads_local = 0;
  int64_t head_dim = 0;
  DType dtype = DType::kF32;  // kF32 or kBF16
};

// One pool of blocks for all layers; the layout inside a block is the backend's own.
class KvCache {
 public:
  explicit KvCache(const KvCacheSpec& spec) : spec_(spec) {}
  virtual ~KvCache() = default;
  KvCache(const KvCache&) = delete;
  KvCache& operator=(const KvCache&) = delete;
  const KvCacheSpec& spec() const { return spec_; }
  virtual size_t size_bytes() const = 0;

 private:
  KvCacheSpec spec_;
};

// Bytes of one block over all layers, K and V.
constexpr int64_t KvBlockBytes(const KvCacheSpec& spec) {
  return 2 * spec.num_layers * spec.block_size * spec.num_kv_heads_local * spec.head_dim *
         static_cast<int64_t>(SizeInBytes(spec.dtype));
}

}  // namespace phalanx
