// Linear and GateUpSwiglu on a device, beside cuBLAS where that is there.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/device_case.h"

namespace phalanx {

struct DeviceMatmulShape {
  std::string name;
  int64_t in = 0;
  int64_t out = 0;  // rows of the weight: twice the intermediate size for kGateUp
  WeightLayout layout = WeightLayout::kLinear;
  std::vector<int64_t> row_counts;  // a case for each
};

// One weight, of the backend's activation type, which all cases share. cuBLAS computes gate and up
// without their activation.
DeviceCaseGroup DeviceMatmulCases(const DeviceMatmulShape& shape);

}  // namespace phalanx
