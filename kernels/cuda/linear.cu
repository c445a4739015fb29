// Which kernel a product takes. On the host alone.
#include <algorithm>
#include <limits>

#include "kernels/base/check.h"
#include "kernels/cuda/linear.h"
#include "kernels/cuda/linear_kernels.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

// Blocks that a split product may have for each multiprocessor.
constexpr int64_t kSplitBlocksPerSm = 2;
// Stages of in_features that a split has at least: it writes and reads its sums.
constexpr int64_t kMinSplitStages = 4;

void Check(const LinearParams& params, const LinearOptions& options) {
  // Kernels count rows, columns and elements of a row in 32 bits.
  constexpr int64_t kMax = std::numeric_limits<int32_t>::max() / 4;
  PHALANX_CHECK_LE(params.rows, kMax);
  PHALANX_CHECK_LE(params.in_features, kMax);
  PHALANX_CHECK_LE(params.out_features, kMax);
  PHALANX_CHECK_EQ(params.x_stride % 8, 0);
  PHALANX_CHECK_EQ(params.weight_stride % 8, 0);
  PHALANX_CHECK_EQ(reinterpret_cast<uintptr_t>(params.x) % 16, uintptr_t{0});
  PHALANX_CHECK_EQ(reinterpret_cast<uintptr_t>(params.weight) % 16, uintptr_t{0});
  PHALANX_CHECK(options.dtype == DType::kBF16 || options.dtype == DType::kF16);
  PHALANX_CHECK(options.out_dtype == options.dtype || options.out_dtype == DType::kF32);
  PHALANX_CHECK_GE(options.num_sms, 1);
}

int64_t TilesOf(GemmTile tile, int64_t rows, int64_t weight_rows) {
  return CeilDivide(rows, SizeOf(tile).rows) * CeilDivide(weight_rows, SizeOf(tile).cols);
}

// By rows, with weight rows enough for every multiprocessor: `wide` tiles, or else `narrow` ones.
GemmTile LowTile(int64_t rows, int64_t weight_rows, const LinearOptions& options) {
  const auto choose = [&](GemmTile wide, GemmTile narrow) {
    // Splitting in_features fills the device better, but changes the order of a row's sum.
    if (options.mode == Numerics::kFast) return wide;
    return TilesOf(wide, rows, weight_rows) >= options.num_sms ? wide : narrow;
  };
  if (rows <= 16) return choose(GemmTile::k16x64, GemmTile::k16x16);
  if (rows <= 32) return choose(GemmTile::k32x64, GemmTile::k32x16);
  return choose(GemmTile::k64x64, GemmTile::k64x16);
}

void LaunchProduct(Stream& stream, const LinearParams& params, const LinearOptions& options,
                   Epilogue epilogue) {
  Check(params, options);
  if (params.rows == 0 || params.out_features == 0) return;
  if (options.mode == Numerics::kFast && params.rows <= kMaxGemvRows) {
    return LaunchGemv(stream, params, options, epilogue);
  }
  const GemmPlan plan =
      PlanGemm(params.rows, WeightRows(params, epilogue), params.in_features, options);
  PHALANX_CHECK(plan.splits == 1 || options.workspace != nullptr);
  LaunchGemm(stream, params, options, epilogue, plan);
}

}  // namespace

GemmPlan PlanGemm(int64_t rows, int64_t weight_rows, int64_t in_features,
                  const LinearOptions& options) {
  if (options.mode == Numerics::kExact) {
    const bool fills = 2 * TilesOf(GemmTile::k128x128, rows, weight_rows) >= options.num_sms;
    return {.tile = rows > 64 && fills ? GemmTile::k128x128 : LowTile(rows, weight_rows, options)};
  }
  const GemmTile tile = rows > 64 ? GemmTile::k128x128 : LowTile(rows, weight_rows, options);
  const int64_t stages = CeilDivide(in_features, kGemmDepth);
  const int64_t room = kSplitBlocksPerSm * options.num_sms / TilesOf(tile, rows, weight_rows);
  const int64_t splits =
      std::clamp<int64_t>(room, 1, std::max<int64_t>(stages / kMinSplitStages, 1));
  // No split is left without a stage.
  return {
      .tile = tile,
      .splits = static_cast<int>(splits == 1 ? 1 : CeilDivide(stages, CeilDivide(stages, splits)))};
}

size_t LinearWorkspaceBytes(int num_sms) {
  // Blocks of the largest tile.
  constexpr GemmTileSize kLargest = SizeOf(GemmTile::k128x128);
  return static_cast<size_t>(kSplitBlocksPerSm * num_sms) *
         static_cast<size_t>(kLargest.rows * kLargest.cols) * sizeof(float);
}

void LaunchLinear(Stream& stream, const LinearParams& params, const LinearOptions& options) {
  LaunchProduct(stream, params, options,
                options.out_dtype == DType::kF32 ? Epilogue::kFloat : Epilogue::kNarrow);
}

void LaunchGateUpSwiglu(Stream& stream, const LinearParams& params, const LinearOptions& options) {
  PHALANX_CHECK(options.out_dtype == options.dtype);
  PHALANX_CHECK(params.bias == nullptr);
  LaunchProduct(stream, params, options, Epilogue::kSwiglu);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
