// One block a row, neighbouring threads on neighbouring elements.
#include "kernels/cuda/row_ops.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarpSize;

// The sum over the block, the same in every thread: a fixed tree, so it depends on the values
// alone.
PHALANX_DEVICE float BlockSum(float value, float* partial) {
  value = WarpSum(value);
  if (LaneIndex() == 0) partial[WarpIndex()] = value;
  SyncThreads();
  float sum = 0.0F;
  PHALANX_UNROLL
  for (int warp = 0; warp < kWarps; ++warp) sum += partial[warp];
  return sum;
}

// Reads residual and delta, writes residual and out: 14 bytes an element. The second pass finds the
// row in the first-level cache.
template <typename T>
PHALANX_KERNEL(kThreads)
AddRmsNormKernel(const AddRmsNormParams params) {
  SharedMemory shared;
  float* const partial = shared.Array<float>(kWarps);
  const int64_t row = BlockX();
  float* const residual = params.residual + row * params.cols;
  const float* const delta = params.delta == nullptr ? nullptr : params.delta + row * params.cols;
  float squares = 0.0F;
  for (int64_t i = ThreadIndex(); i < params.cols; i += kThreads) {
    float x = residual[i];
    if (delta != nullptr) {
      x += delta[i];
      residual[i] = x;
    }
    squares = fmaf(x, x, squares);
  }
  const float mean = BlockSum(squares, partial) / static_cast<float>(params.cols);
  const float scale = 1.0F / sqrtf(mean + params.eps);
  T* const out = static_cast<T*>(params.out) + row * params.out_stride;
  for (int64_t i = ThreadIndex(); i < params.cols; i += kThreads) {
    out[i] = FromFloat<T>(residual[i] * scale * params.weight[i]);
  }
}

// 12 bytes an element.
PHALANX_KERNEL(kThreads) AddKernel(const AddParams params) {
  const int64_t i = int64_t{BlockX()} * kThreads + ThreadIndex();
  if (i < params.count) params.out[i] = params.a[i] + params.b[i];
}

// 8 bytes an element.
PHALANX_KERNEL(kThreads) GatherRowsKernel(const GatherRowsParams params) {
  const int64_t row = BlockX();
  const float* const from = params.x + int64_t{params.indices[row]} * params.cols;
  float* const to = params.out + row * params.cols;
  for (int64_t i = ThreadIndex(); i < params.cols; i += kThreads) to[i] = from[i];
}

// 6 bytes an element.
template <typename T>
PHALANX_KERNEL(kThreads)
EmbeddingKernel(const EmbeddingParams params) {
  const int64_t row = BlockX();
  const int64_t local = params.ids[row] - params.first_id;
  const bool held = local >= 0 && local < params.num_ids;
  const T* const from =
      static_cast<const T*>(params.table) + (held ? local : 0) * params.table_stride;
  float* const to = params.out + row * params.cols;
  for (int64_t i = ThreadIndex(); i < params.cols; i += kThreads) {
    to[i] = held ? ToFloat(from[i]) : 0.0F;
  }
}

}  // namespace

void LaunchAddRmsNorm(Stream& stream, const AddRmsNormParams& params, DType out_dtype) {
  if (params.rows == 0 || params.cols == 0) return;
  const LaunchShape shape{.grid_x = static_cast<int>(params.rows),
                          .threads = kThreads,
                          .shared_bytes = SharedBytes<float>(kWarps)};
  if (out_dtype == DType::kBF16)
    return Launch<AddRmsNormKernel<BF16>>(stream, "add_rms_norm", shape, params);
  PHALANX_CHECK(out_dtype == DType::kF16);
  Launch<AddRmsNormKernel<F16>>(stream, "add_rms_norm", shape, params);
}

void LaunchAdd(Stream& stream, const AddParams& params) {
  if (params.count == 0) return;
  const int64_t blocks = (params.count + kThreads - 1) / kThreads;
  Launch<AddKernel>(stream, "add", {.grid_x = static_cast<int>(blocks), .threads = kThreads},
                    params);
}

void LaunchGatherRows(Stream& stream, const GatherRowsParams& params) {
  if (params.rows == 0 || params.cols == 0) return;
  Launch<GatherRowsKernel>(stream, "gather_rows",
                           {.grid_x = static_cast<int>(params.rows), .threads = kThreads}, params);
}

void LaunchEmbedding(Stream& stream, const EmbeddingParams& params, DType table_dtype) {
  if (params.rows == 0 || params.cols == 0) return;
  const LaunchShape shape{.grid_x = static_cast<int>(params.rows), .threads = kThreads};
  if (table_dtype == DType::kBF16)
    return Launch<EmbeddingKernel<BF16>>(stream, "embedding", shape, params);
  PHALANX_CHECK(table_dtype == DType::kF16);
  Launch<EmbeddingKernel<F16>>(stream, "embedding", shape, params);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
