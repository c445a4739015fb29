#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantized_tile_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/quantized-inl.h"
#include "kernels/cpu/tiles.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Blocks of rows that share a panel in one task, and the steps that are multiplied for all of them
// before the next ones: they stay in the second-level cache.
constexpr int64_t kGroupBlocks = 8;
constexpr int64_t kChunkSteps = 16;
constexpr int64_t kTaskPanels = 8;

template <class D>
int64_t TileDigitRowBytes(int64_t positions) {
  return NumQuantizedSteps(positions) * D::kCount * kQuantizedStep + kRowScaleBytes;
}

// A block is int8 [steps, digits, rows, kQuantizedStep], and the rows' scales.
template <class D>
void PackTileDigits(const TensorView& x, int64_t first_row, int64_t rows, int64_t lead,
                    std::byte* packed) {
  float* scales = RowScalesOf(packed, rows, TileDigitRowBytes<D>(lead + x.cols));
  PackDigits<D>(x, first_row, rows, lead, scales,
                [&](int64_t r, int64_t step, const int8_t* digits) {
                  for (int64_t digit = 0; digit < D::kCount; ++digit) {
                    std::memcpy(packed + ((step * D::kCount + digit) * rows + r) * kQuantizedStep,
                                digits + digit * kQuantizedStep, kQuantizedStep);
                  }
                });
}

// A panel's values of 4 bits as those of 8.
HWY_INLINE void WidenTileNibbles(const std::byte* values, int64_t num_steps, std::byte* widened) {
  const hn::ScalableTag<uint8_t> d;
  const hn::RebindToSigned<decltype(d)> ds;
  constexpr int64_t kRowBytes = kPanelHalf * kQuad;
  const auto low_bits = hn::Set(d, uint8_t{15});
  const auto zero = hn::Set(ds, int8_t{8});
  const auto* from = reinterpret_cast<const uint8_t*>(values);
  auto* to = reinterpret_cast<int8_t*>(widened);
  const int64_t num_bytes = num_steps * kQuantizedStep * kQuantizedSlots / 2;
  for (int64_t row = 0; row < num_bytes; row += kRowBytes, to += 2 * kRowBytes) {
    for (int64_t i = 0; i < kRowBytes; i += static_cast<int64_t>(hn::MaxLanes(d))) {
      const auto bytes = hn::LoadU(d, from + row + i);
      hn::StoreU(hn::Sub(hn::BitCast(ds, hn::And(bytes, low_bits)), zero), ds, to + i);
      hn::StoreU(hn::Sub(hn::BitCast(ds, hn::ShiftRight<4>(bytes)), zero), ds, to + kRowBytes + i);
    }
  }
}

// The sums of a block and panel: [2, digits * rows, kTileSlots]; its totals: [2, rows, kTileSlots].
template <class D>
constexpr int64_t kSumWords = 2 * D::kCount* kTileRows* kTileSlots;
constexpr int64_t kTotalFloats = 2 * kTileRows * kTileSlots;
constexpr int64_t kWidenedFloats =
    kChunkSteps * kQuantizedStep * kQuantizedSlots / static_cast<int64_t>(sizeof(float));

template <class D>
constexpr int64_t kQuantizedScratchFloats = kWidenedFloats +
                                            kGroupBlocks*(kSumWords<D> + kTotalFloats);

// Multiplies up to kGroupBlocks blocks of rows by panels.
template <class D>
class BlocksTimesPanel {
 public:
  BlocksTimesPanel(const LinearProblem& problem, int64_t block_begin, int64_t block_end,
                   float* scratch)
      : problem_(problem),
        block_begin_(block_begin),
        block_end_(block_end),
        widened_(reinterpret_cast<std::byte*>(scratch)),
        totals_(scratch + kWidenedFloats),
        sums_(reinterpret_cast<int32_t*>(totals_ + kGroupBlocks * kTotalFloats)) {}
  ~BlocksTimesPanel() { problem_.tiles->release(); }
  BlocksTimesPanel(const BlocksTimesPanel&) = delete;
  BlocksTimesPanel& operator=(const BlocksTimesPanel&) = delete;

  void Multiply(int64_t panel) {
    const QuantizedLayout& layout = problem_.quantized;
    const std::byte* data = problem_.panels + panel * problem_.panel_bytes;
    const auto* scales = reinterpret_cast<const float*>(data);
    const std::byte* values = data + layout.scale_bytes();
    std::fill(totals_, totals_ + (block_end_ - block_begin_) * kTotalFloats, 0.0f);
    for (int64_t g = 0; g < layout.num_groups; ++g, scales += kQuantizedSlots) {
      const int64_t begin = layout.GroupBegin(g);
      const int64_t end = layout.GroupBegin(g + 1);
      // One block reads each weight once: then a group is best read from end to end.
      const int64_t most = layout.bits == 8 && block_end_ - block_begin_ == 1 ? end : kChunkSteps;
      for (int64_t step = begin; step < end; step += most) {
        const int64_t num_steps = std::min(most, end - step);
        const std::byte* weights = values + step * layout.step_bytes();
        if (layout.bits == 4) {
          WidenTileNibbles(weights, num_steps, widened_);
          weights = widened_;
        }
        for (int64_t block = block_begin_; block < block_end_; ++block) {
          MultiplySteps(block, weights, step, num_steps,
                        step == begin ? TileStart::kZero : TileStart::kSums);
        }
      }
      for (int64_t block = block_begin_; block < block_end_; ++block) {
        AddGroupOf(block, scales);
      }
    }
    for (int64_t block = block_begin_; block < block_end_; ++block) Finish(panel, block);
  }

 private:
  int64_t FirstRow(int64_t block) const { return problem_.blocks.FirstRow(block); }
  int64_t NumRows(int64_t block) const { return FirstRow(block + 1) - FirstRow(block); }
  const std::byte* X(int64_t block) const {
    return problem_.x + FirstRow(block) * problem_.x_row_bytes;
  }
  int32_t* Sums(int64_t block) { return sums_ + (block - block_begin_) * kSumWords<D>; }
  float* Totals(int64_t block) { return totals_ + (block - block_begin_) * kTotalFloats; }

  void MultiplySteps(int64_t block, const std::byte* weights, int64_t step, int64_t num_steps,
                     TileStart start) {
    const int64_t num_rows = D::kCount * NumRows(block);
    if (num_rows != configured_rows_) problem_.tiles->configure(num_rows);
    configured_rows_ = num_rows;
    problem_.tiles->multiply_int8({.x = X(block) + step * num_rows * kQuantizedStep,
                                   .weights = weights,
                                   .num_steps = num_steps,
                                   .num_rows = num_rows,
                                   .start = start,
                                   .sums = Sums(block)});
  }

  void AddGroupOf(int64_t block, const float* scales) {
    const int64_t rows = NumRows(block);
    const int64_t stride = rows * kTileSlots;
    const int32_t* sums = Sums(block);
    float* totals = Totals(block);
    for (int64_t half = 0; half < 2; ++half) {
      for (int64_t i = 0; i < stride; i += static_cast<int64_t>(kLanes)) {
        AddGroup<D>(sums + half * D::kCount * stride + i, stride,
                    scales + half * kTileSlots + i % kTileSlots, totals + half * stride + i);
      }
    }
  }

  void Finish(int64_t panel, int64_t block) {
    const int64_t rows = NumRows(block);
    const float* scales = RowScalesOf(X(block), rows, problem_.x_row_bytes);
    const float* totals = Totals(block);
    for (int64_t r = 0; r < rows; ++r) {
      const float* low = totals + r * kTileSlots;
      FinishRow(problem_, panel, FirstRow(block) + r, scales[r], low, low + rows * kTileSlots);
    }
  }

  const LinearProblem& problem_;
  int64_t block_begin_;
  int64_t block_end_;
  std::byte* widened_;  // int8 [kChunkSteps, 2, 16, kTileSlots, kQuad]
  float* totals_;       // [blocks] of kTotalFloats
  int32_t* sums_;       // of one group of input features: [blocks] of kSumWords
  int64_t configured_rows_ = 0;
};

template <class D>
void RunQuantizedTiles(const LinearProblem& problem, const LinearRange& range, float* scratch) {
  for (int64_t block = range.block_begin; block < range.block_end; block += kGroupBlocks) {
    BlocksTimesPanel<D> blocks(problem, block, std::min(block + kGroupBlocks, range.block_end),
                               scratch);
    for (int64_t panel = range.panel_begin; panel < range.panel_end; ++panel) {
      blocks.Multiply(panel);
    }
  }
}

template <class D>
LinearKernels QuantizedTileKernels() {
  return {.run = &RunQuantizedTiles<D>,
          .pack = &PackTileDigits<D>,
          .packed_row_bytes = &TileDigitRowBytes<D>,
          .max_block_rows = kTileRows,
          .task_panels = kTaskPanels,
          .task_blocks = kGroupBlocks,
          .scratch_floats = static_cast<size_t>(kQuantizedScratchFloats<D>)};
}

LinearKernels QuantizedTileKernelsFor(DType x_dtype) {
  return x_dtype == DType::kBF16 ? QuantizedTileKernels<RoundedDigits>()
                                 : QuantizedTileKernels<WholeDigits>();
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

LinearKernels GetQuantizedTileKernels(DType x_dtype) {
  return PHALANX_TARGET_FUNCTION(CpuIsa::kAmx, QuantizedTileKernelsFor)(x_dtype);
}

}  // namespace phalanx
#endif  // HWY_ONCE
