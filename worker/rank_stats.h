// What the ranks of this host have done and hold, for metrics.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "parallel/liveness.h"

namespace phalanx {

struct RankStats {
  int32_t rank = 0;
  uint64_t steps = 0;
  uint64_t step_ns = 0;
  uint64_t collective_ns = 0;  // of step_ns
  int64_t resident_bytes = 0;  // of its process; 0: not known
  int64_t kv_cache_bytes = 0;  // its part of the whole pool
  struct DeviceMemory {
    int64_t reserved_bytes = 0;  // all of its allocations
    int64_t free_bytes = 0;      // what the device can still give, to anybody
  };
  std::optional<DeviceMemory> device{};  // none: it computes in the host's memory
};

// By rank.
std::vector<RankStats> ReadRankStats(const LivenessBoard& board);

}  // namespace phalanx
