#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/quantized_linear_kernel.cc"
#include "kernels/cpu/targets.h"
// targets.h must come first
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>

#include "kernels/cpu/quantized-inl.h"
#include "kernels/cpu/vnni.h"

HWY_BEFORE_NAMESPACE();
namespace phalanx {
namespace HWY_NAMESPACE {

// Whether 16-bit integers are multiplied in pairs and their products added in vectors here. Else
// plain loops, which a compiler makes vectors of where it can.
#undef PHALANX_MULTIPLIES_PAIRS
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2
#define PHALANX_MULTIPLIES_PAIRS 1
#else
#define PHALANX_MULTIPLIES_PAIRS 0
#endif

// Sums of all digits of these rows fit into the vector registers.
#if HWY_TARGET == HWY_AVX3
constexpr int64_t kMaxRows = 8;
#else
constexpr int64_t kMaxRows = 4;
#endif

constexpr int64_t kSlotsOfHalf = kQuantizedSlots / 2;

template <class D>
int64_t PairDigitRowBytes(int64_t positions) {
  const int64_t num_steps = NumQuantizedSteps(positions);
  return num_steps * kQuantizedStep * D::kCount * static_cast<int64_t>(sizeof(int16_t)) +
         kRowScaleBytes;
}

// A block is int16 [quads, rows, digits, kQuad], and the rows' scales.
template <class D>
void PackPairDigits(const TensorView& x, int64_t first_row, int64_t rows, int64_t lead,
                    std::byte* packed) {
  auto* out = reinterpret_cast<int16_t*>(packed);
  float* scales = RowScalesOf(packed, rows, PairDigitRowBytes<D>(lead + x.cols));
  PackDigits<D>(
      x, first_row, rows, lead, scales, [&](int64_t r, int64_t step, const int8_t* digits) {
        for (int64_t quad = 0; quad < kQuadsOfStep; ++quad) {
          int16_t* of_quad = out + ((step * kQuadsOfStep + quad) * rows + r) * D::kCount * kQuad;
          for (int64_t digit = 0; digit < D::kCount; ++digit) {
            std::copy_n(digits + digit * kQuantizedStep + quad * kQuad, kQuad,
                        of_quad + digit * kQuad);
          }
        }
      });
}

// Of a row and step: digits, and their sums.
template <class D>
constexpr int64_t kVnniStepBytes = D::kCount*(kQuantizedStep +
                                              static_cast<int64_t>(sizeof(int32_t)));

template <class D>
int64_t VnniDigitRowBytes(int64_t positions) {
  const int64_t num_steps = NumQuantizedSteps(positions);
  // Whole cache lines, so that the rows' scales are aligned.
  return (num_steps * kVnniStepBytes<D> + 63) / 64 * 64 + kRowScaleBytes;
}

// A block is of each step int8 [quads, rows, digits, kQuad] and int32 [rows, digits] (vnni.h), and
// the rows' scales.
template <class D>
void PackVnniDigits(const TensorView& x, int64_t first_row, int64_t rows, int64_t lead,
                    std::byte* packed) {
  float* scales = RowScalesOf(packed, rows, VnniDigitRowBytes<D>(lead + x.cols));
  PackDigits<D>(
      x, first_row, rows, lead, scales, [&](int64_t r, int64_t step, const int8_t* digits) {
        std::byte* of_step = packed + step * rows * kVnniStepBytes<D>;
        std::byte* sums = of_step + rows * D::kCount * kQuantizedStep;
        for (int64_t digit = 0; digit < D::kCount; ++digit) {
          const int64_t column = r * D::kCount + digit;
          int32_t sum = 0;
          for (int64_t k = 0; k < kQuantizedStep; ++k) sum += digits[digit * kQuantizedStep + k];
          for (int64_t quad = 0; quad < kQuadsOfStep; ++quad) {
            std::memcpy(of_step + (quad * rows * D::kCount + column) * kQuad,
                        digits + digit * kQuantizedStep + quad * kQuad, kQuad);
          }
          std::memcpy(sums + column * static_cast<int64_t>(sizeof(sum)), &sum, sizeof(sum));
        }
      });
}

// Sums of one group: [2 halves, rows, digits, slots of a half].
template <class D, int64_t kRows>
struct PairGroupSums {
  alignas(64) int32_t of[2][kRows][D::kCount][kSlotsOfHalf];
};

#if PHALANX_MULTIPLIES_PAIRS

using I16 = hn::RepartitionToNarrow<I32>;
using VecI16 = hn::Vec<I16>;
using VecI32 = hn::Vec<I32>;
constexpr int64_t kUnitSlots = static_cast<int64_t>(hn::MaxLanes(I16())) / kQuad;

// A quad of kUnitSlots slots of a half, from `slot` on, widened.
HWY_INLINE VecI16 LoadQuads(const uint8_t* step, int64_t half, int64_t quad, int64_t slot,
                            int bits) {
  const hn::Rebind<int8_t, I16> d8;
  const hn::Rebind<uint8_t, I16> du8;
  constexpr int64_t kRowBytes = kSlotsOfHalf * kQuad;
  const I16 d;
  if (bits == 8) {
    const uint8_t* at = step + (half * kQuadsOfStep + quad) * kRowBytes + slot * kQuad;
    return hn::PromoteTo(d, hn::LoadU(d8, reinterpret_cast<const int8_t*>(at)));
  }
  const uint8_t* at = step + (half * kQuadsOfStep + quad) / 2 * kRowBytes + slot * kQuad;
  const auto words = hn::PromoteTo(d, hn::LoadU(du8, at));
  const auto nibbles =
      quad % 2 == 0 ? hn::And(words, hn::Set(d, int16_t{15})) : hn::ShiftRight<4>(words);
  return hn::Sub(nibbles, hn::Set(d, int16_t{8}));
}

// kUnits vectors of slots from `slot` of a half on.
template <class D, int64_t kRows, int64_t kUnits, int kBits>
HWY_INLINE void SumUnits(const uint8_t* values, int64_t step_bytes, int64_t begin, int64_t end,
                         const int16_t* x, int64_t half, int64_t slot,
                         PairGroupSums<D, kRows>& sums) {
  const I32 d32;
  const I16 d16;
  const hn::Repartition<int64_t, I16> d64;
  VecI32 acc[kUnits][kRows][D::kCount];
  auto unused = hn::Zero(d32);
  for (int64_t u = 0; u < kUnits; ++u) {
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t digit = 0; digit < D::kCount; ++digit) acc[u][r][digit] = hn::Zero(d32);
    }
  }
  for (int64_t step = begin; step < end; ++step) {
    const uint8_t* of_step = values + step * step_bytes;
    for (int64_t quad = 0; quad < kQuadsOfStep; quad += 2) {
      for (int64_t odd = 0; odd < 2; ++odd, x += kRows * D::kCount * kQuad) {
        VecI16 weights[kUnits];
        for (int64_t u = 0; u < kUnits; ++u) {
          weights[u] = LoadQuads(of_step, half, quad + odd, slot + u * kUnitSlots, kBits);
        }
        for (int64_t r = 0; r < kRows; ++r) {
          for (int64_t digit = 0; digit < D::kCount; ++digit) {
            int64_t four = 0;
            std::memcpy(&four, x + (r * D::kCount + digit) * kQuad, sizeof(four));
            const auto by = hn::BitCast(d16, hn::Set(d64, four));
            for (int64_t u = 0; u < kUnits; ++u) {
              acc[u][r][digit] =
                  hn::ReorderWidenMulAccumulate(d32, weights[u], by, acc[u][r][digit], unused);
            }
          }
        }
      }
    }
  }
  for (int64_t u = 0; u < kUnits; ++u) {
    for (int64_t r = 0; r < kRows; ++r) {
      for (int64_t digit = 0; digit < D::kCount; ++digit) {
        // Each lane has half of a quad.
        alignas(64) int32_t halves[2 * kUnitSlots];
        hn::Store(acc[u][r][digit], d32, halves);
        int32_t* out = sums.of[half][r][digit] + slot + u * kUnitSlots;
        for (int64_t s = 0; s < kUnitSlots; ++s) out[s] = halves[2 * s] + halves[2 * s + 1];
      }
    }
  }
}

template <class D, int64_t kRows, int kBits>
HWY_INLINE void SumPairs(const LinearProblem& problem, const uint8_t* values, int64_t group,
                         const int16_t* x, PairGroupSums<D, kRows>& sums) {
  const QuantizedLayout& layout = problem.quantized;
  const int64_t begin = layout.GroupBegin(group);
  const int64_t end = layout.GroupBegin(group + 1);
  x += begin * kQuadsOfStep * kRows * D::kCount * kQuad;
  constexpr int64_t kUnitsOfHalf = kSlotsOfHalf / kUnitSlots;
  constexpr int64_t kUnits = std::min<int64_t>(kUnitsOfHalf, kRows <= 2 ? 2 : 1);
  for (int64_t half = 0; half < 2; ++half) {
    for (int64_t unit = 0; unit < kUnitsOfHalf; unit += kUnits) {
      SumUnits<D, kRows, kUnits, kBits>(values, layout.step_bytes(), begin, end, x, half,
                                        unit * kUnitSlots, sums);
    }
  }
}

#else

template <class D, int64_t kRows, int kBits>
void SumPairs(const LinearProblem& problem, const uint8_t* values, int64_t group, const int16_t* x,
              PairGroupSums<D, kRows>& sums) {
  const QuantizedLayout& layout = problem.quantized;
  constexpr int64_t kRowBytes = kSlotsOfHalf * kQuad;
  sums = {};
  const int64_t begin = layout.GroupBegin(group) * kQuadsOfStep;
  const int64_t end = layout.GroupBegin(group + 1) * kQuadsOfStep;
  for (int64_t half = 0; half < 2; ++half) {
    for (int64_t quad = begin; quad < end; ++quad) {
      const int64_t row_of_values = half * kQuadsOfStep + quad % kQuadsOfStep;
      const uint8_t* bytes = values + quad / kQuadsOfStep * layout.step_bytes() +
                             (kBits == 8 ? row_of_values : row_of_values / 2) * kRowBytes;
      int16_t weights[kRowBytes];
      for (int64_t i = 0; i < kRowBytes; ++i) {
        weights[i] =
            static_cast<int16_t>(kBits == 8 ? static_cast<int8_t>(bytes[i])
                                            : (quad % 2 == 0 ? bytes[i] & 15 : bytes[i] >> 4) - 8);
      }
      const int16_t* of_quad = x + quad * kRows * D::kCount * kQuad;
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t digit = 0; digit < D::kCount; ++digit, of_quad += kQuad) {
          int32_t* out = sums.of[half][r][digit];
          for (int64_t i = 0; i < kRowBytes; ++i) out[i / kQuad] += weights[i] * of_quad[i % kQuad];
        }
      }
    }
  }
}

#endif  // PHALANX_MULTIPLIES_PAIRS

// By pairs of 16-bit integers.
template <class D>
struct ByPairs {
  static constexpr int64_t kMostRows = kMaxRows;
  template <int64_t kRows, int kBits>
  static HWY_INLINE void SumGroup(const LinearProblem& problem, const uint8_t* values,
                                  int64_t group, const std::byte* block,
                                  PairGroupSums<D, kRows>& sums) {
    SumPairs<D, kRows, kBits>(problem, values, group, reinterpret_cast<const int16_t*>(block),
                              sums);
  }
};

// By quads of bytes.
template <class D>
struct ByVnni {
  static constexpr int64_t kMostRows = kMaxVnniRows;
  template <int64_t kRows, int kBits>
  static void SumGroup(const LinearProblem& problem, const uint8_t* values, int64_t group,
                       const std::byte* block, PairGroupSums<D, kRows>& sums) {
    const QuantizedLayout& layout = problem.quantized;
    const int64_t begin = layout.GroupBegin(group);
    const int64_t x_step_bytes = kRows * kVnniStepBytes<D>;
    problem.vnni(
        {.values = reinterpret_cast<const std::byte*>(values) + begin * layout.step_bytes(),
         .bits = kBits,
         .step_bytes = layout.step_bytes(),
         .num_steps = layout.GroupBegin(group + 1) - begin,
         .x = block + begin * x_step_bytes,
         .x_step_bytes = x_step_bytes,
         .num_rows = kRows,
         .num_digits = D::kCount,
         .sums = &sums.of[0][0][0][0]});
  }
};

template <template <class> class By, class D, int64_t kRows, int kBits>
void MultiplyQuantizedPanel(const LinearProblem& problem, int64_t panel, const std::byte* block,
                            int64_t first_row) {
  const QuantizedLayout& layout = problem.quantized;
  const std::byte* data = problem.panels + panel * problem.panel_bytes;
  const auto* scales = reinterpret_cast<const float*>(data);
  const auto* values = reinterpret_cast<const uint8_t*>(data + layout.scale_bytes());
  alignas(64) float totals[kRows][kQuantizedSlots] = {};
  PairGroupSums<D, kRows> sums;
  for (int64_t g = 0; g < layout.num_groups; ++g, scales += kQuantizedSlots) {
    By<D>::template SumGroup<kRows, kBits>(problem, values, g, block, sums);
    for (int64_t half = 0; half < 2; ++half) {
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t slot = 0; slot < kSlotsOfHalf; slot += static_cast<int64_t>(kLanes)) {
          const int64_t at = half * kSlotsOfHalf + slot;
          AddGroup<D>(sums.of[half][r][0] + slot, kSlotsOfHalf, scales + at, totals[r] + at);
        }
      }
    }
  }
  const float* back = RowScalesOf(block, kRows, problem.x_row_bytes);
  for (int64_t r = 0; r < kRows; ++r) {
    FinishRow(problem, panel, first_row + r, back[r], totals[r], totals[r] + kSlotsOfHalf);
  }
}

using QuantizedPanelFunction = void (*)(const LinearProblem& problem, int64_t panel,
                                        const std::byte* block, int64_t first_row);

template <template <class> class By, class D, int kBits, int64_t kRows>
QuantizedPanelFunction QuantizedPanelFunctionFor(int64_t rows) {
  if (kRows == rows) return &MultiplyQuantizedPanel<By, D, kRows, kBits>;
  if constexpr (kRows > 1) return QuantizedPanelFunctionFor<By, D, kBits, kRows - 1>(rows);
  return nullptr;
}

template <template <class> class By, class D>
void RunQuantizedLinear(const LinearProblem& problem, const LinearRange& range,
                        float* /*scratch*/) {
  constexpr int64_t kMostRows = By<D>::kMostRows;
  for (int64_t panel = range.panel_begin; panel < range.panel_end; ++panel) {
    for (int64_t block = range.block_begin; block < range.block_end; ++block) {
      const int64_t first_row = problem.blocks.FirstRow(block);
      const int64_t rows = problem.blocks.FirstRow(block + 1) - first_row;
      const QuantizedPanelFunction multiply =
          problem.quantized.bits == 8 ? QuantizedPanelFunctionFor<By, D, 8, kMostRows>(rows)
                                      : QuantizedPanelFunctionFor<By, D, 4, kMostRows>(rows);
      multiply(problem, panel, problem.x + first_row * problem.x_row_bytes, first_row);
    }
  }
}

template <class D>
LinearKernels QuantizedLinearKernels(VnniFunction vnni) {
  if (vnni != nullptr) {
    return {.run = &RunQuantizedLinear<ByVnni, D>,
            .pack = &PackVnniDigits<D>,
            .packed_row_bytes = &VnniDigitRowBytes<D>,
            .max_block_rows = kMaxVnniRows};
  }
  return {.run = &RunQuantizedLinear<ByPairs, D>,
          .pack = &PackPairDigits<D>,
          .packed_row_bytes = &PairDigitRowBytes<D>,
          .max_block_rows = kMaxRows};
}

LinearKernels QuantizedLinearKernelsFor(DType x_dtype, VnniFunction vnni) {
  return x_dtype == DType::kBF16 ? QuantizedLinearKernels<RoundedDigits>(vnni)
                                 : QuantizedLinearKernels<WholeDigits>(vnni);
}

}  // namespace HWY_NAMESPACE
}  // namespace phalanx
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace phalanx {

LinearKernels GetQuantizedLinearKernels(CpuIsa isa, DType x_dtype, VnniFunction vnni) {
  return PHALANX_TARGET_FUNCTION(isa, QuantizedLinearKernelsFor)(x_dtype, vnni);
}

}  // namespace phalanx
#endif  // HWY_ONCE
