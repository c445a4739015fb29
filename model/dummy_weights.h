// Seeded random weights that need no file. Every element is a pure function of (seed, tensor name,
// row, column), so any number of ranks makes the same model and no rank makes more than its shard.
//
// The recipe, which tests/model/dummy_weights.py repeats so that other implementations can run the
// very same model (all integers wrap):
//   key      = SplitMix64(FNV-1a 64 of the name + seed * 0x9e3779b97f4a7c15)
//   (a, b)   = low and high half of SplitMix64(key + row * 0x9e3779b97f4a7c15)
//   x        = column * 0x9e3779b9 + a;  x ^= x >> 16;  x *= 0x7feb352d;  x ^= b;
//              x ^= x >> 15;  x *= 0x846ca68b;  x ^= x >> 16
//   u        = (int32(x) >> 8) * 2^-23, in [-1, 1)
//   value    = offset + u * scale in float32, rounded to the tensor's dtype (nearest, ties to even)
// A matrix of `in` columns has offset 0 and scale sqrt(3 / in) (variance 1 / in), a norm 1 and
// 0.25, a bias 0 and 0.25. SplitMix64: Steele et al. 2014; the 32-bit mixer is Wellons' lowbias32.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "kernels/base/dtype.h"

namespace phalanx {

struct DummyDistribution {
  float offset = 0.0F;
  float scale = 1.0F;
};

class DummyTensor {
 public:
  DummyTensor(uint64_t seed, std::string_view name, DummyDistribution distribution);

  // Elements [first_column, first_column + n) of a row, n = out.size() / SizeInBytes(dtype); dtype
  // is kBF16, kF16 or kF32. Thread-safe.
  void Fill(int64_t row, int64_t first_column, DType dtype, std::span<std::byte> out) const;

 private:
  uint64_t key_;
  DummyDistribution distribution_;
};

}  // namespace phalanx
