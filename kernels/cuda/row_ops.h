// Launchers of the row-wise ops. Pointers are global memory, matrices dense and row-major.
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// kernels/rms_norm.h: residual += delta where there is one; out = RmsNorm(residual).
struct AddRmsNormParams {
  int64_t rows = 0;
  int64_t cols = 0;
  float* residual = nullptr;      // [rows, cols]
  const float* delta = nullptr;   // [rows, cols], or null: nothing is added or written back
  const float* weight = nullptr;  // [cols]
  float eps = 0.0F;
  void* out = nullptr;  // [rows, cols] of out_dtype, kBF16 or kF16
};
void LaunchAddRmsNorm(Stream& stream, const AddRmsNormParams& params, DType out_dtype);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
