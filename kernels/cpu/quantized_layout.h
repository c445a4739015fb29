// Where a quantized weight's integers and scales lie in a panel of CpuPackedWeight, and how rows of
// x are cut into integers for it.
//
//   scales   f32 [num_groups, 32 slots]
//   values   8 bits: int8 [steps, 2 halves, 16 quads, 16 slots, 4]
//            4 bits: [steps, 2 halves, 8, 16 slots, 4] bytes: value + 8 of one quad in the low
//            bits, of the next in the high bits
//
// A step is 64 positions, a quad four. A position is an input feature, counted from the last
// multiple of 64 of the whole row, so that groups begin with a step, whatever part of a row this
// is. The `lead` positions before this part's first feature, and those behind its last one up to a
// whole step, have bytes of zero, which 4 bits read as -8: x has digits of zero there. Each row's
// bits are in bytes of their own.
//
// x of a row is integers X of one scale, a power of two, that keeps its largest magnitude within
// 2^22 (three digits) or 2^14 (two): X = ((d0 * 256) + d1) * 256 + d2 with d in -128..127. Products
// of digits and values are summed in 32-bit integers, so their order does not matter.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "kernels/base/status.h"
#include "kernels/packed_weight.h"

namespace phalanx {

inline constexpr int64_t kQuantizedSlots = 32;  // of a panel
inline constexpr int64_t kQuantizedStep = kQuantizationUnit;
inline constexpr int64_t kQuad = 4;
inline constexpr int64_t kQuadsOfStep = kQuantizedStep / kQuad;
// As far as a digit's products, 128 * 128 each, add up within 32 bits.
inline constexpr int64_t kMaxQuantizedFeatures = int64_t{1} << 16;

constexpr int64_t NumQuantizedSteps(int64_t positions) {
  return (positions + kQuantizedStep - 1) / kQuantizedStep;
}

struct QuantizedLayout {
  int bits = 0;  // 0: not quantized
  int64_t lead = 0;
  int64_t num_features = 0;
  int64_t num_steps = 0;
  int64_t num_groups = 0;
  int64_t group_steps = 0;    // 0: one group
  int64_t skipped_steps = 0;  // of the first group, those before this part's

  static QuantizedLayout Of(const WeightSpec& spec);

  int64_t scale_bytes() const {
    return num_groups * kQuantizedSlots * static_cast<int64_t>(sizeof(float));
  }
  int64_t step_bytes() const { return kQuantizedStep * kQuantizedSlots * bits / 8; }
  int64_t panel_bytes() const { return scale_bytes() + num_steps * step_bytes(); }
  // Group g has steps [GroupBegin(g), GroupBegin(g + 1)).
  int64_t GroupBegin(int64_t group) const {
    if (group == 0) return 0;
    if (group >= num_groups) return num_steps;
    return group * group_steps - skipped_steps;
  }
};

// INVALID_ARGUMENT for a form that no kernel takes.
Status CheckQuantization(const WeightSpec& spec);

// One row of a panel whose bytes were zeros: `values` as many as the layout has features, `scales`
// as many as groups.
void PackQuantizedRow(const QuantizedLayout& layout, int64_t slot, std::span<const int8_t> values,
                      std::span<const float> scales, std::byte* panel);
// The same, back: values times scales.
void ReadQuantizedRow(const QuantizedLayout& layout, int64_t slot, const std::byte* panel,
                      std::span<float> out);

}  // namespace phalanx
