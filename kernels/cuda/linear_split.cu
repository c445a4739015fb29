// The end of a product whose in_features were split among blocks: a thread adds up one output's
// sums in order, so they are the same in every run.
//
// Bytes: splits * rows * weight_rows * 4, from the second-level cache, where the blocks have just
// left them. Bound by its launch.
#include "kernels/cuda/linear_kernels.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 128;

struct SumParams {
  SplitSums split{};
  const float* bias = nullptr;
  void* out = nullptr;
  int64_t out_stride = 0;
  int rows = 0;
  int out_features = 0;
  int row_blocks = 0;  // blocks for each row
};

template <typename T, Epilogue kEpilogue>
PHALANX_KERNEL(kThreads)
SumSplitsKernel(const SumParams p) {
  using Out = typename OutputOf<T, kEpilogue>::Type;
  const int row = BlockX() / p.row_blocks;
  const int col = BlockX() % p.row_blocks * kThreads + ThreadIndex();
  if (col >= p.out_features) return;
  const bool swiglu = kEpilogue == Epilogue::kSwiglu;
  const float* sums = p.split.sums + row * p.split.stride + (swiglu ? col / 8 * 16 + col % 8 : col);
  float value = 0.0F;
  float up = 0.0F;
  for (int i = 0; i < p.split.splits; ++i) {
    value += sums[0];
    if constexpr (kEpilogue == Epilogue::kSwiglu) up += sums[kGateUpGroup];
    sums += p.rows * p.split.stride;
  }
  if constexpr (kEpilogue == Epilogue::kSwiglu) {
    value = Swiglu(value, up);
  } else if (p.bias != nullptr) {
    value += p.bias[col];
  }
  static_cast<Out*>(p.out)[row * p.out_stride + col] = FromFloat<Out>(value);
}

template <typename T>
void LaunchTyped(Stream& stream, const SumParams& params, Epilogue epilogue) {
  const LaunchShape shape{.grid_x = params.rows * params.row_blocks, .threads = kThreads};
  switch (epilogue) {
    case Epilogue::kFloat:
      return Launch<SumSplitsKernel<T, Epilogue::kFloat>>(stream, "sum_splits", shape, params);
    case Epilogue::kNarrow:
      return Launch<SumSplitsKernel<T, Epilogue::kNarrow>>(stream, "sum_splits", shape, params);
    case Epilogue::kSwiglu:
      return Launch<SumSplitsKernel<T, Epilogue::kSwiglu>>(stream, "sum_splits", shape, params);
  }
}

}  // namespace

void LaunchSumSplits(Stream& stream, const SplitSums& split, const LinearParams& params,
                     DType dtype, Epilogue epilogue) {
  const SumParams sum{.split = split,
                      .bias = params.bias,
                      .out = params.out,
                      .out_stride = params.out_stride,
                      .rows = static_cast<int>(params.rows),
                      .out_features = static_cast<int>(params.out_features),
                      .row_blocks = static_cast<int>(CeilDivide(params.out_features, kThreads))};
  if (dtype == DType::kBF16) {
    LaunchTyped<BF16>(stream, sum, epilogue);
  } else {
    LaunchTyped<F16>(stream, sum, epilogue);
  }
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
