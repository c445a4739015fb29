// The one attention kernel, FlashAttention 2's loop (Dao 2023) over a paged cache: a block is an
// item of the plan, a warp 16 of its rows. Keys and values stream through two stages of shared
// memory, a tile of 64 tokens ahead; scores, weights and sums stay in registers.
//
// Decode and prefill differ in the number of warps alone, hence not in any row's bits: each row is
// a row of the tensor cores' tiles, over tiles of keys at absolute positions. In exact mode the
// state starts anew every kExactSplitTokens and is merged into a second one.
#pragma once

#include <cmath>
#include <type_traits>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/online_softmax.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

struct AttentionKernelParams {
  AttentionParams attention{};
  int32_t first_item = 0;
};

// Elements of a stage of K or of V.
template <int kHeadDim>
inline constexpr int kKvStage = kAttentionKvTile* kHeadDim;

// The rows' fragments of Q for MultiplyTile, each thread's own: [kHeadDim / 16][threads].
using QueryFragment = Vec<uint32_t, 4>;

template <typename T, int kHeadDim, int kWarps, Numerics mode>
constexpr size_t AttentionSharedBytes() {
  constexpr int kThreads = kWarps * kWarpSize;
  const size_t merged = mode == Numerics::kExact
                            ? SharedBytes<Vec<float, 4>>(MergedState<kHeadDim, kThreads>::kElements)
                            : 0;
  return 2 * SharedBytes<T>(2 * kKvStage<kHeadDim>) +
         SharedBytes<QueryFragment>(kHeadDim / 16 * kThreads) + merged;
}

// Where 8 elements of a tile's row lie in shared memory: rows permute their packs, so that the same
// pack of 8 consecutive rows touches every bank once.
template <int kHeadDim>
PHALANX_DEVICE int PackOffset(int row, int pack) {
  return row * kHeadDim + (pack ^ row % 8) * 8;
}

// Starts the copies of the tile of keys and values at `begin`, zeros from kv_end on: what lies
// there may be NaN, which no weight of 0 would take away. Loops stay loops: unrolled, they would
// take the registers that the sums need.
template <typename T, int kHeadDim, int kWarps>
PHALANX_DEVICE void CopyKvTile(const AttentionParams& p, const AttentionItem& item, int begin,
                               T* keys, T* values) {
  constexpr int kPacks = kHeadDim / 8;
  const auto* const cache = static_cast<const T*>(p.cache);
  const int32_t* const table = p.block_table + item.sequence * p.max_blocks_per_seq;
  PHALANX_NO_UNROLL
  for (int unit = 0; unit < kAttentionKvTile; unit += kKvBlockUnit) {
    const int first = begin + unit;
    const T* source = cache;
    if (first < item.kv_end) {
      source += p.layout.KeyOffset(table[first / p.layout.block_size], item.kv_head,
                                   first % p.layout.block_size);
    }
    PHALANX_NO_UNROLL
    for (int i = 0; i < kKvBlockUnit * kPacks; i += kWarps * kWarpSize) {
      const int token = (i + ThreadIndex()) / kPacks;
      const int pack = (i + ThreadIndex()) % kPacks;
      const bool valid = first + token < item.kv_end;
      const T* const key = valid ? source + token * kHeadDim + pack * 8 : cache;
      const T* const value = valid ? key + p.layout.PartElements() : cache;
      const int offset = PackOffset<kHeadDim>(unit + token, pack);
      CopyAsync16(keys + offset, key, valid ? 16 : 0);
      CopyAsync16(values + offset, value, valid ? 16 : 0);
    }
  }
}

// scores = Q K^T of the warp's rows and the tile's keys.
template <typename T, int kHeadDim, int kThreads>
PHALANX_DEVICE void Score(float (&scores)[kAttentionKvTile / 8][4], const QueryFragment* queries,
                          const T* keys) {
  const int lane = LaneIndex();
  PHALANX_UNROLL
  for (int n = 0; n < kAttentionKvTile / 8; ++n) {
    PHALANX_UNROLL
    for (int i = 0; i < 4; ++i) scores[n][i] = 0.0F;
  }
  PHALANX_UNROLL
  for (int k = 0; k < kHeadDim / 16; ++k) {
    const auto q = LoadVec<QueryFragment>(queries + k * kThreads + ThreadIndex());
    PHALANX_UNROLL
    for (int n = 0; n < kAttentionKvTile / 8; n += 2) {
      // Two tiles of 8 keys, the first and the second 8 of 16 dimensions each.
      uint32_t b[4];
      LoadMatrices(
          b, keys + PackOffset<kHeadDim>(8 * n + lane / 16 * 8 + lane % 8, 2 * k + lane / 8 % 2));
      const uint32_t low[2] = {b[0], b[1]};
      const uint32_t high[2] = {b[2], b[3]};
      MultiplyTile<T>(scores[n], q.v, low);
      MultiplyTile<T>(scores[n + 1], q.v, high);
    }
  }
}

// acc += P V. A fragment of scores is one of weights for the next product as it stands.
template <typename T, int kHeadDim>
PHALANX_DEVICE void Accumulate(float (&acc)[kHeadDim / 8][4],
                               const float (&weights)[kAttentionKvTile / 8][4], const T* values) {
  const int lane = LaneIndex();
  PHALANX_UNROLL
  for (int k = 0; k < kAttentionKvTile / 16; ++k) {
    const float(&left)[4] = weights[2 * k];
    const float(&right)[4] = weights[2 * k + 1];
    const uint32_t a[4] = {PackPair<T>(left[0], left[1]), PackPair<T>(left[2], left[3]),
                           PackPair<T>(right[0], right[1]), PackPair<T>(right[2], right[3])};
    PHALANX_UNROLL
    for (int n = 0; n < kHeadDim / 8; n += 2) {
      // Two tiles of 8 dimensions, the first and the second 8 of 16 keys each.
      uint32_t b[4];
      LoadMatricesTransposed(
          b, values + PackOffset<kHeadDim>(16 * k + lane / 8 % 2 * 8 + lane % 8, n + lane / 16));
      const uint32_t low[2] = {b[0], b[1]};
      const uint32_t high[2] = {b[2], b[3]};
      MultiplyTile<T>(acc[n], a, low);
      MultiplyTile<T>(acc[n + 1], a, high);
    }
  }
}

// -inf behind each row's position. `first_column`: the position of this lane's first column.
PHALANX_DEVICE void Mask(float (&scores)[kAttentionKvTile / 8][4], int first_column,
                         const int (&positions)[2]) {
  PHALANX_UNROLL
  for (int n = 0; n < kAttentionKvTile / 8; ++n) {
    PHALANX_UNROLL
    for (int i = 0; i < 4; ++i) {
      if (first_column + 8 * n + i % 2 > positions[i / 2]) scores[n][i] = -INFINITY;
    }
  }
}

struct Nothing {
  PHALANX_DEVICE explicit Nothing(void* /*unused*/) {}
};

// This lane's columns of the rows: as partials, or as the result.
template <typename T, int kHeadDim>
PHALANX_DEVICE void Store(const AttentionParams& p, const AttentionItem& item, int warp_row,
                          const int64_t (&offsets)[2], const SoftmaxState<kHeadDim>& state) {
  const int column = LaneIndex() % 4 * 2;
  PHALANX_UNROLL
  for (int r = 0; r < 2; ++r) {
    const int row = warp_row + LaneIndex() / 4 + 8 * r;
    if (row >= item.num_pairs) continue;
    if (item.first_partial == kNoPartial) {
      T* const out = static_cast<T*>(p.out) + offsets[r] + column;
      const float inverse = 1.0F / state.sum[r];
      PHALANX_UNROLL
      for (int n = 0; n < kHeadDim / 8; ++n) {
        StoreVec(out + 8 * n, PackPair<T>(Normalized(state.acc[n][2 * r], inverse),
                                          Normalized(state.acc[n][2 * r + 1], inverse)));
      }
      continue;
    }
    const int64_t partial = item.first_partial + row;
    float* const out = p.partial_sums + partial * kHeadDim + column;
    PHALANX_UNROLL
    for (int n = 0; n < kHeadDim / 8; ++n) {
      StoreVec(out + 8 * n, Vec<float, 2>{{state.acc[n][2 * r], state.acc[n][2 * r + 1]}});
    }
    if (column == 0) {
      StoreVec(p.partial_weights + 2 * partial, Vec<float, 2>{{state.max[r], state.sum[r]}});
    }
  }
}

template <typename T, int kHeadDim, int kWarps, Numerics mode>
PHALANX_KERNEL(kWarps* kWarpSize)
AttentionKernel(const AttentionKernelParams params) {
  constexpr int kThreads = kWarps * kWarpSize;
  const AttentionParams& p = params.attention;
  SharedMemory shared;
  T* const keys = shared.Array<T>(2 * kKvStage<kHeadDim>);
  T* const values = shared.Array<T>(2 * kKvStage<kHeadDim>);
  auto* const queries = shared.Array<QueryFragment>(kHeadDim / 16 * kThreads);
  const AttentionItem item = p.items[params.first_item + BlockX()];
  CopyKvTile<T, kHeadDim, kWarps>(p, item, item.kv_begin, keys, values);
  CopyAsyncCommit();

  const int warp_row = WarpIndex() * kAttentionWarpRows;
  const int lane = LaneIndex();
  // Rows behind the item's last one repeat it and are not stored.
  const auto position_of = [&](int row) {
    const int pair = item.first_pair + (row < item.num_pairs ? row : item.num_pairs - 1);
    return item.rows.first_position + pair / item.heads.num_heads;
  };
  const int first_position = position_of(warp_row);
  const int last_position =
      warp_row < item.num_pairs ? position_of(warp_row + kAttentionWarpRows - 1) : -1;
  int positions[2];
  int64_t offsets[2];  // of the lane's rows in q and out
  PHALANX_UNROLL
  for (int r = 0; r < 2; ++r) {
    const int row = warp_row + lane / 4 + 8 * r;
    const int pair = item.first_pair + (row < item.num_pairs ? row : item.num_pairs - 1);
    const int token = pair / item.heads.num_heads;
    const int head = item.heads.first_head + pair - token * item.heads.num_heads;
    positions[r] = item.rows.first_position + token;
    offsets[r] = (int64_t{item.rows.first_row + token} * p.num_heads + head) * kHeadDim;
  }
  PHALANX_UNROLL
  for (int k = 0; k < kHeadDim / 16; ++k) {
    QueryFragment q;
    PHALANX_UNROLL
    for (int i = 0; i < 4; ++i) {
      q.v[i] = LoadVec<uint32_t>(static_cast<const T*>(p.q) + offsets[i % 2] + 16 * k + i / 2 * 8 +
                                 lane % 4 * 2);
    }
    StoreVec(queries + k * kThreads + ThreadIndex(), q);
  }

  constexpr float kLog2E = 1.44269504F;
  const float scale = p.scale * kLog2E;
  SoftmaxState<kHeadDim> state;
  Clear(state);
  // Of the splits before, in exact mode.
  using Splits = MergedState<kHeadDim, kThreads>;
  [[maybe_unused]] std::conditional_t<mode == Numerics::kExact, Splits, Nothing> merged(
      mode == Numerics::kExact ? shared.Array<Vec<float, 4>>(Splits::kElements) : nullptr);
  int stage = 0;
  for (int begin = item.kv_begin; begin < item.kv_end; begin += kAttentionKvTile) {
    CopyAsyncWait<0>();
    // The tile is there for all, and all have done with the tile before, whose stage is next.
    SyncThreads();
    const int next = begin + kAttentionKvTile;
    const int other = kKvStage<kHeadDim> - stage;
    if (next < item.kv_end) {
      CopyKvTile<T, kHeadDim, kWarps>(p, item, next, keys + other, values + other);
      CopyAsyncCommit();
    }
    if (begin <= last_position) {
      float scores[kAttentionKvTile / 8][4];
      Score<T, kHeadDim, kThreads>(scores, queries, keys + stage);
      if (next - 1 > first_position) Mask(scores, begin + lane % 4 * 2, positions);
      Advance<kHeadDim, kAttentionKvTile>(state, scores, scale);
      Accumulate<T, kHeadDim>(state.acc, scores, values + stage);
      if constexpr (mode == Numerics::kExact) {
        if (next % kExactSplitTokens == 0 || next > last_position) {
          SumOverRow(state);
          merged.Merge(state);
          Clear(state);
        }
      }
    }
    stage = other;
  }
  if constexpr (mode == Numerics::kExact) {
    merged.CopyTo(state);
  } else {
    SumOverRow(state);
  }
  Store<T, kHeadDim>(p, item, warp_row, offsets, state);
}

// ------------------------------------------------------------------------------------------------

template <typename T, int kHeadDim, int kWarps>
void LaunchAttentionItems(Stream& stream, std::string_view name, const AttentionParams& params,
                          int32_t first_item, int32_t num_items) {
  const AttentionKernelParams kernel_params{.attention = params, .first_item = first_item};
  const auto launch = [&]<Numerics mode>() {
    Launch<AttentionKernel<T, kHeadDim, kWarps, mode>>(
        stream, name,
        {.grid_x = num_items,
         .threads = kWarps * kWarpSize,
         .shared_bytes = AttentionSharedBytes<T, kHeadDim, kWarps, mode>()},
        kernel_params);
  };
  if (params.mode == Numerics::kExact) {
    launch.template operator()<Numerics::kExact>();
  } else {
    launch.template operator()<Numerics::kFast>();
  }
}

template <int kWarps>
void LaunchAttentionItems(Stream& stream, std::string_view name, const AttentionParams& params,
                          DType dtype, int32_t first_item, int32_t num_items) {
  if (num_items == 0) return;
  const auto launch = dtype == DType::kBF16
                          ? (params.layout.head_dim == 64 ? LaunchAttentionItems<BF16, 64, kWarps>
                                                          : LaunchAttentionItems<BF16, 128, kWarps>)
                          : (params.layout.head_dim == 64 ? LaunchAttentionItems<F16, 64, kWarps>
                                                          : LaunchAttentionItems<F16, 128, kWarps>);
  launch(stream, name, params, first_item, num_items);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
