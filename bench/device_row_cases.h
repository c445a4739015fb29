// Ops over rows on a device: norms, addition, gathering, embedding, the sum of ranks' parts.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/device_case.h"

namespace phalanx {

struct DeviceRowShape {
  std::string name;
  int64_t cols = 0;
  std::vector<int64_t> row_counts;  // a case for each
};

DeviceCaseGroup DeviceRmsNormCases(const DeviceRowShape& shape);
DeviceCaseGroup DeviceAddRmsNormCases(const DeviceRowShape& shape);
DeviceCaseGroup DeviceAddCases(const DeviceRowShape& shape);
// Every other row of twice as many.
DeviceCaseGroup DeviceGatherRowsCases(const DeviceRowShape& shape);
// Random rows of a table that no cache holds.
DeviceCaseGroup DeviceEmbeddingCases(const DeviceRowShape& shape, int64_t vocab_size);
DeviceCaseGroup DeviceSumPartsCases(const DeviceRowShape& shape, int num_parts);

}  // namespace phalanx
