// Quantization of weights as they are read (--quantization). What the checkpoint has as integers
// already stays as it is, and so do norms and biases. Under kInt4 embedding and LM head are kInt8:
// they are read and added up by rows, and a coarse logit costs more than a coarse layer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/packed_weight.h"
#include "model/quantize_row.h"
#include "model/weight_table.h"

namespace phalanx {

// Says of each matrix of the table how it is quantized.
void SetQuantization(Quantization quantization, std::vector<WeightRow>& table);

// Quantizes rows of a table's matrix.
class RowQuantizer {
 public:
  explicit RowQuantizer(const WeightRow& row) : row_(row) {}

  // `floats`: [n, row.read_cols()]. What is returned is this rank's part of them, valid until the
  // next call.
  QuantizedRows Quantize(std::span<const float> floats);

 private:
  const WeightRow& row_;
  std::vector<int8_t> values_;
  std::vector<float> scales_;
};

}  // namespace phalanx
