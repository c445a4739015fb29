#include "model/stored_floats.h"

#include <bit>
#include <cstdint>
#include <cstring>

namespace phalanx {
namespace {

template <typename Stored, typename Widen>
void WidenEach(const std::byte* from, std::span<float> to, const Widen& widen) {
  for (size_t i = 0; i < to.size(); ++i) {
    Stored bits = 0;
    std::memcpy(&bits, from + i * sizeof(bits), sizeof(bits));
    to[i] = widen(bits);
  }
}

}  // namespace

void WidenToFloat(const std::byte* from, DType dtype, std::span<float> to) {
  switch (dtype) {
    case DType::kBF16:
      return WidenEach<uint16_t>(from, to, BF16ToFloat);
    case DType::kF16:
      return WidenEach<uint16_t>(from, to, F16ToFloat);
    default:
      return WidenEach<uint32_t>(from, to, std::bit_cast<float, uint32_t>);
  }
}

namespace {

template <typename T>
bool HasExponentBits(const std::byte* data, size_t count, T mask) {
  const T* bits = reinterpret_cast<const T*>(data);
  T found = 0;
  for (size_t i = 0; i < count; ++i) {
    found = static_cast<T>(found | ((bits[i] & mask) == mask ? T{1} : T{0}));
  }
  return found != 0;
}

}  // namespace

bool HasNonFinite(const std::byte* data, size_t count, DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return HasExponentBits<uint16_t>(data, count, 0x7f80U);
    case DType::kF16:
      return HasExponentBits<uint16_t>(data, count, 0x7c00U);
    default:
      return HasExponentBits<uint32_t>(data, count, 0x7f800000U);
  }
}

}  // namespace phalanx
