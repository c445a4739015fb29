#include "kernels/cpu/linear_kernel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/linear_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// after highway.h
#include <hwy/cache_control.h>
#include <hwy/contrib/math/math-inl.h>

#include <algorithm>

#include "kernels/cpu/cpu_packed_weight.h"
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

// Writes kLanes sums, or those of them that are inside the matrix.
HWY_INLINE void StoreSums(VecF32 sums, const LinearProblem& problem, int64_t row, int64_t column) {
  const F32 d;
  const int64_t left = problem.out_features - column;
  if (left <= 0) return;
  float* out = problem.out + row * problem.out_stride + column;
  const float* bias = problem.epilogue == LinearEpilogue::kBias && problem.bias != nullptr
                          ? problem.bias + column
                          : nullptr;
  if (left >= static_cast<int64_t>(kLanes)) {
    hn::StoreU(bias != nullptr ? hn::Add(sums, hn::LoadU(d, bias)) : sums, d, out);
    return;
  }
  alignas(64) float lanes[kLanes];
  hn::Store(sums, d, lanes);
  for (int64_t i = 0; i < left; ++i) out[i] = bias != nullptr ? lanes[i] + bias[i] : lanes[i];
}

// silu(gate) * up. Beyond 88 exp would overflow; the quotient is then below 1e-36 anyway.
HWY_INLINE VecF32 Swiglu(VecF32 gate, VecF32 up) {
  const F32 d;
  const auto exp = hn::Exp(d, hn::Min(hn::Neg(gate), hn::Set(d, 88.0f)));
  return hn::Mul(hn::Div(gate, hn::Add(hn::Set(d, 1.0f), exp)), up);
}

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
      const int64_t row = first_row + static_cast<int64_t>(r);
      if (problem.epilogue == LinearEpilogue::kSwiglu) {
        StoreSums(Swiglu(low[u][r], high[u][r]), problem, row, panel_index * kPanelHalf + lane);
      } else {
        StoreSums(low[u][r], problem, row, panel_index * kPanelSlots + lane);
        StoreSums(high[u][r], problem, row, panel_index * kPanelSlots + kPanelHalf + lane);
      }
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
      const float* x = problem.x + first_row * problem.in_features;
      for (int64_t panel = begin; panel < end; ++panel) multiply(problem, panel, x, first_row);
    }
  }
}

void RunLinear(const LinearProblem& problem, const LinearRange& range) {
  switch (problem.weight_dtype) {
    case DType::kBF16:
      return MultiplyRange<WeightBF16>(problem, range);
    case DType::kF16:
      return MultiplyRange<WeightF16>(problem, range);
    default:
      return MultiplyRange<WeightF32>(problem, range);
  }
}

int64_t MaxBlockRows() { return kMaxBlockRows; }

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

LinearKernels GetLinearKernels(CpuIsa isa) {
  return {PHALANX_TARGET_FUNCTION(isa, RunLinear), PHALANX_TARGET_FUNCTION(isa, MaxBlockRows)()};
}

}  // namespace phalanx
#endif  // HWY_ONCE
