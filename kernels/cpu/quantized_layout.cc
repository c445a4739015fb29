#include "kernels/cpu/quantized_layout.h"

#include <algorithm>
#include <cstring>

namespace phalanx {
namespace {

constexpr int64_t kHalf = kQuantizedSlots / 2;
constexpr int64_t kQuadBytes = kHalf * kQuad;
constexpr int kNibbleZero = 8;

// Where the quad of a slot begins: of 8 bits, or of 4, where quads share bytes by twos.
int64_t QuadByte(int bits, int64_t quad, int64_t slot) {
  const int64_t half = quad / kQuadsOfStep * 2 + slot / kHalf;
  const int64_t in_step = quad % kQuadsOfStep;
  const int64_t row =
      bits == 8 ? half * kQuadsOfStep + in_step : (half * kQuadsOfStep + in_step) / 2;
  return row * kQuadBytes + slot % kHalf * kQuad;
}

int NibbleShift(int64_t quad) { return quad % 2 == 0 ? 0 : 4; }

}  // namespace

QuantizedLayout QuantizedLayout::Of(const WeightSpec& spec) {
  const WeightQuantization& quantization = spec.quantization;
  QuantizedLayout layout;
  if (!quantization.is_quantized()) return layout;
  layout.bits = quantization.bits;
  if (spec.in_features == 0) return layout;
  layout.lead = quantization.first_feature % kQuantizedStep;
  layout.num_features = spec.in_features;
  layout.num_steps = NumQuantizedSteps(layout.lead + spec.in_features);
  layout.num_groups = quantization.NumGroups(spec.in_features);
  layout.group_steps = quantization.group_size / kQuantizedStep;
  if (layout.group_steps > 0) {
    layout.skipped_steps = quantization.first_feature / kQuantizedStep % layout.group_steps;
  }
  return layout;
}

Status CheckQuantization(const WeightSpec& spec) {
  const WeightQuantization& quantization = spec.quantization;
  if (spec.dtype != DType::kI8) {
    return InvalidArgumentError("weight {}: dtype is {}, allowed where it is quantized: I8",
                                spec.name, Name(spec.dtype));
  }
  if (quantization.bits != 8 && quantization.bits != 4) {
    return InvalidArgumentError("weight {}: values have {} bits, allowed: 8, 4", spec.name,
                                quantization.bits);
  }
  if (quantization.group_size < 0 || quantization.group_size % kQuantizationUnit != 0) {
    return InvalidArgumentError("weight {}: group size is {}, allowed: multiples of {}, or 0",
                                spec.name, quantization.group_size, kQuantizationUnit);
  }
  if (spec.in_features > kMaxQuantizedFeatures) {
    return InvalidArgumentError(
        "weight {}: rows have {} elements, allowed where it is quantized: "
        "up to {}",
        spec.name, spec.in_features, kMaxQuantizedFeatures);
  }
  return OkStatus();
}

void PackQuantizedRow(const QuantizedLayout& layout, int64_t slot, std::span<const int8_t> values,
                      std::span<const float> scales, std::byte* panel) {
  for (size_t g = 0; g < scales.size(); ++g) {
    reinterpret_cast<float*>(panel)[static_cast<int64_t>(g) * kQuantizedSlots + slot] = scales[g];
  }
  auto* bytes = reinterpret_cast<uint8_t*>(panel + layout.scale_bytes());
  int64_t k = 0;
  // Whole quads, as nearly all are.
  while (layout.bits == 8 && layout.lead % kQuad == 0 && k + kQuad <= layout.num_features) {
    std::memcpy(bytes + QuadByte(layout.bits, (layout.lead + k) / kQuad, slot),
                &values[static_cast<size_t>(k)], kQuad);
    k += kQuad;
  }
  // By twos, which share their bytes.
  while (layout.bits == 4 && layout.lead % (2 * kQuad) == 0 &&
         k + 2 * kQuad <= layout.num_features) {
    uint8_t* out = bytes + QuadByte(layout.bits, (layout.lead + k) / kQuad, slot);
    for (int64_t i = 0; i < kQuad; ++i, ++k) {
      const int low = values[static_cast<size_t>(k)] + kNibbleZero;
      const int high = values[static_cast<size_t>(k + kQuad)] + kNibbleZero;
      out[i] = static_cast<uint8_t>((low & 15) | (high & 15) << 4);
    }
    k += kQuad;
  }
  while (k < layout.num_features) {
    const int64_t position = layout.lead + k;
    const int64_t quad = position / kQuad;
    const int64_t first = position % kQuad;
    const int64_t count = std::min(kQuad - first, layout.num_features - k);
    uint8_t* out = bytes + QuadByte(layout.bits, quad, slot) + first;
    const int shift = NibbleShift(quad);
    for (int64_t i = 0; i < count; ++i) {
      const int8_t value = values[static_cast<size_t>(k + i)];
      const int nibble = ((value + kNibbleZero) & 15) << shift;
      out[i] = static_cast<uint8_t>(layout.bits == 8 ? value : out[i] | nibble);
    }
    k += count;
  }
}

void ReadQuantizedRow(const QuantizedLayout& layout, int64_t slot, const std::byte* panel,
                      std::span<float> out) {
  const auto* scales = reinterpret_cast<const float*>(panel);
  const auto* bytes = reinterpret_cast<const uint8_t*>(panel + layout.scale_bytes());
  for (int64_t g = 0; g < layout.num_groups; ++g) {
    const int64_t begin = std::max<int64_t>(layout.GroupBegin(g) * kQuantizedStep - layout.lead, 0);
    const int64_t end =
        std::min(layout.GroupBegin(g + 1) * kQuantizedStep - layout.lead, layout.num_features);
    for (int64_t k = begin; k < end; ++k) {
      const int64_t position = layout.lead + k;
      const uint8_t byte = bytes[QuadByte(layout.bits, position / kQuad, slot) + position % kQuad];
      const int value = layout.bits == 8
                            ? static_cast<int8_t>(byte)
                            : (byte >> NibbleShift(position / kQuad) & 15) - kNibbleZero;
      out[static_cast<size_t>(k)] = static_cast<float>(value) * scales[g * kQuantizedSlots + slot];
    }
  }
}

}  // namespace phalanx
