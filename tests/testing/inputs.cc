#include "tests/testing/inputs.h"

#include <algorithm>
#include <cmath>

#include "kernels/backend_factory.h"

namespace phalanx::testing {
namespace {

// A binary16 of about the wanted deviation: random sign and mantissa, exponents below it; about one
// in 30 is subnormal.
uint16_t RandomF16(Generator& generator, float deviation) {
  const auto bits = static_cast<uint32_t>(generator());
  const int top = std::clamp(15 + static_cast<int>(std::floor(std::log2(deviation))), 1, 30);
  const uint32_t exponent =
      bits % 30 == 0 ? 0
                     : static_cast<uint32_t>(std::max(1, top - static_cast<int>(bits >> 10) % 4));
  return static_cast<uint16_t>((bits >> 16 & 0x83ffu) | exponent << 10);
}

}  // namespace

std::vector<float> RandomFloats(int64_t n, Generator& generator, float deviation) {
  std::normal_distribution<float> normal(0.0F, deviation);
  std::vector<float> values(static_cast<size_t>(n));
  for (float& value : values) value = normal(generator);
  return values;
}

std::vector<float> NaNs(int64_t n) { return std::vector<float>(static_cast<size_t>(n), kNaN); }

TensorView ViewOf(std::vector<float>& values, int64_t rows, int64_t cols) {
  PHALANX_CHECK_EQ(static_cast<int64_t>(values.size()), rows * cols);
  return MakeTensor(values.data(), DType::kF32, rows, cols);
}

TensorView RandomWeight::View(int64_t first_row, int64_t num_rows) const {
  const size_t row_bytes = static_cast<size_t>(in_features) * SizeInBytes(dtype);
  auto* begin = const_cast<std::byte*>(stored.data()) + static_cast<size_t>(first_row) * row_bytes;
  return MakeTensor(begin, dtype, num_rows, in_features);
}

RandomWeight MakeWeight(int64_t out_features, int64_t in_features, DType dtype,
                        Generator& generator) {
  RandomWeight weight{.out_features = out_features, .in_features = in_features, .dtype = dtype};
  const int64_t n = out_features * in_features;
  const float deviation = 1.0F / std::sqrt(static_cast<float>(std::max<int64_t>(1, in_features)));
  weight.values = RandomFloats(n, generator, deviation);
  weight.stored.resize(static_cast<size_t>(n) * SizeInBytes(dtype));
  if (dtype == DType::kF32) {
    std::copy_n(reinterpret_cast<const std::byte*>(weight.values.data()), weight.stored.size(),
                weight.stored.data());
    return weight;
  }
  auto* halves = reinterpret_cast<uint16_t*>(weight.stored.data());
  for (size_t i = 0; i < weight.values.size(); ++i) {
    const bool bf16 = dtype == DType::kBF16;
    halves[i] = bf16 ? FloatToBF16(weight.values[i]) : RandomF16(generator, deviation);
    weight.values[i] = bf16 ? BF16ToFloat(halves[i]) : F16ToFloat(halves[i]);
  }
  return weight;
}

std::unique_ptr<PackedWeight> Pack(Backend& backend, const RandomWeight& weight,
                                   WeightLayout layout) {
  std::unique_ptr<PackedWeight> packed = std::move(backend.CreateWeight({
                                                       .name = "w",
                                                       .out_features = weight.out_features,
                                                       .in_features = weight.in_features,
                                                       .dtype = weight.dtype,
                                                       .layout = layout,
                                                   }))
                                             .value();
  backend.PackRows(*packed, 0, weight.View(0, weight.out_features));
  return packed;
}

std::unique_ptr<Backend> MakeBackend(const std::string& isa, int num_threads) {
  return std::move(CreateBackend({.num_threads = num_threads, .cpu_isa = isa})).value();
}

StepLimits SamplingLimits(int64_t num_rows, int64_t num_cols) {
  return {.max_num_tokens = num_rows,
          .max_num_seqs = num_rows,
          .max_num_logit_rows = num_rows,
          .num_logit_cols = num_cols,
          .max_blocks_per_seq = 1024};
}

}  // namespace phalanx::testing
