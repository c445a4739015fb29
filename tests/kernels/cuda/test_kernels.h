// Kernels of the tests: deliberately broken ones, and one for each primitive.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"

namespace phalanx::testing {

// What is wrong with a kernel. kNothing: the same kernel as it should be.
enum class Defect : uint8_t {
  kNothing,
  kMissingBlockBarrier,
  kMissingWarpBarrier,
  kReusedTooEarly,
  kGlobalRaceBetweenThreads,
  kGlobalRaceBetweenBlocks,
  kBlocksReadWhatAnotherWrites,
  kGlobalOutOfBounds,
  kSharedOutOfBounds,
  kMisaligned,
  kMisalignedVector,
  kHostMemory,
  kUnwrittenShared,
  kCopyNotWaitedFor,
  kCopyWithoutBarrier,
  kCopyIntoWhatIsRead,
  kCopyOutOfBounds,
  kBarrierNotReached,
  kDivergentShuffle,
  kDifferentWarpOperations,
  kTooMuchShared,
  kDifferentArrays,
};

struct DefectParams {
  Defect defect = Defect::kNothing;
  const float* in = nullptr;  // [256]
  float* out = nullptr;       // [grid, 256]
  float* host = nullptr;      // of the host
};

// 256 threads a block reverse `in` through shared memory and add lane-wise neighbours; `out` gets
// the result in each block's row.
void LaunchDefect(cuda::emulated::Stream& stream, const DefectParams& params, int grid);

struct WarpParams {
  const uint32_t* in = nullptr;  // meaning and size: the kernel's
  uint32_t* out = nullptr;
};
// out[lane] = in[lane ^ 5], out[32 + lane] = in[7], out[64 + lane] = the votes of in[lane] % 3 ==
// 0, out[96 + lane] = the largest of in.
void LaunchShuffles(cuda::emulated::Stream& stream, const WarpParams& params);
// in: [4][8][8] 16-bit elements; out[4 * lane + i] = register i; then the same transposed.
void LaunchLoadMatrices(cuda::emulated::Stream& stream, const WarpParams& params);
// in: a as [32][4] words, b as [32][2] words, d as [32][4] floats; out: d as [32][4] floats.
void LaunchMultiplyTile(cuda::emulated::Stream& stream, const WarpParams& params, DType dtype);

enum class BarrierDefect : uint8_t {
  kNothing,
  kMissing,
  kOtherHalf,
  kWarpMissing,
  kPartOfAWarp,
  kNoSuchBarrier,
  kNoWholeWarps,
  kDifferentCounts,
};
struct BarrierParams {
  BarrierDefect defect = BarrierDefect::kNothing;
  const uint32_t* in = nullptr;  // [128]
  uint32_t* out = nullptr;       // [128]
};
// Each half of a block of 128 threads reverses its numbers, behind a barrier of its own.
void LaunchNamedBarrier(cuda::emulated::Stream& stream, const BarrierParams& params);

enum class AtomicDefect : uint8_t {
  kNothing,
  kUnwritten,
  kUnordered,
  kPlainWrite,
  kReadTooEarly,
  kMisaligned,
};
struct AtomicParams {
  AtomicDefect defect = AtomicDefect::kNothing;
  const uint32_t* in = nullptr;  // [grid, 64]
  uint32_t* out = nullptr;       // [3 + grid] sum, largest, one of them, even ones of each block
};
void LaunchAtomics(cuda::emulated::Stream& stream, const AtomicParams& params, int grid);

}  // namespace phalanx::testing
