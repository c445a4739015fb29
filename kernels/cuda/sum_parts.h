// Launcher of kernels/sum_parts.h, bound by the memory it touches: 4 (num_parts + 1) bytes an
// element. An element's bits depend on its parts alone.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

struct SumPartsParams {
  int64_t count = 0;
  int num_parts = 0;
  const float* parts = nullptr;  // [num_parts, count], aligned to 16 bytes
  float* out = nullptr;          // [count], aligned to 16 bytes
};
void LaunchSumParts(Stream& stream, const SumPartsParams& params);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
