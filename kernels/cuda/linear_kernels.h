// What the files of kernels/cuda/linear.h share: how a product is laid out on a device, and what
// becomes of its sums.
#pragma once

#include <cstdint>

#include "kernels/cuda/linear.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// What is written of the sums.
enum class Epilogue : uint8_t {
  kFloat,   // bias added, as float
  kNarrow,  // bias added, rounded to the operands' type
  kSwiglu,  // silu(gate) * up, rounded to the operands' type
};

// The block's piece of the result in GemmKernel: rows of x by rows of the weight.
enum class GemmTile : uint8_t { k16x16, k32x16, k64x16, k16x64, k32x64, k64x64, k128x128 };
struct GemmTileSize {
  int rows;
  int cols;
};
constexpr GemmTileSize SizeOf(GemmTile tile) {
  switch (tile) {
    case GemmTile::k16x16:
      return {16, 16};
    case GemmTile::k32x16:
      return {32, 16};
    case GemmTile::k64x16:
      return {64, 16};
    case GemmTile::k16x64:
      return {16, 64};
    case GemmTile::k32x64:
      return {32, 64};
    case GemmTile::k64x64:
      return {64, 64};
    case GemmTile::k128x128:
      break;
  }
  return {128, 128};
}
// Elements of in_features that GemmKernel takes at a time.
inline constexpr int kGemmDepth = 64;

// How a product of `rows` by `weight_rows` is laid out.
struct GemmPlan {
  GemmTile tile = GemmTile::k128x128;
  int splits = 1;  // of in_features, summed by another kernel
};
GemmPlan PlanGemm(int64_t rows, int64_t weight_rows, int64_t in_features,
                  const LinearOptions& options);

// More rows than this take tensor cores even in Numerics::kFast.
inline constexpr int64_t kMaxGemvRows = 8;

// rows: 1 to kMaxGemvRows.
void LaunchGemv(Stream& stream, const LinearParams& params, const LinearOptions& options,
                Epilogue epilogue);
void LaunchGemm(Stream& stream, const LinearParams& params, const LinearOptions& options,
                Epilogue epilogue, const GemmPlan& plan);

// The end of a product whose in_features were split: sums [splits, rows, stride] in that order.
struct SplitSums {
  const float* sums = nullptr;
  int splits = 1;
  int64_t stride = 0;  // of rows: weight rows, rounded up
};
void LaunchSumSplits(Stream& stream, const SplitSums& split, const LinearParams& params,
                     DType dtype, Epilogue epilogue);

// Rows of the weight in memory.
inline int64_t WeightRows(const LinearParams& params, Epilogue epilogue) {
  return epilogue == Epilogue::kSwiglu ? GateUpRows(params.out_features) : params.out_features;
}

constexpr int64_t CeilDivide(int64_t a, int64_t b) { return (a + b - 1) / b; }

// ------------------------------------------------------------------------------------------------

template <typename T, Epilogue kEpilogue>
struct OutputOf {
  using Type = T;
};
template <typename T>
struct OutputOf<T, Epilogue::kFloat> {
  using Type = float;
};

PHALANX_DEVICE float Swiglu(float gate, float up) { return gate / (1.0F + expf(-gate)) * up; }

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
