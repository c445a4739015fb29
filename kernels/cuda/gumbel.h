// kernels/gumbel.h in the words of kernels: the same steps, so the same bits.
#pragma once

#include <cstdint>

#include "kernels/cuda/primitives.h"
#include "kernels/gumbel.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

// The first word of Philox4x32-10 for the counter (c0, c1, c2, 0).
PHALANX_DEVICE uint32_t PhiloxWord(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2) {
  uint32_t c3 = 0;
  auto key0 = static_cast<uint32_t>(seed);
  auto key1 = static_cast<uint32_t>(seed >> 32);
  PHALANX_UNROLL
  for (int round = 0; round < kPhiloxRounds; ++round) {
    const uint64_t product0 = uint64_t{kPhiloxMultiplier0} * c0;
    const uint64_t product1 = uint64_t{kPhiloxMultiplier1} * c2;
    c0 = static_cast<uint32_t>(product1 >> 32) ^ c1 ^ key0;
    c1 = static_cast<uint32_t>(product1);
    c2 = static_cast<uint32_t>(product0 >> 32) ^ c3 ^ key1;
    c3 = static_cast<uint32_t>(product0);
    key0 += kPhiloxWeyl0;
    key1 += kPhiloxWeyl1;
  }
  return c0;
}

// 2 atanh(s)
PHALANX_DEVICE float TwoAtanh(float s) {
  const float s2 = s * s;
  float p = kAtanh9;
  p = p * s2 + kAtanh7;
  p = p * s2 + kAtanh5;
  p = p * s2 + kAtanh3;
  p = p * s2 + 1.0F;
  return (s + s) * p;
}

PHALANX_DEVICE float LogOf(float x) {
  const uint32_t bits = FloatBits(x);
  const int32_t exponent = static_cast<int32_t>(bits - kSqrtHalfBits) >> 23;
  const float m = BitsFloat(bits - (static_cast<uint32_t>(exponent) << 23));
  return static_cast<float>(exponent) * kLog2 + TwoAtanh((m - 1.0F) / (m + 1.0F));
}

// g of w.
PHALANX_DEVICE float GumbelOf(uint32_t w) {
  const bool lower = (w >> 31) == 0;
  const auto n = static_cast<int32_t>(lower ? w : ~w);
  const float y = (static_cast<float>(n) + 0.5F) * 0x1p-32F;
  const bool near_zero = lower && y < kLog1pLimit;
  const float log = near_zero ? TwoAtanh((0.0F - y) / (2.0F - y)) : LogOf(lower ? 1.0F - y : y);
  return 0.0F - LogOf(0.0F - log);
}

// At least GumbelOf(w), from the word's leading zeros alone: g <= -log(v), and v >= 2^(j + 1 - 32)
// where w / 2 has the exponent j (w < 2 counts as j = -2, for v >= 2^-33). The factor is enough
// above log 2 to cover the variate's own rounding.
PHALANX_DEVICE float GumbelBound(uint32_t w) {
  const auto half = static_cast<float>(static_cast<int32_t>(w >> 1));
  const uint32_t exponent = FloatBits(half < 0.25F ? 0.25F : half) >> 23;
  return (127.0F + 31.0F - static_cast<float>(exponent)) * 0.6932F;
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
