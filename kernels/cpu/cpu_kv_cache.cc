#include "kernels/cpu/cpu_kv_cache.h"

#include <utility>

namespace phalanx {
namespace {

// The attention kernel reads whole vectors, two at a time, past the end of a short row.
constexpr size_t kSlackBytes = 128;

}  // namespace

StatusOr<std::unique_ptr<CpuKvCache>> CpuKvCache::Create(const KvCacheSpec& spec) {
  if (spec.block_size != 16 && spec.block_size != 32 && spec.block_size != 64) {
    return InvalidField("--block-size", spec.block_size, "16, 32 or 64");
  }
  if (spec.dtype != DType::kF32 && spec.dtype != DType::kBF16) {
    return InvalidField("--kv-cache-dtype", Name(spec.dtype), "F32 or BF16 on CPUs");
  }
  if (spec.num_layers < 0 || spec.num_blocks < 0 || spec.num_kv_heads_local < 0 ||
      spec.head_dim < 0 || spec.head_dim % 2 != 0 || spec.head_dim > kMaxHeadDim) {
    return InvalidArgumentError(
        "KV cache: {} layers, {} blocks, {} KV heads of dimension {}, allowed: no negative number, "
        "an even head dimension up to 1024",
        spec.num_layers, spec.num_blocks, spec.num_kv_heads_local, spec.head_dim);
  }
  const auto bytes = static_cast<size_t>(spec.num_blocks * KvBlockBytes(spec));
  PHALANX_ASSIGN_OR_RETURN(
      MappedMemory memory,
      MappedMemory::Allocate(bytes == 0 ? 0 : bytes + kSlackBytes, "KV cache"));
  return std::unique_ptr<CpuKvCache>(new CpuKvCache(spec, std::move(memory)));
}

CpuKvCache::CpuKvCache(const KvCacheSpec& spec, MappedMemory memory)
    : KvCache(spec), memory_(std::move(memory)) {}

KvLayerView CpuKvCache::layer(int64_t index) const {
  PHALANX_CHECK_GE(index, 0);
  PHALANX_CHECK_LT(index, spec().num_layers);
  const int64_t layer_bytes = spec().num_blocks * KvBlockBytes(spec()) / spec().num_layers;
  return {.data = static_cast<std::byte*>(memory_.data()) + index * layer_bytes,
          .dtype = spec().dtype,
          .num_blocks = spec().num_blocks,
          .block_size = spec().block_size,
          .num_kv_heads = spec().num_kv_heads_local,
          .head_dim = spec().head_dim};
}

}  // namespace phalanx
