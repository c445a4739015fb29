// Sums of products of bytes by AVX-512's VNNI (VPDPBUSD): four products of an unsigned and a signed
// byte are added to a 32-bit integer, exactly.
#pragma once

#include <cstddef>
#include <cstdint>

namespace phalanx {

// Steps of a quantized panel (kernels/cpu/quantized_layout.h) times as many of a block of x.
struct VnniProduct {
  const std::byte* values = nullptr;  // of the first step
  int bits = 8;
  int64_t step_bytes = 0;  // of values
  int64_t num_steps = 0;
  // Of each step int8 [quads, rows, digits, kQuad], then the sums of its digits, int32 [rows,
  // digits].
  const std::byte* x = nullptr;
  int64_t x_step_bytes = 0;
  int64_t num_rows = 0;     // 1 to kMaxVnniRows
  int64_t num_digits = 0;   // 2 or 3
  int32_t* sums = nullptr;  // [2 halves, rows, digits, slots of a half], written
};

inline constexpr int64_t kMaxVnniRows = 8;

using VnniFunction = void (*)(const VnniProduct& product);

// Null where the machine has no such instructions.
VnniFunction FindVnniFunction();

}  // namespace phalanx
