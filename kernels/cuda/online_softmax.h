// The online softmax of a warp's 16 rows (Milakov & Gimelshein 2018), and how states over different
// keys become one. Both are the same operations in the same order for every row, and a tile that is
// masked for a row leaves the row's state as it was, so a row's bits depend on its own scores only.
//
// Fragments are those of MultiplyTile: with g = lane / 4 and t = lane % 4, a lane holds columns 2t
// and 2t+1 of rows g (index 0) and g + 8 (index 1), of each 8 columns.
#pragma once

#include <cmath>

#include "kernels/cuda/primitives.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

template <int kHeadDim>
struct SoftmaxState {
  float max[2];                // of the row's scores, in powers of 2; -inf before the first
  float sum[2];                // of the weights 2^(score - max): this lane's share until SumOverRow
  float acc[kHeadDim / 8][4];  // weighted sum of V
};

template <int kHeadDim>
PHALANX_DEVICE void Clear(SoftmaxState<kHeadDim>& state) {
  PHALANX_UNROLL
  for (int r = 0; r < 2; ++r) {
    state.max[r] = -INFINITY;
    state.sum[r] = 0.0F;
  }
  PHALANX_UNROLL
  for (int n = 0; n < kHeadDim / 8; ++n) {
    PHALANX_UNROLL
    for (int i = 0; i < 4; ++i) state.acc[n][i] = 0.0F;
  }
}

// What scores are taken relative to: -inf - -inf would be NaN.
PHALANX_DEVICE float Reference(float max) { return max == -INFINITY ? 0.0F : max; }

// Takes in a tile's scores, -inf where masked, and leaves their weights in their place. `scale` is
// the softmax's, times log2(e).
template <int kHeadDim, int kColumns>
PHALANX_DEVICE void Advance(SoftmaxState<kHeadDim>& state, float (&scores)[kColumns / 8][4],
                            float scale) {
  float rescale[2];
  PHALANX_UNROLL
  for (int r = 0; r < 2; ++r) {
    float max = fmaxf(scores[0][2 * r], scores[0][2 * r + 1]);
    PHALANX_UNROLL
    for (int n = 1; n < kColumns / 8; ++n) {
      max = fmaxf(max, fmaxf(scores[n][2 * r], scores[n][2 * r + 1]));
    }
    max = fmaxf(max, ShuffleXor(max, 1));
    max = fmaxf(max, ShuffleXor(max, 2));
    max = fmaxf(state.max[r], max * scale);
    const float reference = Reference(max);
    rescale[r] = Exp2(state.max[r] - reference);
    state.max[r] = max;
    float sum = state.sum[r] * rescale[r];
    PHALANX_UNROLL
    for (int n = 0; n < kColumns / 8; ++n) {
      PHALANX_UNROLL
      for (int i = 2 * r; i < 2 * r + 2; ++i) {
        scores[n][i] = Exp2(fmaf(scores[n][i], scale, -reference));
        sum += scores[n][i];
      }
    }
    state.sum[r] = sum;
  }
  PHALANX_UNROLL
  for (int n = 0; n < kHeadDim / 8; ++n) {
    PHALANX_UNROLL
    for (int i = 0; i < 4; ++i) state.acc[n][i] *= rescale[i / 2];
  }
}

// The lanes' shares, the same in the four lanes of a row. Once, behind the last tile.
template <int kHeadDim>
PHALANX_DEVICE void SumOverRow(SoftmaxState<kHeadDim>& state) {
  PHALANX_UNROLL
  for (int r = 0; r < 2; ++r) {
    state.sum[r] += ShuffleXor(state.sum[r], 1);
    state.sum[r] += ShuffleXor(state.sum[r], 2);
  }
}

// What two states' sums are multiplied with where they become one.
struct MergeWeights {
  float before;
  float next;
};
PHALANX_DEVICE MergeWeights WeightsOf(float max_before, float max_next, float max) {
  const float reference = Reference(max);
  return {Exp2(max_before - reference), Exp2(max_next - reference)};
}
PHALANX_DEVICE float Merged(float before, float next, MergeWeights weights) {
  return fmaf(next, weights.next, before * weights.before);
}

// States of one range of keys after the other, merged. The sums wait in shared memory between two
// merges: registers for them and for the state would be too many. Each thread keeps its own.
template <int kHeadDim, int kThreads>
class MergedState {
 public:
  static constexpr int kElements = kHeadDim / 8 * kThreads;

  // acc: [kElements], shared memory of the block.
  PHALANX_DEVICE explicit MergedState(Vec<float, 4>* acc) : acc_(acc + ThreadIndex()) {
    PHALANX_UNROLL
    for (int n = 0; n < kHeadDim / 8; ++n) StoreVec(acc_ + n * kThreads, Vec<float, 4>{});
  }

  // `next` is of the keys behind those before. An empty state changes nothing.
  PHALANX_DEVICE void Merge(const SoftmaxState<kHeadDim>& next) {
    MergeWeights weights[2];
    PHALANX_UNROLL
    for (int r = 0; r < 2; ++r) {
      const float max = fmaxf(max_[r], next.max[r]);
      weights[r] = WeightsOf(max_[r], next.max[r], max);
      max_[r] = max;
      sum_[r] = Merged(sum_[r], next.sum[r], weights[r]);
    }
    PHALANX_UNROLL
    for (int n = 0; n < kHeadDim / 8; ++n) {
      auto acc = LoadVec<Vec<float, 4>>(acc_ + n * kThreads);
      PHALANX_UNROLL
      for (int i = 0; i < 4; ++i) acc.v[i] = Merged(acc.v[i], next.acc[n][i], weights[i / 2]);
      StoreVec(acc_ + n * kThreads, acc);
    }
  }

  PHALANX_DEVICE void CopyTo(SoftmaxState<kHeadDim>& state) const {
    PHALANX_UNROLL
    for (int r = 0; r < 2; ++r) {
      state.max[r] = max_[r];
      state.sum[r] = sum_[r];
    }
    PHALANX_UNROLL
    for (int n = 0; n < kHeadDim / 8; ++n) {
      const auto acc = LoadVec<Vec<float, 4>>(acc_ + n * kThreads);
      PHALANX_UNROLL
      for (int i = 0; i < 4; ++i) state.acc[n][i] = acc.v[i];
    }
  }

 private:
  Vec<float, 4>* acc_;
  float max_[2] = {-INFINITY, -INFINITY};
  float sum_[2] = {0.0F, 0.0F};
};

// An element of the result. -0 becomes 0: masked tiles add zeros to the sum, or are left out.
PHALANX_DEVICE float Normalized(float acc, float inverse_sum) { return acc * inverse_sum + 0.0F; }

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
