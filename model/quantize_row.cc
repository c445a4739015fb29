#include "model/quantize_row.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "kernels/base/dtype.h"

namespace phalanx {
namespace {

// Adding it rounds a small number to an integer, ties to even, in vectors of any width.
constexpr float kRounder = 0x1.8p23F;

float Rounded(float value) { return (value + kRounder) - kRounder; }

// As std::clamp, of values that vectors hold.
float Clamped(float value, float low, float high) {
  const float least = value < low ? low : value;
  return least > high ? high : least;
}

float ToBF16(float value) { return BF16ToFloat(FloatToBF16(value)); }

// By their bits, whose order is that of magnitudes: a loop that becomes one of vectors.
float LargestMagnitude(std::span<const float> group) {
  int32_t largest = 0;
  for (const float value : group) {
    largest = std::max(largest, std::bit_cast<int32_t>(value) & 0x7fffffff);
  }
  return std::bit_cast<float>(largest);
}

// What integers from `low` to `high` make of values at a scale.
struct Fit {
  float dot = 0.0F;     // of the values and their integers
  float square = 0.0F;  // of the integers
  // The share of the values' squares that the best scale of these integers keeps.
  float kept() const { return square > 0 ? dot * dot / square : 0; }
};

Fit FitAt(std::span<const float> group, float inverse, float low, float high) {
  // Sums in an order of their own, so that they are those of vectors.
  constexpr size_t kSums = 16;
  std::array<float, kSums> dots = {};
  std::array<float, kSums> squares = {};
  const size_t whole = group.size() / kSums * kSums;
  const auto add = [&](size_t i, size_t sum) {
    const float integer = Clamped(Rounded(group[i] * inverse), low, high);
    dots[sum] += group[i] * integer;
    squares[sum] += integer * integer;
  };
  for (size_t i = 0; i < whole; i += kSums) {
    for (size_t sum = 0; sum < kSums; ++sum) add(i + sum, sum);
  }
  for (size_t i = whole; i < group.size(); ++i) add(i, i - whole);
  Fit fit;
  for (size_t sum = 0; sum < kSums; ++sum) {
    fit.dot += dots[sum];
    fit.square += squares[sum];
  }
  return fit;
}

float SearchScale(std::span<const float> group, float low, float high) {
  const float largest = LargestMagnitude(group);
  // Squares of others leave f32's range.
  constexpr float kLeast = 1e-15F;
  constexpr float kMost = 1e15F;
  if (largest < kLeast || largest > kMost) return largest / high;
  constexpr int kRanges = 10;
  constexpr float kStep = 0.04F;
  float best_kept = -1;
  float scale = 0;
  for (int i = 0; i < kRanges; ++i) {
    const float range = largest * (1 - kStep * static_cast<float>(i));
    const Fit fit = FitAt(group, high / range, low, high);
    if (fit.kept() <= best_kept) continue;
    best_kept = fit.kept();
    scale = fit.dot / fit.square;
  }
  return scale;
}

void QuantizeGroup(std::span<const float> group, int bits, int8_t* values, float& scale) {
  const auto high = static_cast<float>((1 << (bits - 1)) - 1);
  const float low = bits == 8 ? -high : -high - 1;
  scale = ToBF16(bits == 8 ? LargestMagnitude(group) / high : SearchScale(group, low, high));
  const float inverse = scale > 0 ? 1 / scale : 0;
  // Too small for a scale: all are zeros.
  if (!std::isfinite(inverse)) scale = 0;
  if (scale == 0) {
    std::fill_n(values, group.size(), int8_t{0});
    return;
  }
  for (size_t i = 0; i < group.size(); ++i) {
    values[i] =
        static_cast<int8_t>(static_cast<int32_t>(Clamped(Rounded(group[i] * inverse), low, high)));
  }
}

}  // namespace

std::string_view Name(Quantization quantization) {
  switch (quantization) {
    case Quantization::kInt8:
      return "int8";
    case Quantization::kInt4:
      return "int4";
    default:
      return "none";
  }
}

void QuantizeRow(std::span<const float> row, int bits, int64_t group_size, std::span<int8_t> values,
                 std::span<float> scales) {
  const size_t step = group_size == 0 ? row.size() : static_cast<size_t>(group_size);
  for (size_t begin = 0, group = 0; begin < row.size(); begin += step, ++group) {
    QuantizeGroup(row.subspan(begin, std::min(step, row.size() - begin)), bits,
                  values.data() + begin, scales[group]);
  }
}

}  // namespace phalanx
