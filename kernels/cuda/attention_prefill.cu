// Large items: 64 rows and four warps.
#include "kernels/cuda/attention_kernel.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

void LaunchAttentionPrefill(Stream& stream, const AttentionParams& params, DType dtype) {
  LaunchAttentionItems<kAttentionLargeWarps>(stream, "attention_prefill", params, dtype,
                                             params.num_small, params.num_large);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
