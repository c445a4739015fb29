// Few rows: each weight is read once and multiplied with every row from registers.
//
// A warp takes kOut rows of the weight, or with short grids a part of their in_features: lanes read
// 16 bytes each, eight such loads before the first is used. The lanes' sums meet in a fixed tree,
// then those of the parts in order.
//
// x is staged once a multiprocessor, in its first cache, which the weights pass by. Shared memory
// would hold a copy for each block, five of them at one row, and does not fit eight rows of 18,944
// (296 KiB). Both serve 128 bytes a clock, 220 GB/s: while an H200's multiprocessor takes its 36
// GB/s of weights, warps read 18, 36, 36 and 73 GB/s of x for 1, 2, 4 and 8 rows.
//
// Bytes: out_features * in_features * 2, plus x and out. FLOP: rows per byte. Bound by memory; at 8
// rows the multiply-adds take 60% of an H200's rate beside it. On sm_90a, for 1, 2, 4 and 8 rows:
// 88, 94, 108 and 152 registers, 5, 5, 4 and 3 blocks of 4 warps a multiprocessor, so 48 to 80 KiB
// on their way where 33 KiB cover the latency; 128 to 2,048 bytes of shared memory.
#include "kernels/base/check.h"
#include "kernels/cuda/linear_kernels.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / kWarpSize;
constexpr int kVector = 8;  // elements of 16 bytes

struct GemvParams {
  const void* x = nullptr;
  const void* weight = nullptr;
  const float* bias = nullptr;
  void* out = nullptr;
  int64_t x_stride = 0;
  int64_t weight_stride = 0;
  int64_t out_stride = 0;
  int rows = 0;
  int in_features = 0;
  int out_features = 0;
  int parts = 1;  // warps that share an output: 1, 2 or 4
};

// Rows of the weight that a warp takes, and vectors of each that it reads ahead.
template <int kRows>
struct GemvShape {
  static constexpr int kOut = kRows <= 2 ? 2 : 4;
  static constexpr int kAhead = 8 / kOut;
};

// Whether in_features may end within what is read.
enum class End : uint8_t { kBehind, kWithin };

template <typename T, int kRows, End kEnd>
struct Batch {
  using Shape = GemvShape<kRows>;
  using Vector = Vec<T, kVector>;

  // Vectors first, first + step, ... of each row.
  PHALANX_DEVICE static void Add(float (&sums)[kRows][Shape::kOut], const T* const (&x)[kRows],
                                 const T* const (&weight)[Shape::kOut], int first, int step,
                                 int in_features) {
    Vector w[Shape::kAhead][Shape::kOut];
    PHALANX_UNROLL
    for (int i = 0; i < Shape::kAhead; ++i) {
      const int at = (first + i * step) * kVector;
      PHALANX_UNROLL
      for (int j = 0; j < Shape::kOut; ++j) {
        w[i][j] = Vector{};
        if (kEnd == End::kBehind || at < in_features) {
          w[i][j] = LoadStreaming<Vector>(weight[j] + at);
        }
      }
    }
    PHALANX_UNROLL
    for (int i = 0; i < Shape::kAhead; ++i) {
      const int at = (first + i * step) * kVector;
      if (kEnd == End::kWithin && at >= in_features) continue;
      PHALANX_UNROLL
      for (int r = 0; r < kRows; ++r) {
        const Vector loaded = LoadVec<Vector>(x[r] + at);
        PHALANX_UNROLL
        for (int e = 0; e < kVector; ++e) {
          const bool inside = kEnd == End::kBehind || at + e < in_features;
          const float value = inside ? ToFloat(loaded.v[e]) : 0.0F;
          PHALANX_UNROLL
          for (int j = 0; j < Shape::kOut; ++j) {
            sums[r][j] = fmaf(ToFloat(w[i][j].v[e]), value, sums[r][j]);
          }
        }
      }
    }
  }
};

// The row of the weight that stands at place `j` of a warp whose first output is `first`. Beyond
// the last one: some row, whose sums nobody writes.
template <Epilogue kEpilogue, int kOut>
PHALANX_DEVICE int WeightRow(int first, int j, int out_features) {
  if constexpr (kEpilogue == Epilogue::kSwiglu) {
    constexpr int kPairs = kOut / 2;
    const int i = first + j % kPairs;
    const int inside = i < out_features ? i : out_features - 1;
    return inside / 8 * 16 + j / kPairs * 8 + inside % 8;
  } else {
    const int row = first + j;
    return row < out_features ? row : out_features - 1;
  }
}

template <typename T, int kRows, Epilogue kEpilogue>
PHALANX_KERNEL(kThreads)
GemvKernel(const GemvParams p) {
  using Shape = GemvShape<kRows>;
  using Out = typename OutputOf<T, kEpilogue>::Type;
  constexpr int kOut = Shape::kOut;
  constexpr int kSums = kRows * kOut;
  constexpr int kOutputs = kEpilogue == Epilogue::kSwiglu ? kOut / 2 : kOut;  // of a warp and row
  SharedMemory shared;
  float* const partial = shared.Array<float>(kWarps * kSums);

  const int lane = LaneIndex();
  const int team = WarpIndex() / p.parts;
  const int part = WarpIndex() % p.parts;
  const int first_out = (BlockX() * (kWarps / p.parts) + team) * kOutputs;
  const T* x[kRows];
  const T* weight[kOut];
  PHALANX_UNROLL
  for (int r = 0; r < kRows; ++r) {
    x[r] = static_cast<const T*>(p.x) + (r < p.rows ? r : p.rows - 1) * p.x_stride;
  }
  PHALANX_UNROLL
  for (int j = 0; j < kOut; ++j) {
    weight[j] = static_cast<const T*>(p.weight) +
                WeightRow<kEpilogue, kOut>(first_out, j, p.out_features) * p.weight_stride;
  }

  float sums[kRows][kOut];
  PHALANX_UNROLL
  for (int r = 0; r < kRows; ++r) {
    PHALANX_UNROLL
    for (int j = 0; j < kOut; ++j) sums[r][j] = 0.0F;
  }
  const int step = p.parts * kWarpSize;
  const int whole = p.in_features / kVector;
  int first = part * kWarpSize;
  for (; first + (Shape::kAhead - 1) * step + kWarpSize <= whole; first += Shape::kAhead * step) {
    Batch<T, kRows, End::kBehind>::Add(sums, x, weight, first + lane, step, p.in_features);
  }
  if (first * kVector < p.in_features) {
    Batch<T, kRows, End::kWithin>::Add(sums, x, weight, first + lane, step, p.in_features);
  }

  float mine = 0.0F;
  PHALANX_UNROLL
  for (int r = 0; r < kRows; ++r) {
    PHALANX_UNROLL
    for (int j = 0; j < kOut; ++j) {
      const float sum = WarpSum(sums[r][j]);
      if (lane == r * kOut + j) mine = sum;
    }
  }
  if (lane < kSums) partial[WarpIndex() * kSums + lane] = mine;
  SyncThreads();
  if (part != 0 || lane >= kRows * kOutputs) return;
  const int row = lane / kOutputs;
  const int col = first_out + lane % kOutputs;
  if (row >= p.rows || col >= p.out_features) return;
  const float* const from = partial + WarpIndex() * kSums + row * kOut + lane % kOutputs;
  float value = 0.0F;
  float up = 0.0F;
  for (int i = 0; i < p.parts; ++i) {
    value += from[i * kSums];
    if constexpr (kEpilogue == Epilogue::kSwiglu) up += from[i * kSums + kOutputs];
  }
  if constexpr (kEpilogue == Epilogue::kSwiglu) {
    value = Swiglu(value, up);
  } else if (p.bias != nullptr) {
    value += p.bias[col];
  }
  static_cast<Out*>(p.out)[row * p.out_stride + col] = FromFloat<Out>(value);
}

// ------------------------------------------------------------------------------------------------

template <typename T, int kRows, Epilogue kEpilogue>
void LaunchRows(Stream& stream, GemvParams params, int num_sms) {
  using Shape = GemvShape<kRows>;
  constexpr int kOutputs = kEpilogue == Epilogue::kSwiglu ? Shape::kOut / 2 : Shape::kOut;
  // Enough warps that their loads cover the memory's latency, as long as each has some.
  constexpr int64_t kWarpsPerSm = 12;
  const int64_t teams = CeilDivide(params.out_features, kOutputs);
  const int64_t steps = CeilDivide(params.in_features, kVector * kWarpSize);
  while (params.parts < kWarps && teams * params.parts < kWarpsPerSm * num_sms &&
         steps >= 2 * params.parts) {
    params.parts *= 2;
  }
  const LaunchShape shape{.grid_x = static_cast<int>(CeilDivide(teams * params.parts, kWarps)),
                          .threads = kThreads,
                          .shared_bytes = SharedBytes<float>(kWarps * kRows * Shape::kOut)};
  Launch<GemvKernel<T, kRows, kEpilogue>>(stream, "gemv", shape, params);
}

template <typename T, Epilogue kEpilogue>
void LaunchTyped(Stream& stream, const GemvParams& params, int num_sms) {
  if (params.rows == 1) return LaunchRows<T, 1, kEpilogue>(stream, params, num_sms);
  if (params.rows == 2) return LaunchRows<T, 2, kEpilogue>(stream, params, num_sms);
  if (params.rows <= 4) return LaunchRows<T, 4, kEpilogue>(stream, params, num_sms);
  return LaunchRows<T, 8, kEpilogue>(stream, params, num_sms);
}

template <typename T>
void LaunchEpilogue(Stream& stream, const GemvParams& params, int num_sms, Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::kFloat:
      return LaunchTyped<T, Epilogue::kFloat>(stream, params, num_sms);
    case Epilogue::kNarrow:
      return LaunchTyped<T, Epilogue::kNarrow>(stream, params, num_sms);
    case Epilogue::kSwiglu:
      return LaunchTyped<T, Epilogue::kSwiglu>(stream, params, num_sms);
  }
}

}  // namespace

void LaunchGemv(Stream& stream, const LinearParams& params, const LinearOptions& options,
                Epilogue epilogue) {
  PHALANX_CHECK_LE(params.rows, kMaxGemvRows);
  const GemvParams gemv{.x = params.x,
                        .weight = params.weight,
                        .bias = params.bias,
                        .out = params.out,
                        .x_stride = params.x_stride,
                        .weight_stride = params.weight_stride,
                        .out_stride = params.out_stride,
                        .rows = static_cast<int>(params.rows),
                        .in_features = static_cast<int>(params.in_features),
                        .out_features = static_cast<int>(params.out_features)};
  if (options.dtype == DType::kBF16) {
    LaunchEpilogue<BF16>(stream, gemv, options.num_sms, epilogue);
  } else {
    LaunchEpilogue<F16>(stream, gemv, options.num_sms, epilogue);
  }
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
