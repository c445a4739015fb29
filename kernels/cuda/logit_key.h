// Logits as integers that compare alike, so that a warp finds the largest in one instruction and
// digits of them select.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

inline constexpr float kFloatInfinity = __builtin_huge_valf();
inline constexpr float kLog2E = 1.442695040888963F;

// Ascends with the value; -0 counts as 0. 0: -inf, which no value has as its key. Not for NaN.
PHALANX_DEVICE uint32_t OrderedKey(float value) {
  if (value == -kFloatInfinity) return 0;
  const uint32_t bits = FloatBits(value + 0.0F);
  return bits ^ ((bits >> 31) != 0 ? 0xffffffffU : 0x80000000U);
}
PHALANX_DEVICE float KeyValue(uint32_t key) {
  return BitsFloat(key ^ ((key >> 31) != 0 ? 0x80000000U : 0xffffffffU));
}

// A logit that is not finite can not be chosen and counts as -inf.
PHALANX_DEVICE uint32_t LogitKey(float logit) {
  return logit < kFloatInfinity ? OrderedKey(logit) : 0;
}

// exp((logit - max) * inv_temperature) for keys that are not 0. Below -104 it is 0 in float32; the
// comparison is false for NaN, which infinite differences make.
PHALANX_DEVICE float Weight(uint32_t key, float max, float inv_temperature) {
  const float scaled = (KeyValue(key) - max) * inv_temperature;
  return scaled > -104.0F ? Exp2(scaled * kLog2E) : 0.0F;
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
