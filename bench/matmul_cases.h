// Linear and GateUpSwiglu as benchmark cases.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

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
// Of --op linear: Qwen2.5-0.5B and 7B, whole and sharded, at several numbers of rows.
std::vector<MatmulShape> LinearShapes();

OpCase MakeMatmulCase(Backend& backend, const MatmulShape& shape);

}  // namespace phalanx
