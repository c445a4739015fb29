#include "kernels/gumbel.h"

#include <cmath>

#include "kernels/candidates.h"

namespace phalanx {
namespace {

// 2 atanh(s)
float TwoAtanh(float s) {
  const float s2 = s * s;
  float p = kAtanh9;
  p = p * s2 + kAtanh7;
  p = p * s2 + kAtanh5;
  p = p * s2 + kAtanh3;
  p = p * s2 + 1.0f;
  return (s + s) * p;
}

float Log(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const int32_t exponent = static_cast<int32_t>(bits - kSqrtHalfBits) >> 23;
  const float m = std::bit_cast<float>(bits - (static_cast<uint32_t>(exponent) << 23));
  return static_cast<float>(exponent) * kLog2 + TwoAtanh((m - 1.0f) / (m + 1.0f));
}

}  // namespace

uint32_t PhiloxFirstWord(uint64_t seed, uint32_t c0, uint32_t c1, uint32_t c2) {
  uint32_t c3 = 0;
  auto key0 = static_cast<uint32_t>(seed);
  auto key1 = static_cast<uint32_t>(seed >> 32);
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

float GumbelOfWord(uint32_t w) {
  const bool lower = (w >> 31) == 0;
  const auto n = static_cast<int32_t>(lower ? w : ~w);
  const float y = (static_cast<float>(n) + 0.5f) * 0x1p-32f;
  float log;
  if (lower && y < kLog1pLimit) {
    log = TwoAtanh((0.0f - y) / (2.0f - y));
  } else {
    log = Log(lower ? 1.0f - y : y);
  }
  return 0.0f - Log(0.0f - log);
}

double GumbelVariate(uint64_t seed, uint32_t choice, uint32_t index, int32_t token_id) {
  return GumbelOfWord(PhiloxFirstWord(seed, static_cast<uint32_t>(token_id), index, choice));
}

}  // namespace phalanx
