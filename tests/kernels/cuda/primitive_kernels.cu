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

}  // namespace phalanx::testing
