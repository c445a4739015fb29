#include "worker/kv_pool.h"

#include <algorithm>

namespace phalanx {

StatusOr<int64_t> NumKvBlocks(const KvPoolRequest& request) {
  if (request.block_bytes == 0) return request.most_blocks;
  const bool of_host = request.memory == KvPoolRequest::Memory::kHost;
  int64_t budget = 0;
  if (request.kv_cache_memory_bytes) {
    budget = *request.kv_cache_memory_bytes;
    // A device's memory cannot be promised to several ranks.
    const int64_t most =
        of_host ? request.available_bytes : request.available_bytes / request.sharing_ranks;
    if (budget > most && request.available_bytes > 0) {
      return InvalidField("--kv-cache-memory-bytes", budget,
                          fmt::format("at most the {} bytes of memory that are available", most));
    }
  } else {
    const double fraction =
        request.memory_fraction.value_or(of_host ? kDefaultKvFraction : kDefaultDeviceKvFraction);
    budget = static_cast<int64_t>(fraction * static_cast<double>(request.available_bytes));
    if (of_host && !request.memory_fraction) budget = std::min(budget, kDefaultKvBytes);
    budget /= request.sharing_ranks;
  }
  const int64_t blocks = std::min(budget / request.block_bytes, request.most_blocks);
  if (blocks > 0) return blocks;
  return InvalidArgumentError(
      "--kv-cache-memory-bytes, --gpu-memory-utilization: {} bytes for the KV cache hold no block, "
      "allowed: at least {} bytes",
      budget, request.block_bytes);
}

StatusOr<int32_t> ChooseMaxModelLen(const ModelLenRequest& request) {
  const int64_t room = request.num_blocks * request.block_size;
  if (!request.max_model_len) {
    return static_cast<int32_t>(std::min(request.max_position_embeddings, room));
  }
  const int32_t length = *request.max_model_len;
  if (length < 2 || length > request.max_position_embeddings) {
    return InvalidField("--max-model-len", length,
                        fmt::format("2 to {}, the model's max_position_embeddings",
                                    request.max_position_embeddings));
  }
  if (length > room) {
    return InvalidField(
        "--max-model-len", length,
        fmt::format("at most {}, what {} blocks of {} tokens hold; or give the cache more memory "
                    "with --kv-cache-memory-bytes or --gpu-memory-utilization",
                    room, request.num_blocks, request.block_size));
  }
  return length;
}

}  // namespace phalanx
