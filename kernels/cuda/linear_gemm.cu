// x W^T on tensor cores: mma.m16n8k16 from swizzled shared memory, which asynchronous copies fill
// some stages ahead.
//
// Every tile adds up the same 16 elements of in_features per instruction in the same order, so an
// element's bits do not depend on the tile, unless in_features are split.
//
// Bytes: weight_rows * in_features * 2 for each row of tiles, rows * in_features * 2 for each
// column of them, both mostly from the second-level cache. FLOP: 2 * rows * weight_rows *
// in_features. Tiles of 16 to 64 rows are bound by memory. 128x128 is bound by mma.sync, which
// reaches about 60% of what Hopper's wgmma does, with the reads of shared memory close behind:
// warps of 64x64 read 4 KiB for 32 products, 32 of the 51 cycles that those take.
//
// On sm_90a, in kGemmDepth * 2 = 128 bytes a row and stage:
//
//   tile      warps  stages  shared KiB  registers  blocks a multiprocessor
//   16x16         1       8          32         72  6
//   32x16         1       8          48        124  4
//   64x16         2       6          60        120  3
//   16x64         4       6          60         56  3
//   32x64         4       5          60         70  3
//   64x64         4       4          64         96  3
//   128x128       4       3          96        243  2 (sm_80: 1)
#include "kernels/base/check.h"
#include "kernels/cuda/linear_kernels.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kChunk = 8;  // elements of 16 bytes
constexpr int kChunks = kGemmDepth / kChunk;
constexpr int kStep = 16;  // of in_features in an instruction
constexpr int kSteps = kGemmDepth / kStep;

struct GemmParams {
  const void* x = nullptr;
  const void* weight = nullptr;
  const float* bias = nullptr;
  void* out = nullptr;
  int64_t x_stride = 0;
  int64_t weight_stride = 0;
  int64_t out_stride = 0;
  int64_t split_stride = 0;  // of out, elements
  int rows = 0;
  int weight_rows = 0;
  int out_features = 0;
  int in_features = 0;
  int split_depth = 0;  // stages of one split
  int row_tiles = 0;
  bool store_pairs = false;  // two outputs with even columns are aligned as one
};

// A block's tile and how its warps share it; kWarpCols is a multiple of 16.
template <int kRowsOfTile, int kColsOfTile, int kRowsOfWarp, int kColsOfWarp, int kDeep>
struct Layout {
  static constexpr int kRows = kRowsOfTile;
  static constexpr int kCols = kColsOfTile;
  static constexpr int kWarpRows = kRowsOfWarp;
  static constexpr int kWarpCols = kColsOfWarp;
  static constexpr int kStages = kDeep;
  static constexpr int kWarpsAcross = kCols / kWarpCols;
  static constexpr int kThreads = kRows / kWarpRows * kWarpsAcross * kWarpSize;
  static constexpr int kMmaRows = kWarpRows / 16;
  static constexpr int kMmaCols = kWarpCols / 8;
  static constexpr int kStageElements = (kRows + kCols) * kGemmDepth;
};

// Rows of x and of the weight lie in shared memory with chunk c of row r at c ^ r % 8: the eight
// rows of a matrix that LoadMatrices reads then lie in different banks.
//
// Starts copies of kTileRows rows from `source` on; rows from `rows` on and elements from `depth`
// on become zeros.
template <typename T, int kTileRows, int kThreads>
PHALANX_DEVICE void CopyTile(T* tile, const T* source, int64_t stride, int rows, int depth) {
  const int chunk = ThreadIndex() % kChunks;
  const int first = ThreadIndex() / kChunks;
  const int left = 2 * (depth - chunk * kChunk);
  const int bytes = left < 0 ? 0 : left > 16 ? 16 : left;
  PHALANX_UNROLL
  for (int i = 0; i < kTileRows * kChunks / kThreads; ++i) {
    const int row = first + i * (kThreads / kChunks);
    const bool inside = row < rows && bytes > 0;
    CopyAsync16(tile + row * kGemmDepth + (chunk ^ row % 8) * kChunk,
                inside ? source + row * stride + chunk * kChunk : source, inside ? bytes : 0);
  }
}

// The operands of one step, as the warp's registers hold them.
template <typename L>
struct Fragments {
  uint32_t a[L::kMmaRows][4];
  uint32_t b[L::kMmaCols][2];
};

// a and b: the row of the warp's first matrices that this lane addresses; swizzle: where its chunk
// of step 0 lies in that row. Rows 16 apart are swizzled alike.
template <typename L, typename T>
PHALANX_DEVICE void LoadFragments(Fragments<L>& fragments, const T* a, int a_swizzle, const T* b,
                                  int b_swizzle, int step) {
  PHALANX_UNROLL
  for (int i = 0; i < L::kMmaRows; ++i) {
    LoadMatrices(fragments.a[i],
                 a + i * 16 * kGemmDepth + (a_swizzle ^ step * (kStep / kChunk)) * kChunk);
  }
  PHALANX_UNROLL
  for (int j = 0; j < L::kMmaCols; j += 2) {
    uint32_t r[4];
    LoadMatrices(r, b + j * 8 * kGemmDepth + (b_swizzle ^ step * (kStep / kChunk)) * kChunk);
    fragments.b[j][0] = r[0];
    fragments.b[j][1] = r[1];
    fragments.b[j + 1][0] = r[2];
    fragments.b[j + 1][1] = r[3];
  }
}

template <typename Out>
PHALANX_DEVICE void StorePair(Out* row, int col, float first, float second, const GemmParams& p) {
  if (p.store_pairs && col + 1 < p.out_features) {
    StoreVec(row + col, Vec<Out, 2>{{FromFloat<Out>(first), FromFloat<Out>(second)}});
    return;
  }
  if (col < p.out_features) row[col] = FromFloat<Out>(first);
  if (col + 1 < p.out_features) row[col + 1] = FromFloat<Out>(second);
}

// first_row, first_col: of the warp's sums, in x and in the weight.
template <typename T, typename L, Epilogue kEpilogue>
PHALANX_DEVICE void Store(const float (&sums)[L::kMmaRows][L::kMmaCols][4], int first_row,
                          int first_col, const GemmParams& p) {
  using Out = typename OutputOf<T, kEpilogue>::Type;
  const int group = LaneIndex() / 4;
  const int pair = 2 * (LaneIndex() % 4);
  PHALANX_UNROLL
  for (int i = 0; i < L::kMmaRows; ++i) {
    PHALANX_UNROLL
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + i * 16 + half * 8 + group;
      if (row >= p.rows) continue;
      Out* const out = static_cast<Out*>(p.out) + BlockY() * p.split_stride + row * p.out_stride;
      if constexpr (kEpilogue == Epilogue::kSwiglu) {
        PHALANX_UNROLL
        for (int j = 0; j < L::kMmaCols; j += 2) {
          const float(&gate)[4] = sums[i][j];
          const float(&up)[4] = sums[i][j + 1];
          StorePair(out, (first_col + j * 8) / 2 + pair, Swiglu(gate[2 * half], up[2 * half]),
                    Swiglu(gate[2 * half + 1], up[2 * half + 1]), p);
        }
      } else {
        PHALANX_UNROLL
        for (int j = 0; j < L::kMmaCols; ++j) {
          const int col = first_col + j * 8 + pair;
          float first = sums[i][j][2 * half];
          float second = sums[i][j][2 * half + 1];
          if (p.bias != nullptr) {
            if (col < p.out_features) first += p.bias[col];
            if (col + 1 < p.out_features) second += p.bias[col + 1];
          }
          StorePair(out, col, first, second, p);
        }
      }
    }
  }
}

template <typename T, typename L, Epilogue kEpilogue>
PHALANX_KERNEL(L::kThreads)
GemmKernel(const GemmParams p) {
  SharedMemory shared;
  T* const stages = shared.Array<T>(L::kStages * L::kStageElements);

  // Blocks that run at one time work on a near-square patch of tiles, which the cache holds.
  constexpr int kPatchRows = 16;
  const int col_tiles = (p.weight_rows + L::kCols - 1) / L::kCols;
  const int patch = BlockX() / (kPatchRows * col_tiles);
  const int in_patch = BlockX() - patch * (kPatchRows * col_tiles);
  const int rows_left = p.row_tiles - patch * kPatchRows;
  const int patch_rows = rows_left < kPatchRows ? rows_left : kPatchRows;
  const int block_row = (patch * kPatchRows + in_patch % patch_rows) * L::kRows;
  const int block_col = in_patch / patch_rows * L::kCols;

  const int first_depth = BlockY() * p.split_depth * kGemmDepth;
  const int depth_left = p.in_features - first_depth;
  const int all = (depth_left + kGemmDepth - 1) / kGemmDepth;
  const int count = all < p.split_depth ? all : p.split_depth;
  const T* const x = static_cast<const T*>(p.x) + block_row * p.x_stride + first_depth;
  const T* const weight =
      static_cast<const T*>(p.weight) + block_col * p.weight_stride + first_depth;
  const auto copy = [&](int i) {
    T* const stage = stages + i % L::kStages * L::kStageElements;
    const int at = i * kGemmDepth;
    CopyTile<T, L::kRows, L::kThreads>(stage, x + at, p.x_stride, p.rows - block_row,
                                       depth_left - at);
    CopyTile<T, L::kCols, L::kThreads>(stage + L::kRows * kGemmDepth, weight + at, p.weight_stride,
                                       p.weight_rows - block_col, depth_left - at);
  };
  PHALANX_UNROLL
  for (int i = 0; i < L::kStages - 1; ++i) {
    if (i < count) copy(i);
    CopyAsyncCommit();
  }

  // Matrices of a: rows 0-7 and 8-15 of chunk 0, then of chunk 1; of b: chunks 0 and 1 of rows 0-7,
  // then of rows 8-15.
  const int lane = LaneIndex();
  const int warp_row = WarpIndex() / L::kWarpsAcross * L::kWarpRows;
  const int warp_col = WarpIndex() % L::kWarpsAcross * L::kWarpCols;
  const int a_offset = (warp_row + lane % 16) * kGemmDepth;
  const int a_swizzle = lane / 16 ^ lane % 8;
  const int b_offset = (L::kRows + warp_col + lane / 16 * 8 + lane % 8) * kGemmDepth;
  const int b_swizzle = lane / 8 % 2 ^ lane % 8;

  float sums[L::kMmaRows][L::kMmaCols][4];
  PHALANX_UNROLL
  for (int i = 0; i < L::kMmaRows; ++i) {
    PHALANX_UNROLL
    for (int j = 0; j < L::kMmaCols; ++j) {
      PHALANX_UNROLL
      for (int e = 0; e < 4; ++e) sums[i][j][e] = 0.0F;
    }
  }
  for (int i = 0; i < count; ++i) {
    // Of the stages ahead all but the next may still be on their way; and all warps are done with
    // the stage that is filled next.
    CopyAsyncWait<L::kStages - 2>();
    SyncThreads();
    if (i + L::kStages - 1 < count) copy(i + L::kStages - 1);
    CopyAsyncCommit();
    const T* const stage = stages + i % L::kStages * L::kStageElements;
    // A step's operands are read while the one before is multiplied.
    Fragments<L> fragments[2];
    LoadFragments(fragments[0], stage + a_offset, a_swizzle, stage + b_offset, b_swizzle, 0);
    PHALANX_UNROLL
    for (int step = 0; step < kSteps; ++step) {
      if (step + 1 < kSteps) {
        LoadFragments(fragments[(step + 1) % 2], stage + a_offset, a_swizzle, stage + b_offset,
                      b_swizzle, step + 1);
      }
      const Fragments<L>& now = fragments[step % 2];
      PHALANX_UNROLL
      for (int m = 0; m < L::kMmaRows; ++m) {
        PHALANX_UNROLL
        for (int n = 0; n < L::kMmaCols; ++n) MultiplyTile<T>(sums[m][n], now.a[m], now.b[n]);
      }
    }
  }
  Store<T, L, kEpilogue>(sums, block_row + warp_row, block_col + warp_col, p);
}

// ------------------------------------------------------------------------------------------------

template <typename T, typename L, Epilogue kEpilogue>
void LaunchLayout(Stream& stream, GemmParams params, int splits) {
  params.row_tiles = static_cast<int>(CeilDivide(params.rows, L::kRows));
  const int64_t tiles = params.row_tiles * CeilDivide(params.weight_rows, L::kCols);
  const LaunchShape shape{.grid_x = static_cast<int>(tiles),
                          .grid_y = splits,
                          .threads = L::kThreads,
                          .shared_bytes = SharedBytes<T>(L::kStages * L::kStageElements)};
  Launch<GemmKernel<T, L, kEpilogue>>(stream, "gemm", shape, params);
}

template <typename T, Epilogue kEpilogue>
void LaunchTile(Stream& stream, const GemmParams& params, const GemmPlan& plan) {
  switch (plan.tile) {
    case GemmTile::k16x16:
      return LaunchLayout<T, Layout<16, 16, 16, 16, 8>, kEpilogue>(stream, params, plan.splits);
    case GemmTile::k32x16:
      return LaunchLayout<T, Layout<32, 16, 32, 16, 8>, kEpilogue>(stream, params, plan.splits);
    case GemmTile::k64x16:
      return LaunchLayout<T, Layout<64, 16, 32, 16, 6>, kEpilogue>(stream, params, plan.splits);
    case GemmTile::k16x64:
      return LaunchLayout<T, Layout<16, 64, 16, 16, 6>, kEpilogue>(stream, params, plan.splits);
    case GemmTile::k32x64:
      return LaunchLayout<T, Layout<32, 64, 32, 16, 5>, kEpilogue>(stream, params, plan.splits);
    case GemmTile::k64x64:
      return LaunchLayout<T, Layout<64, 64, 32, 32, 4>, kEpilogue>(stream, params, plan.splits);
    case GemmTile::k128x128:
      return LaunchLayout<T, Layout<128, 128, 64, 64, 3>, kEpilogue>(stream, params, plan.splits);
  }
}

template <typename T>
void LaunchEpilogue(Stream& stream, const GemmParams& params, Epilogue epilogue,
                    const GemmPlan& plan) {
  switch (epilogue) {
    case Epilogue::kFloat:
      return LaunchTile<T, Epilogue::kFloat>(stream, params, plan);
    case Epilogue::kNarrow:
      return LaunchTile<T, Epilogue::kNarrow>(stream, params, plan);
    case Epilogue::kSwiglu:
      return LaunchTile<T, Epilogue::kSwiglu>(stream, params, plan);
  }
}

bool StoresPairs(const GemmParams& params, Epilogue epilogue) {
  const size_t pair_bytes = epilogue == Epilogue::kFloat ? 8 : 4;
  return params.out_stride % 2 == 0 && reinterpret_cast<uintptr_t>(params.out) % pair_bytes == 0;
}

}  // namespace

void LaunchGemm(Stream& stream, const LinearParams& params, const LinearOptions& options,
                Epilogue epilogue, const GemmPlan& plan) {
  const int64_t stages = CeilDivide(params.in_features, kGemmDepth);
  const int64_t weight_rows = WeightRows(params, epilogue);
  GemmParams gemm{.x = params.x,
                  .weight = params.weight,
                  .bias = params.bias,
                  .out = params.out,
                  .x_stride = params.x_stride,
                  .weight_stride = params.weight_stride,
                  .out_stride = params.out_stride,
                  .rows = static_cast<int>(params.rows),
                  .weight_rows = static_cast<int>(weight_rows),
                  .out_features = static_cast<int>(params.out_features),
                  .in_features = static_cast<int>(params.in_features),
                  .split_depth = static_cast<int>(CeilDivide(stages, plan.splits))};
  const Epilogue first = plan.splits > 1 ? Epilogue::kFloat : epilogue;
  if (plan.splits > 1) {
    gemm.bias = nullptr;
    gemm.out = options.workspace;
    gemm.out_features = static_cast<int>(weight_rows);
    gemm.out_stride = CeilDivide(weight_rows, 2) * 2;
    gemm.split_stride = params.rows * gemm.out_stride;
  }
  gemm.store_pairs = StoresPairs(gemm, first);
  if (options.dtype == DType::kBF16) {
    LaunchEpilogue<BF16>(stream, gemm, first, plan);
  } else {
    LaunchEpilogue<F16>(stream, gemm, first, plan);
  }
  if (plan.splits == 1) return;
  const SplitSums split{.sums = static_cast<const float*>(options.workspace),
                        .splits = plan.splits,
                        .stride = gemm.out_stride};
  LaunchSumSplits(stream, split, params, options.dtype, epilogue);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
