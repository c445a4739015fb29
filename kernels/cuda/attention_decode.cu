// Small items, a warp each: up to 16 rows, usually the query heads of one KV head and one token.
#include "kernels/cuda/attention_kernel.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

void LaunchAttentionDecode(Stream& stream, const AttentionParams& params, DType dtype) {
  LaunchAttentionItems<1>(stream, "attention_decode", params, dtype, 0, params.num_small);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
