#include "model/dummy_weights.h"

#include <bit>
#include <cmath>

#include "kernels/base/check.h"

namespace phalanx {
namespace {

constexpr uint64_t kGolden64 = 0x9e3779b97f4a7c15U;
constexpr uint32_t kGolden32 = 0x9e3779b9U;

uint64_t SplitMix64(uint64_t x) {
  x += kGolden64;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

uint64_t Fnv1a64(std::string_view text) {
  uint64_t hash = 0xcbf29ce484222325U;
  for (const char c : text) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3U;
  return hash;
}

struct RowKey {
  uint32_t a;
  uint32_t b;
};

inline float Uniform(RowKey key, uint32_t column) {
  uint32_t x = column * kGolden32 + key.a;
  x ^= x >> 16;
  x *= 0x7feb352dU;
  x ^= key.b;
  x ^= x >> 15;
  x *= 0x846ca68bU;
  x ^= x >> 16;
  return static_cast<float>(static_cast<int32_t>(x) >> 8) * 0x1p-23F;
}

// Finite values only, which keeps the loop free of branches.
inline uint16_t RoundToBF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

// Magnitudes below 65504 only. The hardware's own rounding does the subnormals: in the sum the last
// mantissa bit is worth 2^-24, the smallest binary16.
inline uint16_t RoundToF16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7fffffffU;
  const uint32_t normal = (magnitude + 0xfffU + ((magnitude >> 13) & 1U) - (112U << 23)) >> 13;
  const uint32_t subnormal = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) -
                             std::bit_cast<uint32_t>(0.5F);
  return static_cast<uint16_t>(sign | (magnitude < (113U << 23) ? subnormal : normal));
}

template <typename T, typename Round>
void FillRow(RowKey key, uint32_t first_column, DummyDistribution distribution,
             std::span<std::byte> out, Round round) {
  T* values = reinterpret_cast<T*>(out.data());
  const size_t count = out.size() / sizeof(T);
  for (size_t i = 0; i < count; ++i) {
    const float u = Uniform(key, first_column + static_cast<uint32_t>(i));
    values[i] = round(distribution.offset + u * distribution.scale);
  }
}

}  // namespace

DummyTensor::DummyTensor(uint64_t seed, std::string_view name, DummyDistribution distribution)
    : key_(SplitMix64(Fnv1a64(name) + seed * kGolden64)), distribution_(distribution) {}

void DummyTensor::Fill(int64_t row, int64_t first_column, DType dtype,
                       std::span<std::byte> out) const {
  const uint64_t mixed = SplitMix64(key_ + static_cast<uint64_t>(row) * kGolden64);
  const RowKey key{static_cast<uint32_t>(mixed), static_cast<uint32_t>(mixed >> 32)};
  const auto first = static_cast<uint32_t>(first_column);
  switch (dtype) {
    case DType::kBF16:
      return FillRow<uint16_t>(key, first, distribution_, out, RoundToBF16);
    case DType::kF16:
      return FillRow<uint16_t>(key, first, distribution_, out, RoundToF16);
    case DType::kF32:
      return FillRow<float>(key, first, distribution_, out, [](float v) { return v; });
    default:
      PHALANX_CHECK(false);
  }
}

}  // namespace phalanx
