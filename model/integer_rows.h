// Reading the integers that a checkpoint has for a matrix of the weight table
// (model/compressed_tensors.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/base/status.h"
#include "model/safetensors.h"
#include "model/weight_table.h"

namespace phalanx {

struct StoredIntegerTensors {
  TensorLocation values;  // dtype kI8: bytes, packed or not
  TensorLocation scales;
};

// Errors name file and tensor, and show what was expected and what was found.
StatusOr<StoredIntegerTensors> FindStoredIntegers(const Checkpoint& checkpoint,
                                                  const WeightRow& row);

// Of one row, what this rank reads for its read_cols(): bytes from the row's first one.
Range StoredBytesRead(const WeightRow& row);

// [n, read_cols()] of n times StoredBytesRead().
std::vector<int8_t> UnpackRows(const WeightRow& row, std::span<const std::byte> bytes);

// [rows, groups of which this rank has a part]. A scale that is not finite or not above 0 is
// refused with its place.
StatusOr<std::vector<float>> ReadStoredScales(const WeightRow& row, const TensorLocation& location,
                                              Range rows);

}  // namespace phalanx
