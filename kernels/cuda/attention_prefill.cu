// Large items: 64 rows and four warps; 32 and two where a block may not take what four need. The
// rows' bits are the same.
//
// A tile of keys and values, 256 D bytes from L2, is good for 16384 D FLOP, 64 a byte; from memory,
// a key is read once for all rows that are in flight together. So the tensor cores bound long
// chunks, L2 comes close behind, and what lies above the diagonal of a chunk is skipped by warps.
// Shared memory: 40 and 80 KiB in fast mode (D = 64 and 128), 56 and 112 KiB in exact mode; 88 KiB
// with two warps of D = 128, so that it fits into the 99 KiB of sm_86, sm_89 and sm_12x. No
// registers spill.
#include "kernels/cuda/attention_kernel.h"
#include "kernels/gpu_facts.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

static_assert(AttentionSharedBytes<BF16, 128, kAttentionFewerWarps, Numerics::kExact>() <=
              kLeastSharedBytes);

int32_t AttentionLargeWarps(int64_t head_dim, Numerics mode, size_t max_shared_bytes) {
  const auto bytes = [&]<int kHeadDim>() {
    return mode == Numerics::kExact
               ? AttentionSharedBytes<BF16, kHeadDim, kAttentionLargeWarps, Numerics::kExact>()
               : AttentionSharedBytes<BF16, kHeadDim, kAttentionLargeWarps, Numerics::kFast>();
  };
  const size_t needed =
      head_dim == 64 ? bytes.template operator()<64>() : bytes.template operator()<128>();
  return needed <= max_shared_bytes ? kAttentionLargeWarps : kAttentionFewerWarps;
}

void LaunchAttentionPrefill(Stream& stream, const AttentionParams& params, DType dtype) {
  const auto launch = params.large_warps == kAttentionLargeWarps
                          ? LaunchAttentionItems<kAttentionLargeWarps>
                          : LaunchAttentionItems<kAttentionFewerWarps>;
  launch(stream, "attention_prefill", params, dtype, params.num_small, params.num_large);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
