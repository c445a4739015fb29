#include "kernels/cpu/linear_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// after highway.h
#include <hwy/cache_control.h>

#include <algorithm>

#include "kernels/cpu/cpu_packed_weight.h"
#include "kernels/cpu/linear_epilogue-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Rows of one block: as many sums as fit into the vector registers beside the weights.
#if HWY_TARGET == HWY_AVX3
constexpr size_t kMaxBlockRows = 12;  // x 2 vectors = 24 of 32 registers
#elif HWY_TARGET == HWY_NEON
constexpr size_t kMaxBlockRows = 8;  // x 2 vectors = 16 of 32
#elif HWY_TARGET == HWY_AVX2
constexpr size_t kMaxBlockRows = 6;  // x 2 vectors = 12 of 16
#else
constexpr size_t kMaxBlockRows = 4;
#endif

// With few rows the loads follow each other so closely that the hardware's prefetcher is always
// ahead, and more requests only cost. With more rows arithmetic slows the stream down, the
// prefetcher looks less far, and each panel's first pass waits for memory unless it asks early.
constexpr size_t kMinPrefetchRows = 4;
constexpr size_t kPrefetchBytes = 4096;

// Panels that all row blocks of a range visit before the next ones, by bytes: they and one block of
// x stay in the second-level cache.
constexpr int64_t kPanelGroupBytes = int64_t{384} << 10;

// How kLanes slots of a panel's low half, and the same of its high half, are widened.
struct WeightBF16 {
  static constexpr size_t kStepBytes = kPanelSlots * 2;
  static HWY_INLINE void Load(const std::byte* step, size_t slot, VecF32& low, VecF32& high) {
    const auto words = hn::LoadU(U32(), reinterpret_cast<const uint32_t*>(step) + slot);
    low = LowHalfToF32(words);
    high = HighHalfToF32(words);
  }
};
struct WeightF16 {
  static constexpr size_t kStepBytes = kPanelSlots * 2;
  static HWY_INLINE void Load(const std::byte* step, size_t slot, VecF32& low, VecF32& high) {
    const auto* halves = reinterpret_cast<const uint16_t*>(step);
    low = LoadF16(halves + slot);
    high = LoadF16(halves + kPanelHalf + slot);
  }
};
struct WeightF32 {
  static constexpr size_t kStepBytes = kPanelSlots * 4;
  static HWY_INLINE void Load(const std::byte* step, size_t slot, VecF32& low, VecF32& high) {
    const auto* floats = reinterpret_cast<const float*>(step);
    low = LoadF32(floats + slot);
    high = LoadF32(floats + kPanelHalf + slot);
  }
};

// One panel times one block of kRows rows. kUnits vectors of each half at a time: one with many
// rows, the whole panel where there are registers for it.
template <class Weight, size_t kRows, size_t kUnits>
HWY_INLINE void MultiplyUnits(const LinearProblem& problem, int64_t panel_index, const float* x,
                              int64_t first_row, size_t slot) {
  const F32 d;
  VecF32 low[kUnits][kRows], high[kUnits][kRows];
  for (size_t u = 0; u < kUnits; ++u) {
    for (size_t r = 0; r < kRows; ++r) low[u][r] = high[u][r] = hn::Zero(d);
  }
  const std::byte* step = problem.panels + panel_index * problem.panel_bytes;
  const std::byte* const end = step + problem.panel_bytes;
  for (; step != end; step += Weight::kStepBytes, x += kRows) {
    if constexpr (kRows >= kMinPrefetchRows) hwy::Prefetch(step + kPrefetchBytes);
    for (size_t u = 0; u < kUnits; ++u) {
      VecF32 weight_low, weight_high;
      Weight::Load(step, slot + u * kLanes, weight_low, weight_high);
      for (size_t r = 0; r < kRows; ++r) {
        const auto value = hn::Set(d, x[r]);
        low[u][r] = FusedMulAdd(weight_low, value, low[u][r]);
        high[u][r] = FusedMulAdd(weight_high, value, high[u][r]);
      }
    }
  }
  for (size_t u = 0; u < kUnits; ++u) {
    const auto lane = static_cast<int64_t>(slot + u * kLanes);
    for (size_t r = 0; r < kRows; ++r) {
      StorePanelSums(low[u][r], high[u][r], problem, first_row + static_cast<int64_t>(r),
                     panel_index, lane);
    }
  }
}

template <class Weight, size_t kRows>
void MultiplyPanel(const LinearProblem& problem, int64_t panel_index, const float* x,
                   int64_t first_row) {
  constexpr size_t kUnitsOfPanel = kPanelHalf / kLanes;
  constexpr size_t kUnits = kLanes == 1 ? 8 : kRows <= 2 && kUnitsOfPanel <= 2 ? kUnitsOfPanel : 1;
  for (size_t unit = 0; unit < kUnitsOfPanel; unit += kUnits) {
    MultiplyUnits<Weight, kRows, kUnits>(problem, panel_index, x, first_row, unit * kLanes);
  }
}

using PanelFunction = void (*)(const LinearProblem& problem, int64_t panel_index, const float* x,
                               int64_t first_row);

template <class Weight, size_t kRows>
PanelFunction PanelFunctionFor(int64_t rows) {
  if (static_cast<int64_t>(kRows) == rows) return &MultiplyPanel<Weight, kRows>;
  if constexpr (kRows > 1) return PanelFunctionFor<Weight, kRows - 1>(rows);
  return nullptr;
}

template <class Weight>
void MultiplyRange(const LinearProblem& problem, const LinearRange& range) {
  const int64_t group =
      std::max<int64_t>(1, kPanelGroupBytes / std::max<int64_t>(1, problem.panel_bytes));
  for (int64_t begin = range.panel_begin; begin < range.panel_end; begin += group) {
    const int64_t end = std::min(begin + group, range.panel_end);
    for (int64_t block = range.block_begin; block < range.block_end; ++block) {
      const int64_t first_row = problem.blocks.FirstRow(block);
      const int64_t rows = problem.blocks.FirstRow(block + 1) - first_row;
      const PanelFunction multiply = PanelFunctionFor<Weight, kMaxBlockRows>(rows);
      const auto* x = reinterpret_cast<const float*>(problem.x + first_row * problem.x_row_bytes);
      for (int64_t panel = begin; panel < end; ++panel) multiply(problem, panel, x, first_row);
    }
  }
}

struct WholeX {
  static float Take(float value) { return value; }
};
struct RoundedX {
  static float Take(float value) { return BF16ToFloat(FloatToBF16(value)); }
};

// As [in_features, rows]. Columns are transposed for all rows of a block before the next: they stay
// in the first-level cache.
template <class X>
void PackBlock(const TensorView& x, int64_t first_row, int64_t rows, int64_t /*lead*/,
               std::byte* packed) {
  constexpr int64_t kTile = 64;
  auto* out = reinterpret_cast<float*>(packed);
  for (int64_t begin = 0; begin < x.cols; begin += kTile) {
    const int64_t end = std::min(begin + kTile, x.cols);
    for (int64_t r = 0; r < rows; ++r) {
      const float* source = x.row<float>(first_row + r);
      for (int64_t k = begin; k < end; ++k) out[k * rows + r] = X::Take(source[k]);
    }
  }
}

int64_t PackedRowBytes(int64_t in_features) {
  return in_features * static_cast<int64_t>(sizeof(float));
}

void RunLinear(const LinearProblem& problem, const LinearRange& range, float* /*scratch*/) {
  switch (problem.weight_dtype) {
    case DType::kBF16:
      return MultiplyRange<WeightBF16>(problem, range);
    case DType::kF16:
      return MultiplyRange<WeightF16>(problem, range);
    default:
      return MultiplyRange<WeightF32>(problem, range);
  }
}

LinearKernels VectorLinearKernels(DType x_dtype) {
  const bool is_rounded = x_dtype == DType::kBF16;
  return {.run = &RunLinear,
          .pack = is_rounded ? &PackBlock<RoundedX> : &PackBlock<WholeX>,
          .packed_row_bytes = &PackedRowBytes,
          .max_block_rows = kMaxBlockRows,
          .one_row_is_packed = !is_rounded};
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

LinearKernels GetLinearKernels(CpuIsa isa, DType x_dtype) {
  return PHALANX_TARGET_FUNCTION(isa, VectorLinearKernels)(x_dtype);
}

}  // namespace phalanx
#endif  // HWY_ONCE
