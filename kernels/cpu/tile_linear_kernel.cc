#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/tile_linear_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/cpu_packed_weight.h"
#include "kernels/cpu/linear_epilogue-inl.h"
#include "kernels/cpu/linear_kernel.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// What x becomes: kParts bf16 numbers for each value. Take() gives the bits of the next one, in the
// high half of each lane, and leaves the rest.

// An f32 has 24 significant bits, a bf16 eight: three hold it all. Cutting bits off leaves a rest
// that f32 holds exactly, and never overflows.
struct WholeParts {
  static constexpr int64_t kParts = 3;
  static constexpr int64_t kMaxBlockRows = kTileRows;
  static HWY_INLINE hn::Vec<U32> Take(VecF32& rest) {
    const auto high = hn::And(hn::BitCast(U32(), rest), hn::Set(U32(), 0xffff0000u));
    rest = hn::Sub(rest, hn::BitCast(F32(), high));
    return high;
  }
};

struct RoundedPart {
  static constexpr int64_t kParts = 1;
  static constexpr int64_t kMaxBlockRows = 2 * kTileRows;
  static HWY_INLINE hn::Vec<U32> Take(const VecF32& value) { return RoundToBF16(value); }
};

// Input features that are multiplied for all blocks and panels of a group before the next ones, so
// that the group's weights and x stay in the second-level cache; and what a group holds.
constexpr int64_t kChunkSteps = 28;
constexpr int64_t kGroupBlocks = 8;
constexpr int64_t kGroupPanels = 8;

constexpr int64_t NumSteps(int64_t in_features) {
  return (in_features + kTileDepth - 1) / kTileDepth;
}

template <class X>
int64_t TilePackedRowBytes(int64_t in_features) {
  return NumSteps(in_features) * kTileDepth * X::kParts * static_cast<int64_t>(sizeof(uint16_t));
}

// The parts of kTileDepth values, part_stride apart.
template <class X>
HWY_INLINE void PackValues(const float* values, uint16_t* part, int64_t part_stride) {
  for (size_t k = 0; k < kTileDepth; k += kLanes) {
    auto rest = hn::LoadU(F32(), values + k);
    for (int64_t p = 0; p < X::kParts; ++p) {
      hn::StoreU(hn::TruncateTo(U16(), hn::ShiftRight<16>(X::Take(rest))), U16(),
                 part + p * part_stride + k);
    }
  }
}

template <class X>
void PackTileBlock(const TensorView& x, int64_t first_row, int64_t rows, int64_t /*lead*/,
                   std::byte* packed) {
  auto* out = reinterpret_cast<uint16_t*>(packed);
  const int64_t num_steps = NumSteps(x.cols);
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.row<float>(first_row + r);
    for (int64_t step = 0; step < num_steps; ++step) {
      const int64_t first = step * kTileDepth;
      alignas(64) float padded[kTileDepth] = {};
      const float* values = row + first;
      if (first + kTileDepth > x.cols) {
        std::copy(values, row + x.cols, padded);
        values = padded;
      }
      PackValues<X>(values, out + (step * X::kParts * rows + r) * kTileDepth, rows * kTileDepth);
    }
  }
}

// The sums of a block and panel: [2, kParts * rows, kTileSlots].
template <class X>
constexpr int64_t kSumFloats = 2 * X::kParts* X::kMaxBlockRows* kTileSlots;

template <class X>
void FinishPanel(const LinearProblem& problem, int64_t panel, int64_t first_row, int64_t rows,
                 const float* sums) {
  const F32 d;
  const int64_t part = rows * kTileSlots;
  // The smallest first.
  const auto whole = [&](const float* first) HWY_ATTR {
    auto sum = hn::LoadU(d, first + (X::kParts - 1) * part);
    for (int64_t p = X::kParts - 2; p >= 0; --p) sum = hn::Add(hn::LoadU(d, first + p * part), sum);
    return sum;
  };
  for (int64_t r = 0; r < rows; ++r) {
    for (size_t slot = 0; slot < kTileSlots; slot += kLanes) {
      const float* low = sums + r * kTileSlots + slot;
      StorePanelSums(whole(low), whole(low + X::kParts * part), problem, first_row + r, panel,
                     static_cast<int64_t>(slot));
    }
  }
}

struct TileGroup {
  LinearRange range;
  float* sums;  // [blocks, panels] of kSumFloats
};

template <class X>
void MultiplyBlock(const LinearProblem& problem, const TileGroup& group, int64_t block,
                   int64_t first_step, int64_t num_steps) {
  const int64_t first_row = problem.blocks.FirstRow(block);
  const int64_t num_rows = X::kParts * (problem.blocks.FirstRow(block + 1) - first_row);
  const int64_t num_panels = group.range.panel_end - group.range.panel_begin;
  float* sums = group.sums + (block - group.range.block_begin) * num_panels * kSumFloats<X>;
  const int64_t x_step = num_rows * kTileDepth * static_cast<int64_t>(sizeof(uint16_t));
  constexpr int64_t kWeightStep = kPanelSlots * kTileDepth * sizeof(uint16_t);
  problem.tiles->configure(num_rows);
  for (int64_t panel = group.range.panel_begin; panel < group.range.panel_end; ++panel) {
    problem.tiles->multiply(
        {.x = problem.x + first_row * problem.x_row_bytes + first_step * x_step,
         .weights = problem.panels + panel * problem.panel_bytes + first_step * kWeightStep,
         .num_steps = num_steps,
         .num_rows = num_rows,
         .start = first_step == 0 ? TileStart::kZero : TileStart::kSums,
         .sums = sums});
    sums += kSumFloats<X>;
  }
}

template <class X>
void MultiplyGroup(const LinearProblem& problem, const TileGroup& group) {
  const LinearRange& range = group.range;
  const int64_t num_steps = NumSteps(problem.in_features);
  // One block reads each weight once: then a panel is best read from end to end.
  const bool is_one_block = range.block_end - range.block_begin == 1;
  const int64_t chunk = is_one_block ? std::max<int64_t>(1, num_steps) : kChunkSteps;
  int64_t step = 0;
  do {
    for (int64_t block = range.block_begin; block < range.block_end; ++block) {
      MultiplyBlock<X>(problem, group, block, step, std::min(chunk, num_steps - step));
    }
    step += chunk;
  } while (step < num_steps);
  problem.tiles->release();
  const float* sums = group.sums;
  for (int64_t block = range.block_begin; block < range.block_end; ++block) {
    const int64_t first_row = problem.blocks.FirstRow(block);
    const int64_t rows = problem.blocks.FirstRow(block + 1) - first_row;
    for (int64_t panel = range.panel_begin; panel < range.panel_end; ++panel) {
      FinishPanel<X>(problem, panel, first_row, rows, sums);
      sums += kSumFloats<X>;
    }
  }
}

template <class X>
void RunTileLinear(const LinearProblem& problem, const LinearRange& range, float* scratch) {
  for (int64_t block = range.block_begin; block < range.block_end; block += kGroupBlocks) {
    for (int64_t panel = range.panel_begin; panel < range.panel_end; panel += kGroupPanels) {
      MultiplyGroup<X>(problem, {.range = {panel, std::min(panel + kGroupPanels, range.panel_end),
                                           block, std::min(block + kGroupBlocks, range.block_end)},
                                 .sums = scratch});
    }
  }
}

template <class X>
LinearKernels TileLinearKernels() {
  return {.run = &RunTileLinear<X>,
          .pack = &PackTileBlock<X>,
          .packed_row_bytes = &TilePackedRowBytes<X>,
          .max_block_rows = X::kMaxBlockRows,
          .task_panels = kGroupPanels,
          .task_blocks = kGroupBlocks,
          .scratch_floats = static_cast<size_t>(kGroupBlocks * kGroupPanels * kSumFloats<X>)};
}

LinearKernels TileLinearKernelsFor(DType x_dtype) {
  return x_dtype == DType::kBF16 ? TileLinearKernels<RoundedPart>()
                                 : TileLinearKernels<WholeParts>();
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

LinearKernels GetTileLinearKernels(DType x_dtype) {
  return PHALANX_TARGET_FUNCTION(CpuIsa::kAmx, TileLinearKernelsFor)(x_dtype);
}

}  // namespace phalanx
#endif  // HWY_ONCE
