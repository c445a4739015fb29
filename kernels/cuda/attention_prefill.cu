// Large items: 64 rows and four warps.
//
// A tile of keys and values, 256 D bytes from L2, is good for 16384 D FLOP, 64 a byte; from memory,
// a key is read once for all rows that are in flight together. So the tensor cores bound long
// chunks, L2 comes close behind, and what lies above the diagonal of a chunk is skipped by warps.
// Shared memory: 40 and 80 KiB in fast mode (D = 64 and 128), 56 and 112 KiB in exact mode. No
// registers spill.
#include "kernels/cuda/attention_kernel.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

void LaunchAttentionPrefill(Stream& stream, const AttentionParams& params, DType dtype) {
  LaunchAttentionItems<kAttentionLargeWarps>(stream, "attention_prefill", params, dtype,
                                             params.num_small, params.num_large);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
