// Integer weights in checkpoints: the compressed-tensors layout that vLLM's llm-compressor writes
// (https://github.com/vllm-project/compressed-tensors), as far as it is symmetric integers of the
// layers' matrices. config.json says so in quantization_config; of a matrix M of [out, in] there
// are
//
//   int-quantized    M.weight         I8 [out, in]
//   pack-quantized   M.weight_packed  I32 [out, ceil(in * bits / 32)], the first feature in the
//                                     lowest bits, each value plus 2^(bits - 1)
//                    M.weight_shape   I64 [2]: out, in
//   both             M.weight_scale   BF16, F16 or F32 [out, groups], one group a row for the
//                                     strategy "channel"
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>

#include "kernels/base/status.h"

namespace phalanx {

struct StoredIntegers {
  enum class Form : uint8_t { kNone, kInts, kPacked };
  Form form = Form::kNone;
  int bits = 0;            // 8 or 4
  int64_t group_size = 0;  // 0: one group a row

  bool is_integer() const { return form != Form::kNone; }
  int64_t NumGroups(int64_t in_features) const {
    return group_size == 0 ? 1 : (in_features + group_size - 1) / group_size;
  }
  // Bytes of a row of so many features.
  int64_t RowBytes(int64_t in_features) const {
    return form == Form::kInts ? in_features : (in_features * bits + 31) / 32 * 4;
  }
};

// `value` is config.json's quantization_config. Errors name the file, the field, what was found and
// what is allowed. `unit`: group sizes are multiples of it.
StatusOr<StoredIntegers> ParseStoredIntegers(const nlohmann::json& value,
                                             std::string_view file_name, int64_t unit);

// The quantization_config of weights stored so.
nlohmann::ordered_json DescribeStoredIntegers(const StoredIntegers& stored);

// "model.layers.0.mlp.up_proj.weight" to "model.layers.0.mlp.up_proj.weight_scale", and so on.
std::string ScaleName(std::string_view weight);
std::string PackedName(std::string_view weight);
std::string ShapeName(std::string_view weight);

// Rows of values; `bytes` of stored.RowBytes(values.size()), beginning with a whole byte.
void PackIntegers(const StoredIntegers& stored, std::span<const int8_t> values,
                  std::span<std::byte> bytes);
void UnpackIntegers(const StoredIntegers& stored, std::span<const std::byte> bytes,
                    std::span<int8_t> values);

}  // namespace phalanx
