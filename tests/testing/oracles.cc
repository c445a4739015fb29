#include "tests/testing/oracles.h"

#include <algorithm>
#include <cmath>

#include "tests/testing/narrow.h"
#include "tests/testing/tolerance.h"

namespace phalanx::testing {
namespace {

struct Dot {
  double value = 0.0;
  double magnitude = 0.0;  // sum of the terms' magnitudes
};

Dot DotProduct(const float* a, const float* b, int64_t n) {
  Dot dot;
  for (int64_t i = 0; i < n; ++i) {
    const double term = static_cast<double>(a[i]) * static_cast<double>(b[i]);
    dot.value += term;
    dot.magnitude += std::abs(term);
  }
  return dot;
}

void Append(Expected& expected, double value, double tolerance) {
  expected.value.push_back(value);
  expected.tolerance.push_back(tolerance + kTiny);
}

}  // namespace

Expected LinearOracle(std::span<const float> x, std::span<const float> w,
                      std::span<const float> bias, int64_t rows, int64_t in, int64_t out) {
  Expected expected;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < out; ++c) {
      const Dot dot = DotProduct(x.data() + r * in, w.data() + c * in, in);
      const double b = bias.empty() ? 0.0 : static_cast<double>(bias[static_cast<size_t>(c)]);
      Append(expected, dot.value + b, SumError(in) * (dot.magnitude + std::abs(b)));
    }
  }
  return expected;
}

Expected GateUpSwigluOracle(std::span<const float> x, std::span<const float> w, int64_t rows,
                            int64_t in, int64_t intermediate) {
  Expected expected;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < intermediate; ++c) {
      const Dot gate = DotProduct(x.data() + r * in, w.data() + c * in, in);
      const Dot up = DotProduct(x.data() + r * in, w.data() + (intermediate + c) * in, in);
      const double silu = gate.value / (1.0 + std::exp(-gate.value));
      // |silu'| <= 1.1; silu itself has an exp, a sum and a quotient, the product one more
      // rounding.
      const double silu_error =
          1.1 * SumError(in) * gate.magnitude + std::abs(silu) * (kExpError + 4 * kUnitRoundoff);
      Append(expected, silu * up.value,
             silu_error * std::abs(up.value) + std::abs(silu) * SumError(in) * up.magnitude +
                 std::abs(silu * up.value) * kUnitRoundoff);
    }
  }
  return expected;
}

Expected RmsNormOracle(std::span<const float> x, std::span<const float> weight, float eps,
                       int64_t rows, int64_t cols) {
  Expected expected;
  for (int64_t r = 0; r < rows; ++r) {
    const float* row = x.data() + r * cols;
    const double mean = DotProduct(row, row, cols).value / static_cast<double>(cols);
    const double inverse = 1.0 / std::sqrt(mean + static_cast<double>(eps));
    for (int64_t c = 0; c < cols; ++c) {
      const double value = static_cast<double>(row[c]) * inverse *
                           static_cast<double>(weight[static_cast<size_t>(c)]);
      // The sum's error is halved by the root; the rest is five roundings.
      Append(expected, value, std::abs(value) * (SumError(cols) / 2 + 5 * kUnitRoundoff));
    }
  }
  return expected;
}

Expected RotateOracle(std::span<const float> x, std::span<const float> cos,
                      std::span<const float> sin) {
  const size_t half = cos.size();
  Expected expected{.value = std::vector<double>(2 * half),
                    .tolerance = std::vector<double>(2 * half)};
  for (size_t i = 0; i < half; ++i) {
    const double a = x[i];
    const double b = x[half + i];
    const double c = cos[i];
    const double s = sin[i];
    expected.value[i] = a * c - b * s;
    expected.value[half + i] = b * c + a * s;
    expected.tolerance[i] = 2 * kUnitRoundoff * (std::abs(a * c) + std::abs(b * s)) + kTiny;
    expected.tolerance[half + i] = 2 * kUnitRoundoff * (std::abs(b * c) + std::abs(a * s)) + kTiny;
  }
  return expected;
}

Expected AttentionOracle(std::span<const float> q, std::span<const float> keys,
                         std::span<const float> values, float scale) {
  const auto head_dim = static_cast<int64_t>(q.size());
  const auto num_tokens = static_cast<int64_t>(keys.size() / q.size());
  std::vector<double> scores(static_cast<size_t>(num_tokens));
  double max = -HUGE_VAL;
  double score_error = 0.0;
  for (int64_t t = 0; t < num_tokens; ++t) {
    const Dot dot = DotProduct(q.data(), keys.data() + t * head_dim, head_dim);
    scores[static_cast<size_t>(t)] = dot.value * static_cast<double>(scale);
    max = std::max(max, scores[static_cast<size_t>(t)]);
    score_error =
        std::max(score_error, SumError(head_dim) * dot.magnitude * static_cast<double>(scale));
  }
  double total = 0.0;
  for (double& score : scores) total += score = std::exp(score - max);
  Expected expected;
  for (int64_t i = 0; i < head_dim; ++i) {
    double sum = 0.0;
    double magnitude = 0.0;
    for (int64_t t = 0; t < num_tokens; ++t) {
      const double term = scores[static_cast<size_t>(t)] / total *
                          static_cast<double>(values[static_cast<size_t>(t * head_dim + i)]);
      sum += term;
      magnitude += std::abs(term);
    }
    // An error of the scores is a relative error of every weight and of their total; each tile may
    // rescale what was summed before, one exp and one product a tile.
    const double rescales = static_cast<double>(num_tokens) / 64.0 + 1.0;
    Append(expected, sum,
           magnitude * (2 * score_error + 2 * SumError(num_tokens) +
                        (2 + rescales) * (kExpError + kUnitRoundoff)));
  }
  return expected;
}

Expected StoredAttention(std::span<const float> q, std::span<const float> keys,
                         std::vector<float> values, float scale, DType stored) {
  const size_t head_dim = q.size();
  Expected expected = AttentionOracle(q, keys, values, scale);
  for (float& value : values) value = std::abs(value);
  const std::vector<double> magnitude = AttentionOracle(q, keys, values, scale).value;
  const double unit = UnitRoundoffOf(stored);
  for (size_t i = 0; i < head_dim; ++i) {
    expected.tolerance[i] += unit * (magnitude[i] + std::abs(expected.value[i]));
    if (stored != DType::kF16) continue;
    double sum = 1.0;
    for (size_t t = i; t < values.size(); t += head_dim) sum += static_cast<double>(values[t]);
    expected.tolerance[i] += 0x1p-25 * sum;
  }
  return expected;
}

Expected SumPartsOracle(std::span<const float> parts, int num_parts, int64_t count) {
  Expected expected;
  for (int64_t i = 0; i < count; ++i) {
    double sum = 0.0;
    double magnitude = 0.0;
    for (int part = 0; part < num_parts; ++part) {
      const auto value = static_cast<double>(parts[static_cast<size_t>(part * count + i)]);
      sum += value;
      magnitude += std::abs(value);
    }
    Append(expected, sum, (num_parts - 1) * kUnitRoundoff * magnitude);
  }
  return expected;
}

}  // namespace phalanx::testing
