#include "tests/kernels/cuda/test_kernels.h"

namespace phalanx::testing {

using namespace cuda::emulated;  // NOLINT(google-build-using-namespace): the kernels' vocabulary

namespace {

void ShuffleKernel(const WarpParams p) {
  const int lane = LaneIndex();
  const uint32_t mine = p.in[lane];
  p.out[lane] = ShuffleXor(mine, 5);
  p.out[32 + lane] = ShuffleFrom(mine, 7);
  p.out[64 + lane] = Ballot(mine % 3 == 0);
  p.out[96 + lane] = WarpMax(mine);
}

void LoadMatricesKernel(const WarpParams p) {
  SharedMemory shared;
  auto* const rows = shared.Array<Vec<uint32_t, 4>>(32);
  const int lane = LaneIndex();
  StoreVec(rows + lane, LoadVec<Vec<uint32_t, 4>>(p.in + 4 * lane));
  SyncWarp();
  uint32_t r[4];
  LoadMatrices(r, rows + lane);
  for (int i = 0; i < 4; ++i) p.out[4 * lane + i] = r[i];
  LoadMatricesTransposed(r, rows + lane);
  for (int i = 0; i < 4; ++i) p.out[128 + 4 * lane + i] = r[i];
}

template <typename T>
void MultiplyTileKernel(const WarpParams p) {
  const int lane = LaneIndex();
  uint32_t a[4];
  uint32_t b[2];
  float d[4];
  for (int i = 0; i < 4; ++i) a[i] = p.in[4 * lane + i];
  for (int i = 0; i < 2; ++i) b[i] = p.in[128 + 2 * lane + i];
  for (int i = 0; i < 4; ++i) d[i] = reinterpret_cast<const float*>(p.in)[192 + 4 * lane + i];
  MultiplyTile<T>(d, a, b);
  for (int i = 0; i < 4; ++i) reinterpret_cast<float*>(p.out)[4 * lane + i] = d[i];
}

constexpr int kHalf = 64;  // threads of a half of the block

// Each half reverses its own numbers.
void NamedBarrierKernel(const BarrierParams p) {
  SharedMemory shared;
  auto* const values = shared.Array<uint32_t>(2 * kHalf);
  const int half = ThreadIndex() / kHalf;
  const int t = ThreadIndex() % kHalf;
  values[half * kHalf + t] = p.in[ThreadIndex()];
  const bool late = p.defect == BarrierDefect::kWarpMissing && WarpIndex() == 3;
  if (p.defect == BarrierDefect::kPartOfAWarp) {
    // As many as it is for, but half a warp each.
    if (LaneIndex() >= 16) return;
    SyncBarrier(1, kHalf);
  } else if (p.defect == BarrierDefect::kNoSuchBarrier) {
    SyncBarrier(16, kHalf);
  } else if (p.defect == BarrierDefect::kNoWholeWarps) {
    SyncBarrier(1, 48);
  } else if (p.defect == BarrierDefect::kDifferentCounts) {
    SyncBarrier(1, half == 0 ? kHalf : 2 * kHalf);
  } else if (p.defect != BarrierDefect::kMissing && !late) {
    SyncBarrier(1 + half, kHalf);
  }
  const int from = p.defect == BarrierDefect::kOtherHalf ? 1 - half : half;
  p.out[ThreadIndex()] = values[from * kHalf + kHalf - 1 - t];
}

// out[0]: the sum of all blocks' numbers; out[1]: the largest; out[2]: one of them, as it was 0;
// out[3 + block]: the block's even numbers, counted in shared memory.
void AtomicsKernel(const AtomicParams p) {
  SharedMemory shared;
  auto* const count = shared.Array<uint32_t>(1);
  const uint32_t mine = p.in[BlockX() * BlockThreads() + ThreadIndex()];
  if (p.defect != AtomicDefect::kUnwritten && ThreadIndex() == 0) *count = 0;
  if (p.defect != AtomicDefect::kUnordered) SyncThreads();
  if (p.defect == AtomicDefect::kPlainWrite && BlockX() == 1) {
    if (ThreadIndex() == 7) p.out[0] = mine;
  } else {
    AtomicAdd(p.out, mine);
  }
  AtomicMax(p.out + 1, mine);
  AtomicCompareExchange(p.out + 2, 0, mine);
  if (mine % 2 == 0) AtomicAdd(count, 1);
  if (p.defect == AtomicDefect::kMisaligned && ThreadIndex() == 3) {
    AtomicAdd(reinterpret_cast<uint32_t*>(reinterpret_cast<char*>(p.out) + 2), 1);
  }
  if (p.defect != AtomicDefect::kReadTooEarly) SyncThreads();
  if (ThreadIndex() == 0) p.out[3 + BlockX()] = *count;
}

}  // namespace

void LaunchShuffles(Stream& stream, const WarpParams& params) {
  Launch<ShuffleKernel>(stream, "shuffles", {}, params);
}

void LaunchLoadMatrices(Stream& stream, const WarpParams& params) {
  Launch<LoadMatricesKernel>(stream, "load_matrices",
                             {.shared_bytes = SharedBytes<Vec<uint32_t, 4>>(32)}, params);
}

void LaunchMultiplyTile(Stream& stream, const WarpParams& params, DType dtype) {
  if (dtype == DType::kBF16) {
    Launch<MultiplyTileKernel<BF16>>(stream, "multiply_tile", {}, params);
  } else {
    Launch<MultiplyTileKernel<F16>>(stream, "multiply_tile", {}, params);
  }
}

void LaunchNamedBarrier(Stream& stream, const BarrierParams& params) {
  Launch<NamedBarrierKernel>(
      stream, "named_barrier",
      {.threads = 2 * kHalf, .shared_bytes = SharedBytes<uint32_t>(2 * kHalf)}, params);
}

void LaunchAtomics(Stream& stream, const AtomicParams& params, int grid) {
  Launch<AtomicsKernel>(stream, "atomics",
                        {.grid_x = grid, .threads = 64, .shared_bytes = SharedBytes<uint32_t>(1)},
                        params);
}

}  // namespace phalanx::testing
