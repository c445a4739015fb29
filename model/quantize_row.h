// Rounds weights to small integers with scales: symmetric, so a zero stays one.
//
//   kInt8   one scale a row: its largest magnitude / 127
//   kInt4   groups of kInt4GroupSize input features; of several clipped ranges the one whose
//           rounding loses least, with the scale that fits its integers best (least squares)
//
// Scales are bf16 numbers.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace phalanx {

enum class Quantization : uint8_t { kNone, kInt8, kInt4 };

// The name of --quantization: "none", "int8", "int4".
std::string_view Name(Quantization quantization);

inline constexpr int64_t kInt4GroupSize = 64;

// Finite values of whole groups, beginning with a group; `values` as many, `scales` one a group.
// group_size 0: one group. The scale of a group that becomes zeros is 0.
void QuantizeRow(std::span<const float> row, int bits, int64_t group_size, std::span<int8_t> values,
                 std::span<float> scales);

}  // namespace phalanx
