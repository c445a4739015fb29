// What the ranks of this host have done and hold, for metrics.
#pragma once

#include <cstdint>
#include <vector>

#include "parallel/liveness.h"

namespace phalanx {

struct RankStats {
  int32_t rank = 0;
  uint64_t steps = 0;
  uint64_t step_ns = 0;
  uint64_t collective_ns = 0;  // of step_ns
  int64_t resident_bytes = 0;  // of its process; 0: not known
};

// By rank.
std::vector<RankStats> ReadRankStats(const LivenessBoard& board);

}  // namespace phalanx
