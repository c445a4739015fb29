// What every vector kernel shares. Compiled once per target: the guard is Highway's toggling one.
#if defined(PHALANX_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PHALANX_KERNELS_CPU_SIMD_INL_H_
#undef PHALANX_KERNELS_CPU_SIMD_INL_H_
#else
#define PHALANX_KERNELS_CPU_SIMD_INL_H_
#endif

#include <hwy/highway.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using F32 = hn::ScalableTag<float>;
using U32 = hn::RebindToUnsigned<F32>;
using U16 = hn::Rebind<uint16_t, F32>;
using VecF32 = hn::Vec<F32>;
inline constexpr size_t kLanes = hn::MaxLanes(F32());

// Whether the target multiplies and adds with one rounding in one instruction.
#undef PHALANX_FUSED_IN_HARDWARE
#if HWY_TARGET == HWY_EMU128 || HWY_TARGET == HWY_SCALAR
#define PHALANX_FUSED_IN_HARDWARE 0
#else
#define PHALANX_FUSED_IN_HARDWARE 1
#endif

// a * b + c with one rounding on every target, so that Linear and attention give the same bits
// everywhere.
//
// Without the instruction: the product of two f32 is exact in f64, so f64's sum has one rounding,
// and rounding that to f32 differs from the fused result only where the f64 sum lies on a midpoint
// of two f32 (then the second rounding may break a tie that was none) or below f32's normal range.
// Those few go to the library's exact fma.
HWY_INLINE VecF32 FusedMulAdd(VecF32 a, VecF32 b, VecF32 c) {
#if PHALANX_FUSED_IN_HARDWARE
  return hn::MulAdd(a, b, c);
#else
  const F32 d;
  alignas(16) float product_of[kLanes], by[kLanes], sums[kLanes];
  hn::Store(a, d, product_of);
  hn::Store(b, d, by);
  hn::Store(c, d, sums);
  for (size_t i = 0; i < kLanes; ++i) {
    const double sum = static_cast<double>(product_of[i]) * static_cast<double>(by[i]) +
                       static_cast<double>(sums[i]);
    const auto bits = std::bit_cast<uint64_t>(sum);
    const bool midpoint = (bits & 0x1fffffffu) == 0x10000000u;
    const bool below_normal = (bits << 1) - 1 < (uint64_t{897} << 53) - 1;  // and not zero
    sums[i] = midpoint || below_normal ? std::fma(product_of[i], by[i], sums[i])
                                       : static_cast<float>(sum);
  }
  return hn::Load(d, sums);
#endif
}

// 16 bf16 halves of words to f32, exact: the low half of each word, and the high half.
HWY_INLINE VecF32 LowHalfToF32(hn::Vec<U32> words) {
  return hn::BitCast(F32(), hn::ShiftLeft<16>(words));
}
HWY_INLINE VecF32 HighHalfToF32(hn::Vec<U32> words) {
  return hn::BitCast(F32(), hn::And(words, hn::Set(U32(), 0xffff0000u)));
}

// The nearest bf16, ties to even, as the f32 of the same value. A NaN stays one.
HWY_INLINE hn::Vec<U32> RoundToBF16(VecF32 value) {
  const U32 du;
  const auto bits = hn::BitCast(du, value);
  const auto is_odd = hn::And(hn::ShiftRight<16>(bits), hn::Set(du, 1u));
  const auto rounded = hn::Add(bits, hn::Add(is_odd, hn::Set(du, 0x7fffu)));
  const auto quiet = hn::Or(bits, hn::Set(du, 0x00400000u));
  const auto is_nan = hn::RebindMask(du, hn::IsNaN(value));
  return hn::And(hn::IfThenElse(is_nan, quiet, rounded), hn::Set(du, 0xffff0000u));
}

// kLanes consecutive bf16 or f32 to f32, exact.
HWY_INLINE VecF32 LoadF32(const float* p) { return hn::LoadU(F32(), p); }
HWY_INLINE VecF32 LoadBF16(const uint16_t* p) {
  return hn::BitCast(F32(), hn::ShiftLeft<16>(hn::PromoteTo(U32(), hn::LoadU(U16(), p))));
}

// kLanes consecutive IEEE binary16 to f32, exact, subnormals and infinities included.
HWY_INLINE VecF32 LoadF16(const uint16_t* p) {
#if PHALANX_FUSED_IN_HARDWARE
  const hn::Rebind<hwy::float16_t, F32> d16;
  return hn::PromoteTo(F32(), hn::LoadU(d16, reinterpret_cast<const hwy::float16_t*>(p)));
#else
  // The 15 bits below the sign, read as f32 after a shift, are the value times 2^-112.
  const F32 d;
  const U32 du;
  const auto bits = hn::PromoteTo(du, hn::LoadU(U16(), p));
  const auto magnitude = hn::ShiftLeft<13>(hn::And(bits, hn::Set(du, 0x7fffu)));
  const auto sign = hn::ShiftLeft<16>(hn::And(bits, hn::Set(du, 0x8000u)));
  const auto scaled = hn::Mul(hn::BitCast(d, magnitude), hn::Set(d, 0x1p112f));
  const auto special = hn::Or(magnitude, hn::Set(du, 0x7f800000u));
  const auto is_special = hn::RebindMask(d, hn::Ge(magnitude, hn::Set(du, 0x0f800000u)));
  return hn::BitCast(
      d,
      hn::Or(hn::BitCast(du, hn::IfThenElse(is_special, hn::BitCast(d, special), scaled)), sign));
#endif
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#endif  // include guard of this target
