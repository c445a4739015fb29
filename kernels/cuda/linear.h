// y = x W^T + b (kernels/linear.h) and the gate and up projections with SwiGLU
// (kernels/gate_up_swiglu.h), for 16-bit activations and weights, sums in float.
//
// x and the weight have the same type. Their rows lie a multiple of 8 elements apart and start at a
// multiple of 16 bytes; from in_features up to the next multiple of 8 the weight's rows hold zeros,
// x's anything, NaN included: it does not reach a result. Every size may be anything from 0 on.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/cuda/stream.h"
#include "kernels/numerics.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

struct LinearParams {
  int64_t rows = 0;
  int64_t in_features = 0;
  int64_t out_features = 0;  // of y: GateUpSwiglu's intermediate_local
  const void* x = nullptr;   // [rows, in_features], x_stride elements apart
  // [out_features or GateUpRows(out_features), in_features], weight_stride elements apart
  const void* weight = nullptr;
  const float* bias = nullptr;  // [out_features], or null
  void* out = nullptr;          // [rows, out_features], out_stride elements apart
  int64_t x_stride = 0;
  int64_t weight_stride = 0;
  int64_t out_stride = 0;
};

struct LinearOptions {
  DType dtype = DType::kBF16;      // of x and weight: kBF16 or kF16
  DType out_dtype = DType::kBF16;  // dtype or kF32
  Numerics mode = Numerics::kFast;
  int num_sms = 1;  // the device's streaming multiprocessors
  // LinearWorkspaceBytes(num_sms), for one launch at a time. Not used in kExact.
  void* workspace = nullptr;
};

void LaunchLinear(Stream& stream, const LinearParams& params, const LinearOptions& options);
// No bias; out is of dtype.
void LaunchGateUpSwiglu(Stream& stream, const LinearParams& params, const LinearOptions& options);

// What a launch of any size needs where a product is split along in_features.
size_t LinearWorkspaceBytes(int num_sms);

// ------------------------------------------------------------------------------------------------
// GateUpSwiglu's weight holds gate and up rows in turns, eight of each, so that one thread's share
// of a tensor core's tile holds both factors of an output. The last group is filled up with zeros.

inline constexpr int64_t kGateUpGroup = 8;

// Rows of the weight as it lies in memory.
constexpr int64_t GateUpRows(int64_t intermediate) {
  return (intermediate + kGateUpGroup - 1) / kGateUpGroup * 2 * kGateUpGroup;
}

// Where row `row` of [gate; up], 2 * intermediate rows, lies in memory.
constexpr int64_t GateUpRow(int64_t row, int64_t intermediate) {
  const int64_t up = row < intermediate ? 0 : 1;
  const int64_t i = row - up * intermediate;
  return i / kGateUpGroup * (2 * kGateUpGroup) + up * kGateUpGroup + i % kGateUpGroup;
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
