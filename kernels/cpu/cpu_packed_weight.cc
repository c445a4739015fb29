#include "kernels/cpu/cpu_packed_weight.h"

#include <algorithm>
#include <utility>

namespace phalanx {
namespace {

// Input features, whole tiles, that are packed for all rows of a call before the next ones: 64
// lines of a panel stay in the first-level cache while the rows' elements are scattered into them.
constexpr int64_t kPackTile = 64;

template <typename T>
void ScatterRow(const T* source, int64_t n, T* target) {
  for (int64_t k = 0; k < n; ++k) target[k * kPanelSlots] = source[k];
}

// `target` is where the row's first element of a tile lies; tiles follow one another.
void ScatterRowIntoTiles(const uint16_t* source, int64_t n, uint16_t* target) {
  for (int64_t first = 0; first < n; first += kTileDepth, target += kTileDepth * kPanelSlots) {
    const int64_t count = std::min(kTileDepth, n - first);
    for (int64_t k = 0; k < count; ++k) target[k / 2 * 2 * kTileSlots + k % 2] = source[first + k];
  }
}

}  // namespace

StatusOr<std::unique_ptr<CpuPackedWeight>> CpuPackedWeight::Create(const WeightSpec& spec,
                                                                   WeightArrangement arrangement) {
  if (spec.quantization.is_quantized()) {
    PHALANX_RETURN_IF_ERROR(CheckQuantization(spec));
  } else if (spec.dtype != DType::kBF16 && spec.dtype != DType::kF16 && spec.dtype != DType::kF32) {
    return InvalidArgumentError("weight {}: dtype is {}, allowed: BF16, F16, F32", spec.name,
                                Name(spec.dtype));
  }
  if (spec.out_features < 0 || spec.in_features < 0) {
    return InvalidArgumentError("weight {}: shape is [{}, {}], allowed: no negative dimension",
                                spec.name, spec.out_features, spec.in_features);
  }
  if (spec.layout == WeightLayout::kGateUp && spec.out_features % 2 != 0) {
    return InvalidArgumentError("weight {}: has {} rows, allowed: as many gate rows as up rows",
                                spec.name, spec.out_features);
  }
  const int64_t per_panel = spec.layout == WeightLayout::kGateUp ? kPanelHalf : kPanelSlots;
  const int64_t features =
      spec.layout == WeightLayout::kGateUp ? spec.out_features / 2 : spec.out_features;
  const int64_t num_panels = (features + per_panel - 1) / per_panel;
  const int64_t depth = arrangement == WeightArrangement::kTiles ? kTileDepth : 1;
  const int64_t panel_bytes = spec.quantization.is_quantized()
                                  ? QuantizedLayout::Of(spec).panel_bytes()
                                  : kPanelSlots * ((spec.in_features + depth - 1) / depth * depth) *
                                        static_cast<int64_t>(SizeInBytes(spec.dtype));
  PHALANX_ASSIGN_OR_RETURN(
      MappedMemory memory,
      MappedMemory::Allocate(static_cast<size_t>(num_panels * panel_bytes), spec.name));
  return std::unique_ptr<CpuPackedWeight>(
      new CpuPackedWeight(spec, arrangement, std::move(memory), num_panels, panel_bytes));
}

CpuPackedWeight::CpuPackedWeight(const WeightSpec& spec, WeightArrangement arrangement,
                                 MappedMemory memory, int64_t num_panels, int64_t panel_bytes)
    : PackedWeight(spec),
      arrangement_(arrangement),
      quantized_(QuantizedLayout::Of(spec)),
      memory_(std::move(memory)),
      num_panels_(num_panels),
      panel_bytes_(panel_bytes) {}

CpuPackedWeight::Slot CpuPackedWeight::SlotOf(int64_t row) const {
  if (spec().layout == WeightLayout::kLinear) return {row / kPanelSlots, row % kPanelSlots};
  const int64_t half_rows = spec().out_features / 2;
  const bool is_up = row >= half_rows;
  const int64_t feature = is_up ? row - half_rows : row;
  return {feature / kPanelHalf, feature % kPanelHalf + (is_up ? kPanelHalf : 0)};
}

CpuPackedWeight::RowPlace CpuPackedWeight::PlaceOf(int64_t row) const {
  const auto [panel, slot] = SlotOf(row);
  if (arrangement_ == WeightArrangement::kTiles) {
    constexpr int64_t kTileElements = kTileDepth * kTileSlots;
    return {panel, slot < kPanelHalf ? 2 * slot : kTileElements + 2 * (slot - kPanelHalf)};
  }
  if (spec().dtype != DType::kBF16) return {panel, slot};
  return {panel, slot < kPanelHalf ? 2 * slot : 2 * (slot - kPanelHalf) + 1};
}

void CpuPackedWeight::PackRows(int64_t first_row, const TensorView& rows) {
  PHALANX_CHECK(rows.dtype == spec().dtype && !spec().quantization.is_quantized());
  PHALANX_CHECK_EQ(rows.cols, spec().in_features);
  PHALANX_CHECK_GE(first_row, 0);
  PHALANX_CHECK_LE(first_row + rows.rows, spec().out_features);
  for (int64_t group = 0; group < rows.rows; group += kPanelSlots) {
    const int64_t group_end = std::min(group + kPanelSlots, rows.rows);
    for (int64_t k = 0; k < rows.cols; k += kPackTile) {
      const int64_t n = std::min(kPackTile, rows.cols - k);
      for (int64_t r = group; r < group_end; ++r) {
        const RowPlace place = PlaceOf(first_row + r);
        std::byte* target = static_cast<std::byte*>(memory_.data()) + place.panel * panel_bytes_;
        const int64_t index = IndexOf(k) + place.offset;
        if (arrangement_ == WeightArrangement::kTiles) {
          ScatterRowIntoTiles(rows.row<uint16_t>(r) + k, n,
                              reinterpret_cast<uint16_t*>(target) + index);
        } else if (spec().dtype == DType::kF32) {
          ScatterRow(rows.row<float>(r) + k, n, reinterpret_cast<float*>(target) + index);
        } else {
          ScatterRow(rows.row<uint16_t>(r) + k, n, reinterpret_cast<uint16_t*>(target) + index);
        }
      }
    }
  }
}

void CpuPackedWeight::PackQuantizedRows(int64_t first_row, const QuantizedRows& rows) {
  PHALANX_CHECK(spec().quantization.is_quantized());
  PHALANX_CHECK(rows.values.dtype == DType::kI8 && rows.scales.dtype == DType::kF32);
  PHALANX_CHECK_EQ(rows.values.cols, spec().in_features);
  PHALANX_CHECK_EQ(rows.scales.cols, quantized_.num_groups);
  PHALANX_CHECK_EQ(rows.scales.rows, rows.values.rows);
  PHALANX_CHECK_GE(first_row, 0);
  PHALANX_CHECK_LE(first_row + rows.values.rows, spec().out_features);
  for (int64_t r = 0; r < rows.values.rows; ++r) {
    const Slot slot = SlotOf(first_row + r);
    PackQuantizedRow(quantized_, slot.index,
                     {rows.values.row<int8_t>(r), static_cast<size_t>(rows.values.cols)},
                     {rows.scales.row<float>(r), static_cast<size_t>(rows.scales.cols)},
                     static_cast<std::byte*>(memory_.data()) + slot.panel * panel_bytes_);
  }
}

void CpuPackedWeight::ReadRow(int64_t row, std::span<float> out) const {
  const Slot slot = SlotOf(row);
  ReadQuantizedRow(quantized_, slot.index, panel(slot.panel), out);
}

}  // namespace phalanx
