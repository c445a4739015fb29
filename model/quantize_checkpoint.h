// Makes a folder of integer weights (model/compressed_tensors.h) of one of floats.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>

#include "kernels/base/status.h"
#include "model/quantize_row.h"

namespace phalanx {

struct QuantizeOptions {
  Quantization quantization = Quantization::kInt8;  // not kNone
  int num_threads = 1;
  std::function<void(int64_t done_bytes, int64_t total_bytes)> on_progress;  // of what is read
  // Asked before each chunk; true ends it with CANCELLED.
  std::function<bool()> should_stop;
};

struct QuantizeSummary {
  int64_t num_quantized = 0;  // tensors
  int64_t num_copied = 0;     // tensors
  // Of the quantized, whose rows end within a group, which other readers of the layout refuse.
  int64_t num_with_partial_groups = 0;
  int64_t bytes_before = 0;  // of all tensors
  int64_t bytes_after = 0;
};

// Reads a Qwen2 folder and makes `output`, which must not be there, or be an empty folder: the
// matrices of the layers as integers of QuantizeRow, all other tensors as they are, in files of the
// same names, with config.json's quantization_config and the folder's other files (tokenizer, chat
// template). kInt8 is written int-quantized, one scale a row; kInt4 pack-quantized in groups of
// kInt4GroupSize. `output` appears when it is whole. Errors name the file, and the tensor or field;
// NaN and infinity are refused.
StatusOr<QuantizeSummary> QuantizeCheckpoint(const std::filesystem::path& model_dir,
                                             const std::filesystem::path& output,
                                             const QuantizeOptions& options);

}  // namespace phalanx
