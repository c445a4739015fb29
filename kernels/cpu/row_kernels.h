// Vector loops over single rows: normalization and addition.
#pragma once

#include <cstdint>

#include "kernels/cpu/isa.h"

namespace phalanx {

struct RowKernels {
  // out = x / sqrt(mean(x^2) + eps) * weight over n columns; out may alias x.
  void (*rms_norm)(const float* x, const float* weight, float eps, int64_t n, float* out) = nullptr;
  // out = a + b over n columns; out may alias either.
  void (*add)(const float* a, const float* b, int64_t n, float* out) = nullptr;
};
RowKernels GetRowKernels(CpuIsa isa);

}  // namespace phalanx
