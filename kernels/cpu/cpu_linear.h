// Linear and GateUpSwiglu on CPUs: packs x, cuts the product into tasks, runs them on all threads.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/base/tensor_view.h"
#include "kernels/cpu/cpu_packed_weight.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/linear_kernel.h"
#include "kernels/cpu/scratch.h"
#include "kernels/cpu/thread_pool.h"

namespace phalanx {

class CpuLinear {
 public:
  // x_dtype is what x is multiplied as: kF32, or kBF16 for rounding it first. `threads` must
  // outlive this.
  // Null for `vnni`: without it.
  CpuLinear(CpuIsa isa, DType x_dtype, VnniFunction vnni, ThreadPool& threads);

  // The layout that this machine multiplies fastest.
  WeightArrangement ArrangementFor(DType dtype) const;

  // x: [n, in_features] f32; out: [n, out_features], with kSwiglu half of the weight's; bias: empty
  // or as many, kBias only.
  void Multiply(const TensorView& x, const CpuPackedWeight& weight, LinearEpilogue epilogue,
                std::span<const float> bias, const TensorView& out);

 private:
  const LinearKernels& KernelsFor(const CpuPackedWeight& weight) const;
  // x as `kernels` want it.
  const std::byte* Pack(const LinearKernels& kernels, const TensorView& x, const RowBlocks& blocks,
                        int64_t lead);

  ThreadPool& threads_;
  const TileFunctions* tiles_;  // null: none
  VnniFunction vnni_;           // likewise
  LinearKernels vectors_;
  LinearKernels tile_kernels_;
  LinearKernels quantized_;
  Scratch packed_rows_;
  Scratch sums_;
};

}  // namespace phalanx
