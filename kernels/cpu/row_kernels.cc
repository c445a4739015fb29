#include "kernels/cpu/row_kernels.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/row_kernels.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Partial sums of squares. Many short sums are also accurate ones: the error grows with
// n / kSums, not with n.
constexpr size_t kSums = 64;
constexpr size_t kSumVectors = kSums / kLanes;

// In 64 interleaved sums that are then added pairwise, so the order is the same for every vector
// length.
float SumOfSquares(const float* x, size_t n) {
  const F32 d;
  VecF32 sums[kSumVectors];
  for (auto& sum : sums) sum = hn::Zero(d);
  size_t i = 0;
  for (; i + kSums <= n; i += kSums) {
    for (size_t v = 0; v < kSumVectors; ++v) {
      const auto value = hn::LoadU(d, x + i + v * kLanes);
      sums[v] = FusedMulAdd(value, value, sums[v]);
    }
  }
  alignas(64) float lanes[kSums];
  for (size_t v = 0; v < kSumVectors; ++v) hn::Store(sums[v], d, lanes + v * kLanes);
  for (size_t j = 0; i < n; ++i, ++j) lanes[j] += x[i] * x[i];
  for (size_t half = kSums / 2; half > 0; half /= 2) {
    for (size_t j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}

void RmsNormRow(const float* x, const float* weight, float eps, int64_t columns, float* out) {
  const auto n = static_cast<size_t>(columns);
  const float mean = SumOfSquares(x, n) / static_cast<float>(n);
  const float inverse = 1.0f / std::sqrt(mean + eps);
  const F32 d;
  const auto scale = hn::Set(d, inverse);
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Mul(hn::Mul(hn::LoadU(d, x + i), scale), hn::LoadU(d, weight + i)), d, out + i);
  }
  for (; i < n; ++i) out[i] = x[i] * inverse * weight[i];
}

void AddRow(const float* a, const float* b, int64_t columns, float* out) {
  const auto n = static_cast<size_t>(columns);
  const F32 d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  }
  for (; i < n; ++i) out[i] = a[i] + b[i];
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

RowKernels GetRowKernels(CpuIsa isa) {
  return {PHALANX_TARGET_FUNCTION(isa, RmsNormRow), PHALANX_TARGET_FUNCTION(isa, AddRow)};
}

}  // namespace phalanx
#endif  // HWY_ONCE
