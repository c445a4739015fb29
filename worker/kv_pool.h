// How large the paged KV cache is, and how long a sequence may be in it. Pure.
#pragma once

#include <cstdint>
#include <optional>

#include "kernels/base/status.h"

namespace phalanx {

// Of the available memory, where neither --kv-cache-memory-bytes nor --gpu-memory-utilization is
// given, but never more than kDefaultKvBytes on a host.
inline constexpr double kDefaultKvFraction = 0.4;
inline constexpr int64_t kDefaultKvBytes = int64_t{4} << 30;
// Of a device's own memory: what is left is for the steps.
inline constexpr double kDefaultDeviceKvFraction = 0.9;

struct KvPoolRequest {
  int64_t block_bytes = 0;      // of this rank, all layers; 0 where the rank holds no head
  int64_t available_bytes = 0;  // to all that share it; weights already loaded
  enum class Memory : uint8_t { kHost, kOwn } memory = Memory::kHost;
  int sharing_ranks = 1;                           // that share it: the host's, or the device's
  std::optional<int64_t> kv_cache_memory_bytes{};  // per rank
  std::optional<double> memory_fraction{};         // (0, 1]
  int64_t most_blocks = 0;                         // more would never be used
};
// Blocks that this rank has room for; ranks agree on the smallest.
StatusOr<int64_t> NumKvBlocks(const KvPoolRequest& request);

struct ModelLenRequest {
  std::optional<int32_t> max_model_len{};  // --max-model-len
  int64_t max_position_embeddings = 0;
  int64_t num_blocks = 0;
  int32_t block_size = 0;
};
// A length that was asked for must fit the pool and the model; the default is the model's own,
// shortened to what fits.
StatusOr<int32_t> ChooseMaxModelLen(const ModelLenRequest& request);

}  // namespace phalanx
