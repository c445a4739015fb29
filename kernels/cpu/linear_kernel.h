// The inner loops of Linear and GateUpSwiglu over a rectangle of panels and row blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/base/tensor_view.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cpu/tiles.h"
#include "kernels/cpu/vnni.h"

namespace phalanx {

// Rows of x cut into blocks that one pass over a panel serves. Block b holds rows
// [FirstRow(b), FirstRow(b + 1)); sizes differ by at most one.
struct RowBlocks {
  int64_t num_rows = 0;
  int64_t num_blocks = 0;

  int64_t FirstRow(int64_t block) const {
    return block * (num_rows / num_blocks) + (block < Extra() ? block : Extra());
  }

 private:
  int64_t Extra() const { return num_rows % num_blocks; }
};

enum class LinearEpilogue : uint8_t { kBias, kSwiglu };

struct LinearProblem {
  // Block b is at x + FirstRow(b) * x_row_bytes, as the kernels packed it: the inner loop reads it
  // as one stream.
  const std::byte* x = nullptr;
  int64_t x_row_bytes = 0;
  RowBlocks blocks;
  int64_t in_features = 0;
  const std::byte* panels = nullptr;  // cpu_packed_weight.h
  int64_t panel_bytes = 0;
  DType weight_dtype = DType::kBF16;
  QuantizedLayout quantized;
  LinearEpilogue epilogue = LinearEpilogue::kBias;
  const float* bias = nullptr;  // [out_features] or null; kBias only
  float* out = nullptr;         // [num_rows, out_features]
  int64_t out_stride = 0;
  int64_t out_features = 0;              // of `out`: the intermediate size for kSwiglu
  const TileFunctions* tiles = nullptr;  // of the tile kernels
  VnniFunction vnni = nullptr;           // of the kernels that were made with it
};

struct LinearRange {
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
  int64_t block_begin = 0;
  int64_t block_end = 0;
};

// A way to multiply, and what it wants of its caller.
struct LinearKernels {
  // One task: `scratch` has scratch_floats, 64-byte aligned, for this thread alone.
  void (*run)(const LinearProblem& problem, const LinearRange& range, float* scratch) = nullptr;
  // Rows [first_row, first_row + rows) of x, f32, as one block of rows * packed_row_bytes, each
  // behind `lead` zeros (of QuantizedLayout, else 0).
  void (*pack)(const TensorView& x, int64_t first_row, int64_t rows, int64_t lead,
               std::byte* packed) = nullptr;
  // Of a row of so many elements, its lead included.
  int64_t (*packed_row_bytes)(int64_t in_features) = nullptr;
  int64_t max_block_rows = 0;
  bool one_row_is_packed = false;  // x of one row is taken as it is
  // What several blocks of rows should share in one task; 0: as few panels as balance the threads,
  // and all blocks.
  int64_t task_panels = 0;
  int64_t task_blocks = 0;
  size_t scratch_floats = 0;
};

// x_dtype is what x is multiplied as: kF32, or kBF16 for rounding it first.

// For weights of WeightArrangement::kSlots: vectors of f32. Block b of x is [in_features, rows].
LinearKernels GetLinearKernels(CpuIsa isa, DType x_dtype);

// For weights of WeightArrangement::kTiles, on CpuIsa::kAmx. kF32 is split into three bf16 parts,
// whose products are summed apart and then together, the smallest first. Block b of x is
// [steps of kTileDepth, parts, rows, kTileDepth].
LinearKernels GetTileLinearKernels(DType x_dtype);

// For quantized weights: products of integers (kernels/cpu/quantized_layout.h), the same bits on
// all instruction sets. kBF16 means two digits, kF32 three. `vnni` may be null.
LinearKernels GetQuantizedLinearKernels(CpuIsa isa, DType x_dtype, VnniFunction vnni);
// The same on CpuIsa::kAmx.
LinearKernels GetQuantizedTileKernels(DType x_dtype);

}  // namespace phalanx
