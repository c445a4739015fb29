#include "tests/kernels/cuda/test_kernels.h"

namespace phalanx::testing {

using namespace cuda::emulated;  // NOLINT(google-build-using-namespace): the kernels' vocabulary

namespace {

constexpr int kThreads = 256;

void DefectKernel(const DefectParams p) {
  SharedMemory shared;
  const int t = ThreadIndex();
  const int taken = p.defect == Defect::kDifferentArrays && t == 40 ? 2 * kThreads : kThreads;
  auto* const values = shared.Array<float>(p.defect == Defect::kTooMuchShared ? 1 << 13 : taken);
  auto* const copied = shared.Array<float>(kThreads);
  float* const out = p.out + int64_t{BlockX()} * kThreads;

  values[t] = p.in[t];
  if (p.defect == Defect::kSharedOutOfBounds && t == 255) values[t + 1] = 0.0F;
  if (p.defect != Defect::kMissingBlockBarrier) SyncThreads();
  float sum = values[kThreads - 1 - t];
  if (p.defect == Defect::kUnwrittenShared && t == 3) sum += copied[0];
  if (p.defect == Defect::kReusedTooEarly && t == 9) values[kThreads - 1 - 77] = 0.0F;

  // The neighbour's value through memory that the warp has to itself.
  SyncThreads();
  values[t] = sum;
  if (p.defect != Defect::kMissingWarpBarrier) SyncWarp();
  sum += values[t ^ 1];

  // The input once more, asynchronously.
  const bool too_far = p.defect == Defect::kCopyOutOfBounds && t == 63;
  if (t < kThreads / 4) CopyAsync16(copied + 4 * t, p.in + 4 * t + (too_far ? 4 : 0), 16);
  CopyAsyncCommit();
  if (p.defect != Defect::kCopyNotWaitedFor) CopyAsyncWait<0>();
  if (p.defect != Defect::kCopyWithoutBarrier) SyncThreads();
  sum += copied[t];
  if (p.defect == Defect::kCopyIntoWhatIsRead && t == 0) CopyAsync16(copied + 128, p.in, 16);

  if (p.defect == Defect::kDivergentShuffle) {
    if (LaneIndex() < 16) sum += ShuffleXor(sum, 1);
  } else if (p.defect == Defect::kDifferentWarpOperations) {
    if (LaneIndex() < 16) {
      sum += ShuffleXor(sum, 1);
    } else {
      SyncWarp();
    }
  }
  if (p.defect == Defect::kBarrierNotReached && t != 17) SyncThreads();
  if (p.defect == Defect::kGlobalOutOfBounds && BlockX() == GridX() - 1 && t == 255)
    out[256] = 0.0F;
  if (p.defect == Defect::kMisaligned) {
    sum += *reinterpret_cast<const float*>(reinterpret_cast<const char*>(p.in) + 2);
  }
  if (p.defect == Defect::kMisalignedVector) sum += LoadVec<Vec<float, 4>>(p.in + 2).v[0];
  if (p.defect == Defect::kHostMemory) sum += *p.host;
  if (p.defect == Defect::kGlobalRaceBetweenThreads && t >= 254) out[0] = sum;
  if (p.defect == Defect::kGlobalRaceBetweenBlocks && t == 5) p.out[5] = sum;
  if (p.defect == Defect::kBlocksReadWhatAnotherWrites) sum += p.out[t];
  out[t] = sum;
}

}  // namespace

void LaunchDefect(Stream& stream, const DefectParams& params, int grid) {
  Launch<DefectKernel>(
      stream, "defect",
      {.grid_x = grid, .threads = kThreads, .shared_bytes = 2 * SharedBytes<float>(kThreads)},
      params);
}

}  // namespace phalanx::testing
