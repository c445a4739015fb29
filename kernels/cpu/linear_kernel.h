// The inner loops of Linear and GateUpSwiglu over a rectangle of panels and row blocks.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/base/dtype.h"
#include "kernels/cpu/isa.h"

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
  // Block b is at x + FirstRow(b) * in_features, as [in_features, rows of b]: the inner loop reads
  // it as one stream. With one row that is x itself.
  const float* x = nullptr;
  RowBlocks blocks;
  int64_t in_features = 0;
  const std::byte* panels = nullptr;  // cpu_packed_weight.h
  int64_t panel_bytes = 0;
  DType weight_dtype = DType::kBF16;
  LinearEpilogue epilogue = LinearEpilogue::kBias;
  const float* bias = nullptr;  // [out_features] or null; kBias only
  float* out = nullptr;         // [num_rows, out_features]
  int64_t out_stride = 0;
  int64_t out_features = 0;  // of `out`: the intermediate size for kSwiglu
};

struct LinearRange {
  int64_t panel_begin = 0;
  int64_t panel_end = 0;
  int64_t block_begin = 0;
  int64_t block_end = 0;
};

using LinearKernel = void (*)(const LinearProblem& problem, const LinearRange& range);

struct LinearKernels {
  LinearKernel run = nullptr;
  int64_t max_block_rows = 0;
};
LinearKernels GetLinearKernels(CpuIsa isa);

}  // namespace phalanx
