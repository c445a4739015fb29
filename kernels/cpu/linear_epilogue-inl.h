// What both Linear kernels do with finished sums. Compiled once per target: the guard is Highway's
// toggling one.
#if defined(PHALANX_KERNELS_CPU_LINEAR_EPILOGUE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PHALANX_KERNELS_CPU_LINEAR_EPILOGUE_INL_H_
#undef PHALANX_KERNELS_CPU_LINEAR_EPILOGUE_INL_H_
#else
#define PHALANX_KERNELS_CPU_LINEAR_EPILOGUE_INL_H_
#endif

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include "kernels/cpu/cpu_packed_weight.h"
#include "kernels/cpu/linear_kernel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Writes kLanes sums, or those of them that are inside the matrix.
HWY_INLINE void StoreSums(VecF32 sums, const LinearProblem& problem, int64_t row, int64_t column) {
  const F32 d;
  const int64_t left = problem.out_features - column;
  if (left <= 0) return;
  float* out = problem.out + row * problem.out_stride + column;
  const float* bias = problem.epilogue == LinearEpilogue::kBias && problem.bias != nullptr
                          ? problem.bias + column
                          : nullptr;
  if (left >= static_cast<int64_t>(kLanes)) {
    hn::StoreU(bias != nullptr ? hn::Add(sums, hn::LoadU(d, bias)) : sums, d, out);
    return;
  }
  alignas(64) float lanes[kLanes];
  hn::Store(sums, d, lanes);
  for (int64_t i = 0; i < left; ++i) out[i] = bias != nullptr ? lanes[i] + bias[i] : lanes[i];
}

// silu(gate) * up. Beyond 88 exp would overflow; the quotient is then below 1e-36 anyway.
HWY_INLINE VecF32 Swiglu(VecF32 gate, VecF32 up) {
  const F32 d;
  const auto exp = hn::Exp(d, hn::Min(hn::Neg(gate), hn::Set(d, 88.0f)));
  return hn::Mul(hn::Div(gate, hn::Add(hn::Set(d, 1.0f), exp)), up);
}

// The sums of kLanes slots of a panel's low half, from `slot` on, and of the same of its high half.
HWY_INLINE void StorePanelSums(VecF32 low, VecF32 high, const LinearProblem& problem, int64_t row,
                               int64_t panel, int64_t slot) {
  if (problem.epilogue == LinearEpilogue::kSwiglu) {
    StoreSums(Swiglu(low, high), problem, row, panel * kPanelHalf + slot);
  } else {
    StoreSums(low, problem, row, panel * kPanelSlots + slot);
    StoreSums(high, problem, row, panel * kPanelSlots + kPanelHalf + slot);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
