#include "model/quantize.h"

namespace phalanx {

void SetQuantization(Quantization quantization, std::vector<WeightRow>& table) {
  if (quantization == Quantization::kNone) return;
  for (WeightRow& row : table) {
    if (row.role != WeightRow::Role::kMatrix || row.stored.is_integer()) continue;
    const bool is_layer = row.layer >= 0;
    const bool is_int4 = quantization == Quantization::kInt4 && is_layer;
    row.quantization = {.bits = is_int4 ? 4 : 8,
                        .group_size = is_int4 ? kInt4GroupSize : 0,
                        .first_feature = row.local_cols().begin};
  }
}

QuantizedRows RowQuantizer::Quantize(std::span<const float> floats) {
  const WeightQuantization& form = row_.quantization;
  const Range read = row_.read_cols();
  const Range local = row_.local_cols();
  const auto cols = static_cast<size_t>(read.size());
  const size_t num_rows = floats.size() / cols;
  const int64_t num_groups = form.NumGroups(local.size());
  values_.resize(floats.size());
  scales_.resize(num_rows * static_cast<size_t>(num_groups));
  for (size_t r = 0; r < num_rows; ++r) {
    QuantizeRow(floats.subspan(r * cols, cols), form.bits, form.group_size,
                std::span(values_).subspan(r * cols, cols),
                std::span(scales_).subspan(r * static_cast<size_t>(num_groups),
                                           static_cast<size_t>(num_groups)));
  }
  const auto rows = static_cast<int64_t>(num_rows);
  return {
      {values_.data() + (local.begin - read.begin), DType::kI8, rows, local.size(), read.size()},
      MakeTensor(scales_.data(), DType::kF32, rows, num_groups)};
}

}  // namespace phalanx
