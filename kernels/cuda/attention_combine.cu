// The partials of each row that was cut, merged in the order of their keys: a warp a row.
//
// A row reads parts (4 D + 8) bytes and does 2 parts D multiply-adds: latency bounds it, with eight
// parts on their way at a time. 48 registers for D = 64, 62 for 128, no shared memory.
//
// Weights depend on the partials' maxima alone, so those of 32 parts are found at once; what runs
// from part to part is one multiply-add.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/online_softmax.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kCombineWarps = 4;
constexpr int kPartsInFlight = 8;

template <typename T, int kHeadDim>
PHALANX_KERNEL(kCombineWarps* kWarpSize)
AttentionCombineKernel(const AttentionParams p) {
  constexpr int kColumns = kHeadDim / kWarpSize;  // of a lane
  const int index = BlockX() * kCombineWarps + WarpIndex();
  if (index >= p.num_combinations) return;
  const AttentionCombination combination = p.combinations[index];
  const int lane = LaneIndex();
  const auto partial_of = [&](int part) {
    return combination.first_partial + int64_t{part} * combination.stride;
  };
  float max_before = -INFINITY;
  float sum = 0.0F;
  float acc[kColumns];
  PHALANX_UNROLL
  for (int i = 0; i < kColumns; ++i) acc[i] = 0.0F;
  for (int first = 0; first < combination.num_parts; first += kWarpSize) {
    // Parts behind the last one are empty.
    Vec<float, 2> part{{-INFINITY, 0.0F}};
    if (first + lane < combination.num_parts) {
      part = LoadVec<Vec<float, 2>>(p.partial_weights + 2 * partial_of(first + lane));
    }
    // The largest score of all parts up to this lane's.
    float max = fmaxf(max_before, part.v[0]);
    PHALANX_UNROLL
    for (int distance = 1; distance < kWarpSize; distance *= 2) {
      const float other = ShuffleFrom(max, lane < distance ? lane : lane - distance);
      max = fmaxf(max, other);
    }
    const float before = ShuffleFrom(max, lane == 0 ? 0 : lane - 1);
    const MergeWeights mine = WeightsOf(lane == 0 ? max_before : before, part.v[0], max);
    max_before = ShuffleFrom(max, kWarpSize - 1);
    for (int j = 0; j < kWarpSize && first + j < combination.num_parts; j += kPartsInFlight) {
      Vec<float, kColumns> sums[kPartsInFlight];
      PHALANX_UNROLL
      for (int k = 0; k < kPartsInFlight; ++k) {
        sums[k] = {};
        if (first + j + k < combination.num_parts) {
          sums[k] = LoadVec<Vec<float, kColumns>>(
              p.partial_sums + partial_of(first + j + k) * kHeadDim + lane * kColumns);
        }
      }
      PHALANX_UNROLL
      for (int k = 0; k < kPartsInFlight; ++k) {
        const MergeWeights weights{ShuffleFrom(mine.before, j + k), ShuffleFrom(mine.next, j + k)};
        sum = Merged(sum, ShuffleFrom(part.v[1], j + k), weights);
        PHALANX_UNROLL
        for (int i = 0; i < kColumns; ++i) acc[i] = Merged(acc[i], sums[k].v[i], weights);
      }
    }
  }
  const float inverse = 1.0F / sum;
  Vec<uint32_t, kColumns / 2> out;
  PHALANX_UNROLL
  for (int i = 0; i < kColumns / 2; ++i) {
    out.v[i] = PackPair<T>(Normalized(acc[2 * i], inverse), Normalized(acc[2 * i + 1], inverse));
  }
  StoreVec(static_cast<T*>(p.out) +
               (int64_t{combination.row} * p.num_heads + combination.head) * kHeadDim +
               lane * kColumns,
           out);
}

// ------------------------------------------------------------------------------------------------

template <typename T>
void LaunchFor(Stream& stream, const AttentionParams& params) {
  const LaunchShape shape{.grid_x = (params.num_combinations + kCombineWarps - 1) / kCombineWarps,
                          .threads = kCombineWarps * kWarpSize};
  if (params.layout.head_dim == 64) {
    Launch<AttentionCombineKernel<T, 64>>(stream, "attention_combine", shape, params);
  } else {
    Launch<AttentionCombineKernel<T, 128>>(stream, "attention_combine", shape, params);
  }
}

}  // namespace

void LaunchAttentionCombine(Stream& stream, const AttentionParams& params, DType dtype) {
  if (params.num_combinations == 0) return;
  if (dtype == DType::kBF16) {
    LaunchFor<BF16>(stream, params);
  } else {
    LaunchFor<F16>(stream, params);
  }
}

void LaunchAttention(Stream& stream, const AttentionParams& params, DType dtype) {
  stream.Note(CheckKvCache(params.layout.head_dim, params.layout.block_size, dtype));
  if (!stream.status().ok()) return;
  LaunchAttentionDecode(stream, params, dtype);
  LaunchAttentionPrefill(stream, params, dtype);
  LaunchAttentionCombine(stream, params, dtype);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
