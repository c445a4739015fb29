// The CPU kernels' layout of the paged KV cache.
//
// Per layer, block and KV head: K transposed, [head_dim, block_size], then V, [block_size,
// head_dim]. So the scores of consecutive tokens are lanes of one vector, and so are the dimensions
// of the weighted sum of V; neither needs a horizontal sum. A block of one head is one contiguous
// stream.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/attention.h"
#include "kernels/cpu/mapped_memory.h"

namespace phalanx {

// Tokens over which the online softmax advances at once, at absolute positions. A multiple of every
// block size.
inline constexpr int64_t kKvTileTokens = 64;

// Larger heads are refused, so that one head's vector fits on the stack.
inline constexpr int64_t kMaxHeadDim = 1024;

// One layer of a cache.
struct KvLayerView {
  std::byte* data = nullptr;
  DType dtype = DType::kF32;
  int64_t num_blocks = 0;
  int64_t block_size = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;

  // K of one head in one block, [head_dim, block_size]; V, [block_size, head_dim].
  std::byte* k(int64_t block, int64_t kv_head) const {
    return data + (block * num_kv_heads + kv_head) * 2 * PartBytes();
  }
  std::byte* v(int64_t block, int64_t kv_head) const { return k(block, kv_head) + PartBytes(); }

 private:
  int64_t PartBytes() const {
    return block_size * head_dim * static_cast<int64_t>(SizeInBytes(dtype));
  }
};

class CpuKvCache final : public KvCache {
 public:
  // INVALID_ARGUMENT naming --block-size or --kv-cache-dtype, RESOURCE_EXHAUSTED without memory.
  static StatusOr<std::unique_ptr<CpuKvCache>> Create(const KvCacheSpec& spec);

  size_t size_bytes() const override { return memory_.size_bytes(); }
  KvLayerView layer(int64_t index) const;

 private:
  CpuKvCache(const KvCacheSpec& spec, MappedMemory memory);

  MappedMemory memory_;
};

}  // namespace phalanx
