// Launchers of the row-wise ops. All are bound by the memory they touch, which each kernel reads
// and writes once. Pointers are global memory, aligned to 16 bytes; strides are in elements. A
// row's bits depend on that row alone.
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// kernels/rms_norm.h: residual += delta where there is one; out = RmsNorm(residual). The sum of
// squares is a fixed tree over the row.
struct AddRmsNormParams {
  int64_t rows = 0;
  int64_t cols = 0;
  float* residual = nullptr;      // [rows, cols]
  const float* delta = nullptr;   // [rows, cols], or null: nothing is added or written back
  const float* weight = nullptr;  // [cols]
  float eps = 0.0F;
  void* out = nullptr;  // [rows, cols]
  int64_t out_stride = 0;
};
// out_dtype: kBF16 or kF16.
void LaunchAddRmsNorm(Stream& stream, const AddRmsNormParams& params, DType out_dtype);

// kernels/add.h
struct AddParams {
  int64_t count = 0;
  const float* a = nullptr;
  const float* b = nullptr;
  float* out = nullptr;  // may be a or b
};
void LaunchAdd(Stream& stream, const AddParams& params);

// kernels/gather_rows.h, for f32.
struct GatherRowsParams {
  int64_t rows = 0;
  int64_t cols = 0;
  const float* x = nullptr;          // [*, cols]
  const int32_t* indices = nullptr;  // [rows] into x
  float* out = nullptr;              // [rows, cols]
};
void LaunchGatherRows(Stream& stream, const GatherRowsParams& params);

// kernels/embedding.h: zeros where the rank does not hold the token.
struct EmbeddingParams {
  int64_t rows = 0;
  int64_t cols = 0;
  const int32_t* ids = nullptr;  // [rows]
  int64_t first_id = 0;
  int64_t num_ids = 0;          // rows of the table
  const void* table = nullptr;  // [num_ids, cols] of table_dtype
  int64_t table_stride = 0;
  float* out = nullptr;  // [rows, cols]
};
// table_dtype: kBF16 or kF16.
void LaunchEmbedding(Stream& stream, const EmbeddingParams& params, DType table_dtype);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
