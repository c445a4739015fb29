// What both kernels of quantized weights share: x as digits, sums as f32, and the end. Compiled
// once per target: the guard is Highway's toggling one.
#if defined(PHALANX_KERNELS_CPU_QUANTIZED_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PHALANX_KERNELS_CPU_QUANTIZED_INL_H_
#undef PHALANX_KERNELS_CPU_QUANTIZED_INL_H_
#else
#define PHALANX_KERNELS_CPU_QUANTIZED_INL_H_
#endif

#include <hwy/highway.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/linear_epilogue-inl.h"
#include "kernels/cpu/linear_kernel.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

using I32 = hn::RebindToSigned<F32>;

// kNum integers of eight bits stand for a value of x.
template <int64_t kNum>
struct Digits {
  static constexpr int64_t kCount = kNum;
  static constexpr int kMagnitudeBits = 8 * static_cast<int>(kNum) - 2;
};
using WholeDigits = Digits<3>;    // of f32
using RoundedDigits = Digits<2>;  // with --dtype bfloat16

// What takes x to integers, and back. NaN where x is not finite: so are its products then.
struct RowScale {
  float to_integers = 1.0f;
  float back = 1.0f;
};

template <class D>
HWY_INLINE RowScale ScaleOf(const float* row, int64_t n) {
  const F32 d;
  auto largest = hn::Zero(d);
  auto is_finite = hn::Eq(largest, largest);
  int64_t k = 0;
  for (; k + static_cast<int64_t>(kLanes) <= n; k += static_cast<int64_t>(kLanes)) {
    const auto value = hn::LoadU(d, row + k);
    const auto magnitude = hn::Abs(value);
    largest = hn::Max(largest, magnitude);
    is_finite =
        hn::And(is_finite, hn::Le(magnitude, hn::Set(d, std::numeric_limits<float>::max())));
  }
  float most = hn::GetLane(hn::MaxOfLanes(d, largest));
  bool all_finite = hn::AllTrue(d, is_finite);
  for (; k < n; ++k) {
    most = std::max(most, std::abs(row[k]));
    all_finite = all_finite && std::isfinite(row[k]);
  }
  if (!all_finite) return {0.0f, std::numeric_limits<float>::quiet_NaN()};
  // Below 2^-100 everything counts as zero, so that neither power overflows.
  constexpr int kLeastExponent = -100;
  const int exponent = most == 0.0f ? 0 : std::max(std::ilogb(most) + 1, kLeastExponent);
  return {std::ldexp(1.0f, D::kMagnitudeBits - exponent),
          std::ldexp(1.0f, exponent - D::kMagnitudeBits)};
}

// The digits of kQuantizedStep values: `digits` is [kCount, kQuantizedStep], the highest first.
template <class D>
HWY_INLINE void DigitsOf(const float* values, float to_integers, int8_t* digits) {
  const F32 d;
  const hn::Rebind<int8_t, F32> d8;
  const auto scale = hn::Set(d, to_integers);
  for (int64_t i = 0; i < kQuantizedStep; i += static_cast<int64_t>(kLanes)) {
    auto rest = hn::NearestInt(hn::Mul(hn::LoadU(d, values + i), scale));
    for (int64_t digit = D::kCount - 1; digit >= 0; --digit) {
      const auto low = hn::ShiftRight<24>(hn::ShiftLeft<24>(rest));
      hn::StoreU(hn::DemoteTo(d8, low), d8, digits + digit * kQuantizedStep + i);
      rest = hn::ShiftRight<8>(hn::Sub(rest, low));
    }
  }
}

// Calls put(step, digits) for the steps of a row of x that begins after `lead` zeros.
template <class D, typename Put>
HWY_INLINE void ForEachStepOf(const float* row, int64_t n, int64_t lead, float to_integers,
                              const Put& put) {
  alignas(64) int8_t digits[D::kCount * kQuantizedStep];
  for (int64_t step = 0; step * kQuantizedStep < lead + n; ++step) {
    const int64_t first = step * kQuantizedStep - lead;
    const int64_t begin = std::max<int64_t>(first, 0);
    const int64_t end = std::min(first + kQuantizedStep, n);
    if (end - begin == kQuantizedStep) {
      DigitsOf<D>(row + first, to_integers, digits);
    } else {
      alignas(64) float padded[kQuantizedStep] = {};
      std::copy(row + begin, row + end, padded + (begin - first));
      DigitsOf<D>(padded, to_integers, digits);
    }
    put(step, digits);
  }
}

// Calls put(row of the block, step, digits) for a block of rows of x, and writes their
// RowScale::back.
template <class D, typename Put>
HWY_INLINE void PackDigits(const TensorView& x, int64_t first_row, int64_t rows, int64_t lead,
                           float* scales, const Put& put) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.row<float>(first_row + r);
    const RowScale scale = ScaleOf<D>(row, x.cols);
    scales[r] = scale.back;
    ForEachStepOf<D>(row, x.cols, lead, scale.to_integers,
                     [&](int64_t step, const int8_t* digits) { put(r, step, digits); });
  }
}

// A block of x ends with its rows' RowScale::back, a cache line each row.
constexpr int64_t kRowScaleBytes = 64;

HWY_INLINE float* RowScalesOf(std::byte* block, int64_t rows, int64_t row_bytes) {
  return reinterpret_cast<float*>(block + rows * (row_bytes - kRowScaleBytes));
}
HWY_INLINE const float* RowScalesOf(const std::byte* block, int64_t rows, int64_t row_bytes) {
  return reinterpret_cast<const float*>(block + rows * (row_bytes - kRowScaleBytes));
}

// A group's sums of kLanes slots to their totals: of each digit's sums, `stride` apart.
template <class D>
HWY_INLINE void AddGroup(const int32_t* sums, int64_t stride, const float* scales, float* totals) {
  const F32 d;
  const I32 di;
  auto sum = hn::ConvertTo(d, hn::LoadU(di, sums));
  for (int64_t digit = 1; digit < D::kCount; ++digit) {
    sum = FusedMulAdd(sum, hn::Set(d, 256.0f),
                      hn::ConvertTo(d, hn::LoadU(di, sums + digit * stride)));
  }
  hn::StoreU(FusedMulAdd(sum, hn::LoadU(d, scales), hn::LoadU(d, totals)), d, totals);
}

// A row's totals of a panel: `low` and `high` are kQuantizedSlots / 2 each.
HWY_INLINE void FinishRow(const LinearProblem& problem, int64_t panel, int64_t row, float scale,
                          const float* low, const float* high) {
  const F32 d;
  const auto back = hn::Set(d, scale);
  for (size_t slot = 0; slot < kPanelHalf; slot += kLanes) {
    StorePanelSums(hn::Mul(hn::LoadU(d, low + slot), back),
                   hn::Mul(hn::LoadU(d, high + slot), back), problem, row, panel,
                   static_cast<int64_t>(slot));
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
