// Row-wise ops: one block a row for norms, flat grids for the rest.
#include "kernels/cuda/row_ops.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kNormThreads = 256;
constexpr int kNormWarps = kNormThreads / kWarpSize;

// The sum over the block, the same in every thread: a fixed tree, so it depends on the values
// alone.
PHALANX_DEVICE float BlockSum(float value, float* partial) {
  value = WarpSum(value);
  if (LaneIndex() == 0) partial[WarpIndex()] = value;
  SyncThreads();
  float sum = 0.0F;
  PHALANX_UNROLL
  for (int warp = 0; warp < kNormWarps; ++warp) sum += partial[warp];
  return sum;
}

template <typename T>
PHALANX_KERNEL(kNormThreads)
AddRmsNormKernel(const AddRmsNormParams params) {
  SharedMemory shared;
  float* const partial = shared.Array<float>(kNormWarps);
  const int64_t row = BlockX();
  float* const residual = params.residual + row * params.cols;
  const float* const delta = params.delta == nullptr ? nullptr : params.delta + row * params.cols;
  float squares = 0.0F;
  for (int64_t i = ThreadIndex(); i < params.cols; i += kNormThreads) {
    float x = residual[i];
    if (delta != nullptr) {
      x += delta[i];
      residual[i] = x;
    }
    squares = fmaf(x, x, squares);
  }
  const float mean = BlockSum(squares, partial) / static_cast<float>(params.cols);
  const float scale = 1.0F / sqrtf(mean + params.eps);
  T* const out = static_cast<T*>(params.out) + row * params.cols;
  for (int64_t i = ThreadIndex(); i < params.cols; i += kNormThreads) {
    out[i] = FromFloat<T>(residual[i] * scale * params.weight[i]);
  }
}

}  // namespace

void LaunchAddRmsNorm(Stream& stream, const AddRmsNormParams& params, DType out_dtype) {
  if (params.rows == 0 || params.cols == 0) return;
  const LaunchShape shape{.grid_x = static_cast<int>(params.rows),
                          .threads = kNormThreads,
                          .shared_bytes = SharedBytes<float>(kNormWarps)};
  if (out_dtype == DType::kBF16) {
    Launch<AddRmsNormKernel<BF16>>(stream, "add_rms_norm", shape, params);
  } else {
    PHALANX_CHECK(out_dtype == DType::kF16);
    Launch<AddRmsNormKernel<F16>>(stream, "add_rms_norm", shape, params);
  }
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
