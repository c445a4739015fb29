// Blocks stay on their multiprocessor and take every so manieth tile.
#include "bench/limits_kernels.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

PHALANX_DEVICE int64_t FirstVector(int64_t tile) { return tile * kTileVectors + ThreadIndex(); }

PHALANX_KERNEL(kProbeThreads)
FillKernel(const FillParams params) {
  for (int64_t tile = BlockX(); tile < params.num_tiles; tile += GridX()) {
    PHALANX_UNROLL
    for (int i = 0; i < kTileLoads; ++i) {
      const int64_t vector = FirstVector(tile) + int64_t{i} * kProbeThreads;
      Words words;
      PHALANX_UNROLL
      for (int w = 0; w < 4; ++w) {
        words.v[w] = static_cast<uint32_t>(4 * vector + w) * kPatternFactor;
      }
      StoreVec(params.to + vector, words);
    }
  }
}

PHALANX_DEVICE void LoadTile(const Words* from, int64_t tile, Words (&loaded)[kTileLoads]) {
  PHALANX_UNROLL
  for (int i = 0; i < kTileLoads; ++i) {
    loaded[i] = LoadStreaming<Words>(from + FirstVector(tile) + int64_t{i} * kProbeThreads);
  }
}

PHALANX_KERNEL(kProbeThreads, kMemoryBlocks)
ReadKernel(const ReadParams params) {
  uint32_t sum = 0;
  for (int64_t tile = BlockX(); tile < params.num_tiles; tile += GridX()) {
    Words loaded[kTileLoads];
    LoadTile(params.from, tile, loaded);
    PHALANX_UNROLL
    for (int i = 0; i < kTileLoads; ++i) {
      PHALANX_UNROLL
      for (int w = 0; w < 4; ++w) sum += loaded[i].v[w];
    }
  }
  sum = WarpSum(sum);
  if (LaneIndex() == 0) StoreVec(params.sums + BlockX() * kProbeWarps + WarpIndex(), sum);
}

PHALANX_KERNEL(kProbeThreads, kMemoryBlocks)
CopyKernel(const CopyParams params) {
  for (int64_t tile = BlockX(); tile < params.num_tiles; tile += GridX()) {
    Words loaded[kTileLoads];
    LoadTile(params.from, tile, loaded);
    PHALANX_UNROLL
    for (int i = 0; i < kTileLoads; ++i) {
      StoreVec(params.to + FirstVector(tile) + int64_t{i} * kProbeThreads, loaded[i]);
    }
  }
}

PHALANX_KERNEL(kProbeThreads, kTensorBlocks)
TensorKernel(const TensorParams params) {
  uint32_t a[kTensorTiles][4];
  uint32_t b[kTensorTiles][2];
  float d[kTensorTiles][kTensorTiles][4];
  const uint32_t* next = params.fragments + LaneIndex();
  PHALANX_UNROLL
  for (int i = 0; i < kTensorTiles; ++i) {
    PHALANX_UNROLL
    for (int w = 0; w < 4; ++w, next += kWarpSize) a[i][w] = LoadVec<uint32_t>(next);
  }
  PHALANX_UNROLL
  for (int j = 0; j < kTensorTiles; ++j) {
    PHALANX_UNROLL
    for (int w = 0; w < 2; ++w, next += kWarpSize) b[j][w] = LoadVec<uint32_t>(next);
  }
  PHALANX_UNROLL
  for (int i = 0; i < kTensorTiles; ++i) {
    PHALANX_UNROLL
    for (int j = 0; j < kTensorTiles; ++j) {
      PHALANX_UNROLL
      for (int e = 0; e < 4; ++e) d[i][j][e] = 0.0f;
    }
  }
  PHALANX_NO_UNROLL
  for (int round = 0; round < params.rounds; ++round) {
    PHALANX_UNROLL
    for (int i = 0; i < kTensorTiles; ++i) {
      PHALANX_UNROLL
      for (int j = 0; j < kTensorTiles; ++j) MultiplyTile<BF16>(d[i][j], a[i], b[j]);
    }
  }
  float sum = 0.0f;
  PHALANX_UNROLL
  for (int i = 0; i < kTensorTiles; ++i) {
    PHALANX_UNROLL
    for (int j = 0; j < kTensorTiles; ++j) {
      PHALANX_UNROLL
      for (int e = 0; e < 4; ++e) sum += d[i][j][e];
    }
  }
  StoreVec(params.sums + BlockX() * kProbeThreads + ThreadIndex(), sum);
}

struct EmptyParams {};
PHALANX_KERNEL(kWarpSize)
EmptyKernel(const EmptyParams) {}

}  // namespace

// ------------------------------------------------------------------------------------------------

void LaunchFill(Stream& stream, const FillParams& params, int num_sms) {
  Launch<FillKernel>(stream, "fill", {.grid_x = kMemoryBlocks * num_sms, .threads = kProbeThreads},
                     params);
}

void LaunchRead(Stream& stream, const ReadParams& params, int num_sms) {
  Launch<ReadKernel>(stream, "read", {.grid_x = kMemoryBlocks * num_sms, .threads = kProbeThreads},
                     params);
}

void LaunchCopy(Stream& stream, const CopyParams& params, int num_sms) {
  Launch<CopyKernel>(stream, "copy", {.grid_x = kMemoryBlocks * num_sms, .threads = kProbeThreads},
                     params);
}

void LaunchTensor(Stream& stream, const TensorParams& params, int num_sms) {
  Launch<TensorKernel>(stream, "tensor",
                       {.grid_x = kTensorBlocks * num_sms, .threads = kProbeThreads}, params);
}

void LaunchEmpty(Stream& stream) {
  Launch<EmptyKernel>(stream, "empty", {.threads = kWarpSize}, EmptyParams{});
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
