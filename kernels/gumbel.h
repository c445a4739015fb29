// The variate of kernels/candidates.h, step by step; every kernel that computes it does exactly
// the same steps.
//
//   w    = first word of Philox4x32-10 with key (seed low, seed high) and counter
//          (token id, index, choice, 0)                     Salmon et al. 2011, ten rounds
//   v    = (w + 1/2) / 2^32, uniform in (0, 1);   E = -log(1 - v), exponential;   g = -log(E)
//
// Everything after w is float32 with products and sums rounded one by one (no fused operation), so
// that every instruction set gives the same bits. For w < 2^31 E comes from log1p, and for
// w >= 2^31 from 1 - v = (~w + 1/2) / 2^32, so that both tails keep float32's relative precision:
// g lies in (-3.14, 22.88).
#pragma once

#include <bit>
#include <cstdint>

namespace phalanx {

inline constexpr uint32_t kPhiloxMultiplier0 = 0xD2511F53u;
inline constexpr uint32_t kPhiloxMultiplier1 = 0xCD9E8D57u;
inline constexpr uint32_t kPhiloxWeyl0 = 0x9E3779B9u;
inline constexpr uint32_t kPhiloxWeyl1 = 0xBB67AE85u;
inline constexpr int kPhiloxRounds = 10;

// log(m 2^e) for m in [sqrt(1/2), sqrt(2)) is e log 2 + 2 atanh(s), s = (m - 1) / (m + 1), and
// atanh(s) = s (1 + s^2/3 + s^4/5 + s^6/7 + s^8/9 + ...); what is left out is below 2e-9.
inline constexpr uint32_t kSqrtHalfBits = 0x3f3504f3u;
inline constexpr float kLog2 = 0.693147180559945f;
inline constexpr float kAtanh3 = 1.0f / 3.0f;
inline constexpr float kAtanh5 = 1.0f / 5.0f;
inline constexpr float kAtanh7 = 1.0f / 7.0f;
inline constexpr float kAtanh9 = 1.0f / 9.0f;

// Up to this v the logarithm of 1 - v is taken from v itself.
inline constexpr float kLog1pLimit = 0.25f;
// An upper bound of every variate.
inline constexpr float kMaxGumbel = 22.9f;

// The first word of Philox4x32-10.
uint32_t PhiloxFirstWord(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2);
// g of w.
float GumbelOfWord(uint32_t w);

}  // namespace phalanx
