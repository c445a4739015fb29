// Adjusting and selecting from logits on a device.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/device_case.h"

namespace phalanx {

struct DeviceSamplingShape {
  int64_t vocab_size = 0;
  std::vector<int64_t> row_counts;  // a case for each
};

// What a selection asks for: as greedy sampling does, with alternatives, and as top-p does. A run
// ends when its results are there.
DeviceCaseGroup DeviceCandidateCases(const DeviceSamplingShape& shape);
// Penalties of 512 tokens a row, of which two change each time; and the same with a grammar's mask.
DeviceCaseGroup DeviceAdjustCases(const DeviceSamplingShape& shape);

}  // namespace phalanx
