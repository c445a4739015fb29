// Linear and GateUpSwiglu as benchmark cases.
#pragma once

#include <cstdint>
#include <string>

#include "bench/op_case.h"

namespace phalanx {

struct MatmulShape {
  std::string name;
  int64_t rows = 0;
  int64_t in = 0;
  int64_t out = 0;  // rows of the weight: twice the intermediate size for kGateUp
  DType dtype = DType::kBF16;
  WeightLayout layout = WeightLayout::kLinear;
};
OpCase MakeMatmulCase(Backend& backend, const MatmulShape& shape);

}  // namespace phalanx
