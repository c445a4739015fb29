// Products of bf16 and of int8 matrices in tile registers (AMX).
//
// Source: Intel Architecture Instruction Set Extensions Programming Reference, TDPBF16PS. One
// product of tiles adds to each f32 sum, for 32 input features, the sum of two chains of fused
// multiply-adds from zero, one over the even features and one over the odd, in ascending order;
// subnormal numbers count as zero, before and after. So a sum depends on its own row and column
// alone, whatever else the tiles hold. TDPBSSD adds, for 64 input features, products of int8 to
// 32-bit integers: exact, but that they wrap around.
#pragma once

#include <cstddef>
#include <cstdint>

namespace phalanx {

inline constexpr int64_t kTileDepth = 32;  // input features of one product
inline constexpr int64_t kTileRows = 16;   // rows of x in one product at most
inline constexpr int64_t kTileSlots = 16;  // output features of one product

enum class TileStart : uint8_t {
  kZero,  // sums are written
  kSums,  // sums are added to
};

// sums[h][r][s] = or += sum over k of x[k][r] * weights[k][h][s], for both halves h of a panel.
struct TileProduct {
  const std::byte* x = nullptr;        // bf16 [num_steps, num_rows, kTileDepth]
  const std::byte* weights = nullptr;  // bf16 [num_steps, 2, kTileDepth / 2, kTileSlots, 2]
  int64_t num_steps = 0;               // of kTileDepth input features
  int64_t num_rows = 0;                // as configured
  TileStart start = TileStart::kZero;
  float* sums = nullptr;  // [2, num_rows, kTileSlots]
};

// The same of int8: sums[h][r][s] = or += sum over k of x[k][r] * weights[k][h][s].
struct Int8TileProduct {
  const std::byte* x = nullptr;        // int8 [num_steps, num_rows, 64]
  const std::byte* weights = nullptr;  // int8 [num_steps, 2, 16, kTileSlots, 4]
  int64_t num_steps = 0;               // of 64 input features
  int64_t num_rows = 0;                // as configured
  TileStart start = TileStart::kZero;
  int32_t* sums = nullptr;  // [2, num_rows, kTileSlots]
};

inline constexpr int64_t kMaxTileProductRows = 3 * kTileRows;

// For one thread at a time: configure, any number of products of as many rows, release.
struct TileFunctions {
  // num_rows: 1 to 2 * kTileRows, in one tile or two, or a multiple of three up to
  // kMaxTileProductRows.
  void (*configure)(int64_t num_rows) = nullptr;
  void (*multiply)(const TileProduct& product) = nullptr;
  void (*multiply_int8)(const Int8TileProduct& product) = nullptr;
  void (*release)() = nullptr;
};

// Null where the machine has no such tiles or the system does not let this process use them, which
// it is asked for here.
const TileFunctions* FindTileFunctions();

}  // namespace phalanx
