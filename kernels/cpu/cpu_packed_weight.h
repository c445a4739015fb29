// The CPU kernels' layouts of a weight matrix.
//
// Output features are grouped into panels of 32, one sequential stream for one pass over it. Slots
// 0..15 of a panel are its low half, 16..31 its high half:
//
//   kLinear   slot s of panel p is output feature 32 p + s
//   kGateUp   low slot s is gate row 16 p + s, high slot 16 + s is up row 16 p + s, so that
//             silu(g) * u needs no data from another panel
//
// Within a panel:
//
//   kSlots    for each input feature k in ascending order the 32 weights that multiply x[k], so
//   that
//             the 32 sums live in registers
//               bf16      word s of 16 32-bit words is low[s] | high[s] << 16: a shift and a mask
//                         widen it
//               f16, f32  32 elements in slot order
//   kTiles    bf16: for each 32 input features a tile of the low and one of the high half,
//   each
//             [16 pairs of input features, 16 slots, 2]; past the last input feature zeros
//
// Quantized weights: kernels/cpu/quantized_layout.h. The last panel is padded with zeros.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/mapped_memory.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cpu/tiles.h"
#include "kernels/packed_weight.h"

namespace phalanx {

inline constexpr int64_t kPanelSlots = 32;
inline constexpr int64_t kPanelHalf = kPanelSlots / 2;

enum class WeightArrangement : uint8_t { kSlots, kTiles };

class CpuPackedWeight final : public PackedWeight {
 public:
  // INVALID_ARGUMENT for a shape or dtype that no kernel takes, RESOURCE_EXHAUSTED without memory.
  // kTiles is for BF16; a quantized weight has one layout.
  static StatusOr<std::unique_ptr<CpuPackedWeight>> Create(const WeightSpec& spec,
                                                           WeightArrangement arrangement);

  size_t size_bytes() const override { return memory_.size_bytes(); }

  // rows: [n, in_features] of the weight's dtype, logical rows first_row .. first_row + n - 1. Safe
  // from several threads for disjoint rows.
  void PackRows(int64_t first_row, const TensorView& rows);
  // The same of a quantized weight.
  void PackQuantizedRows(int64_t first_row, const QuantizedRows& rows);

  int64_t num_panels() const { return num_panels_; }
  int64_t panel_bytes() const { return panel_bytes_; }
  const std::byte* panel(int64_t p) const {
    return static_cast<const std::byte*>(memory_.data()) + p * panel_bytes_;
  }
  WeightArrangement arrangement() const { return arrangement_; }
  const QuantizedLayout& quantized() const { return quantized_; }

  // Of weights that are not quantized.
  // Where logical row `row` lies: its element k is element IndexOf(k) + offset of its panel.
  struct RowPlace {
    int64_t panel;
    int64_t offset;
  };
  RowPlace PlaceOf(int64_t row) const;
  int64_t IndexOf(int64_t k) const {
    return arrangement_ == WeightArrangement::kSlots
               ? k * kPanelSlots
               : k / kTileDepth * (kTileDepth * kPanelSlots) +
                     k % kTileDepth / 2 * (2 * kTileSlots) + k % 2;
  }

  // Logical row `row` of a quantized weight as f32.
  void ReadRow(int64_t row, std::span<float> out) const;

 private:
  struct Slot {
    int64_t panel;
    int64_t index;  // 0..31
  };
  CpuPackedWeight(const WeightSpec& spec, WeightArrangement arrangement, MappedMemory memory,
                  int64_t num_panels, int64_t panel_bytes);

  Slot SlotOf(int64_t row) const;

  WeightArrangement arrangement_;
  QuantizedLayout quantized_;
  MappedMemory memory_;
  int64_t num_panels_;
  int64_t panel_bytes_;
};

}  // namespace phalanx
