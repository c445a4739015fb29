// A thread sums some elements that lie side by side, part by part.
#include "kernels/cuda/sum_parts.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;

// kWidth divides params.count, so that every part begins where loads of so many floats may.
template <int kWidth>
PHALANX_KERNEL(kThreads)
SumPartsKernel(const SumPartsParams params) {
  using Floats = Vec<float, kWidth>;
  const int64_t i = (int64_t{BlockX()} * kThreads + ThreadIndex()) * kWidth;
  if (i >= params.count) return;
  Floats sum = LoadVec<Floats>(params.parts + i);
  for (int part = 1; part < params.num_parts; ++part) {
    const Floats next = LoadVec<Floats>(params.parts + part * params.count + i);
    PHALANX_UNROLL
    for (int e = 0; e < kWidth; ++e) sum.v[e] += next.v[e];
  }
  StoreVec(params.out + i, sum);
}

template <int kWidth>
void LaunchOfWidth(Stream& stream, const SumPartsParams& params) {
  constexpr int64_t kElements = int64_t{kThreads} * kWidth;
  const auto blocks = static_cast<int>((params.count + kElements - 1) / kElements);
  Launch<SumPartsKernel<kWidth>>(stream, "sum_parts", {.grid_x = blocks, .threads = kThreads},
                                 params);
}

}  // namespace

// ------------------------------------------------------------------------------------------------

void LaunchSumParts(Stream& stream, const SumPartsParams& params) {
  PHALANX_CHECK_GE(params.num_parts, 1);
  if (params.count == 0) return;
  if (params.count % 4 == 0) return LaunchOfWidth<4>(stream, params);
  LaunchOfWidth<1>(stream, params);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
