// Rope and append in one pass: a thread takes 8 elements of a head's first half and the 8 of its
// second half that they are rotated with.
//
// Bytes of a row: 4 (Hq + 2 Hkv) D for reading and writing qkv, and 4 D of cos and sin, which the
// heads share in L2. 3 FLOP an element; the memory bounds it.
#include "kernels/cuda/attention_plan.h"
#include "kernels/cuda/rope.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 256;
constexpr int kPack = 8;  // 16-bit elements of one access

template <typename T, int kHeadDim>
PHALANX_KERNEL(kThreads)
QkvRopeAppendKernel(const QkvRopeAppendParams p) {
  using Elements = Vec<T, kPack>;
  using Factors = Vec<float, 4>;
  constexpr int kHalf = kHeadDim / 2;
  constexpr int kPacks = kHalf / kPack;  // threads of a head
  const int num_heads = p.num_heads + 2 * p.layout.num_kv_heads;
  const int64_t index = int64_t{BlockX()} * kThreads + ThreadIndex();
  if (index >= p.num_tokens * num_heads * kPacks) return;
  const int column = static_cast<int>(index % kPacks) * kPack;
  const int64_t row = index / kPacks / num_heads;
  const int head = static_cast<int>(index / kPacks - row * num_heads);

  const T* const in =
      static_cast<const T*>(p.qkv) + row * p.qkv_stride + int64_t{head} * kHeadDim + column;
  auto low = LoadVec<Elements>(in);
  auto high = LoadVec<Elements>(in + kHalf);
  const int position = p.positions[row];
  if (head < p.num_heads + p.layout.num_kv_heads) {
    const int64_t factor = int64_t{position} * kHalf + column;
    PHALANX_UNROLL
    for (int i = 0; i < kPack; i += 4) {
      const auto cos = LoadVec<Factors>(p.cos + factor + i);
      const auto sin = LoadVec<Factors>(p.sin + factor + i);
      PHALANX_UNROLL
      for (int j = 0; j < 4; ++j) {
        const float x = ToFloat(low.v[i + j]);
        const float y = ToFloat(high.v[i + j]);
        low.v[i + j] = FromFloat<T>(x * cos.v[j] - y * sin.v[j]);
        high.v[i + j] = FromFloat<T>(y * cos.v[j] + x * sin.v[j]);
      }
    }
  }

  T* out;
  if (head < p.num_heads) {
    out = static_cast<T*>(p.q_out) + (row * p.num_heads + head) * kHeadDim;
  } else {
    const int kv_head = (head - p.num_heads) % p.layout.num_kv_heads;
    const int64_t part = (head - p.num_heads) / p.layout.num_kv_heads;
    const int32_t block =
        p.block_table[p.seq_of_token[row] * p.max_blocks_per_seq + position / p.layout.block_size];
    out = static_cast<T*>(p.cache) +
          p.layout.KeyOffset(block, kv_head, position % p.layout.block_size) +
          part * p.layout.PartElements();
  }
  StoreVec(out + column, low);
  StoreVec(out + column + kHalf, high);
}

// ------------------------------------------------------------------------------------------------

template <typename T>
void LaunchFor(Stream& stream, const QkvRopeAppendParams& params) {
  const int64_t threads = params.num_tokens * (params.num_heads + 2 * params.layout.num_kv_heads) *
                          (params.layout.head_dim / 2 / kPack);
  if (threads == 0) return;
  const int64_t blocks = (threads + kThreads - 1) / kThreads;
  PHALANX_CHECK_LE(blocks, int64_t{INT32_MAX});
  const LaunchShape shape{.grid_x = static_cast<int>(blocks), .threads = kThreads};
  if (params.layout.head_dim == 64) {
    Launch<QkvRopeAppendKernel<T, 64>>(stream, "qkv_rope_append", shape, params);
  } else {
    Launch<QkvRopeAppendKernel<T, 128>>(stream, "qkv_rope_append", shape, params);
  }
}

}  // namespace

void LaunchQkvRopeAppend(Stream& stream, const QkvRopeAppendParams& params, DType dtype) {
  stream.Note(CheckKvCache(params.layout.head_dim, params.layout.block_size, dtype));
  if (!stream.status().ok()) return;
  PHALANX_CHECK_EQ(params.qkv_stride % kPack, 0);
  if (dtype == DType::kBF16) {
    LaunchFor<BF16>(stream, params);
  } else {
    LaunchFor<F16>(stream, params);
  }
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
