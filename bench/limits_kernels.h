// Kernels that do one thing only, as much of it as a device can.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

using Words = Vec<uint32_t, 4>;

// Memory is taken in tiles of so many bytes.
inline constexpr int kProbeThreads = 256;
inline constexpr int kTileLoads = 8;  // of a thread, under way at once
inline constexpr int64_t kTileVectors = int64_t{kProbeThreads} * kTileLoads;
inline constexpr int64_t kTileBytes = kTileVectors * static_cast<int64_t>(sizeof(Words));
inline constexpr int kProbeWarps = kProbeThreads / kWarpSize;

// Word i becomes i * kPatternFactor mod 2^32.
inline constexpr uint32_t kPatternFactor = 2654435761u;
struct FillParams {
  int64_t num_tiles = 0;
  Words* to = nullptr;  // [num_tiles, kTileVectors]
};
void LaunchFill(Stream& stream, const FillParams& params, int num_sms);

inline constexpr int kMemoryBlocks = 4;  // of a multiprocessor
struct ReadParams {
  int64_t num_tiles = 0;
  const Words* from = nullptr;  // [num_tiles, kTileVectors]
  uint32_t* sums = nullptr;     // [kMemoryBlocks * num_sms, kProbeWarps]: each warp's, mod 2^32
};
void LaunchRead(Stream& stream, const ReadParams& params, int num_sms);

struct CopyParams {
  int64_t num_tiles = 0;
  const Words* from = nullptr;
  Words* to = nullptr;
};
void LaunchCopy(Stream& stream, const CopyParams& params, int num_sms);

// Each warp adds all products of kTensorTiles matrices A, 16x16, and as many B, 16x8, to
// accumulators of their own, again and again.
inline constexpr int kTensorTiles = 4;
inline constexpr int kTensorWords = kTensorTiles * (4 + 2);  // of a lane's fragments
inline constexpr int kTensorBlocks = 2;                      // of a multiprocessor
inline constexpr double kTensorFlopOfRound =
    2.0 * 16 * 8 * 16 * kTensorTiles * kTensorTiles;  // of a warp
struct TensorParams {
  int rounds = 0;
  // [kTensorWords, 32]: the A's four words one after the other, then the B's two; bf16
  const uint32_t* fragments = nullptr;
  float* sums = nullptr;  // [kTensorBlocks * num_sms, kProbeThreads]: of a thread's accumulators
};
void LaunchTensor(Stream& stream, const TensorParams& params, int num_sms);

void LaunchEmpty(Stream& stream);

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
