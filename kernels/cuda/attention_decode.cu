// Small items, a warp each: up to 16 rows, usually the query heads of one KV head and one token.
//
// An item reads 4 length D bytes of keys and values and does 4 rows length D useful FLOP: as many a
// byte as it has rows, far below what a GPU does in the time, so the memory bounds it. Rows that
// the tile does not have cost nothing that is scarce. Shared memory decides how many blocks share a
// multiprocessor, each with a tile of 16 (D = 64) or 32 KiB (D = 128) on its way: 34 and 68 KiB in
// fast mode, 38 and 76 KiB in exact mode, so 6, 3, 5 and 2 blocks on Hopper. No registers spill.
#include "kernels/cuda/attention_kernel.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

void LaunchAttentionDecode(Stream& stream, const AttentionParams& params, DType dtype) {
  LaunchAttentionItems<1>(stream, "attention_decode", params, dtype, 0, params.num_small);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
