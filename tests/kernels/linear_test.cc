// Linear, GateUpSwiglu and the packing of weights.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <string>
#include <thread>
#include <tuple>

#include "kernels/backend_factory.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::Generator;

struct Shape {
  int64_t rows;
  int64_t in;
  int64_t out;
};
void PrintTo(const Shape& shape, std::ostream* os) {
  *os << shape.rows << "x" << shape.in << "x" << shape.out;
}

class LinearTest : public ::testing::TestWithParam<std::tuple<std::string, DType, Shape>> {};

TEST_P(LinearTest, MatchesOracle) {
  const auto& [isa, dtype, shape] = GetParam();
  const auto backend = testing::MakeBackend(isa, 2);
  Generator generator(1);
  const testing::RandomWeight weight = testing::MakeWeight(shape.out, shape.in, dtype, generator);
  const auto packed = testing::Pack(*backend, weight);
  std::vector<float> x = testing::RandomFloats(shape.rows * shape.in, generator);
  for (const bool with_bias : {false, true}) {
    const std::vector<float> bias = testing::RandomFloats(with_bias ? shape.out : 0, generator);
    std::vector<float> out = testing::NaNs(shape.rows * shape.out);
    backend->Linear(testing::ViewOf(x, shape.rows, shape.in), *packed, bias,
                    testing::ViewOf(out, shape.rows, shape.out));
    EXPECT_EQ(testing::Mismatch(out, testing::LinearOracle(x, weight.values, bias, shape.rows,
                                                           shape.in, shape.out)),
              "");
  }
}

TEST_P(LinearTest, GateUpSwigluMatchesOracle) {
  const auto& [isa, dtype, shape] = GetParam();
  const auto backend = testing::MakeBackend(isa, 2);
  Generator generator(2);
  const testing::RandomWeight weight =
      testing::MakeWeight(2 * shape.out, shape.in, dtype, generator);
  const auto packed = testing::Pack(*backend, weight, WeightLayout::kGateUp);
  std::vector<float> x = testing::RandomFloats(shape.rows * shape.in, generator, 3.0F);
  std::vector<float> out = testing::NaNs(shape.rows * shape.out);
  backend->GateUpSwiglu(testing::ViewOf(x, shape.rows, shape.in), *packed,
                        testing::ViewOf(out, shape.rows, shape.out));
  EXPECT_EQ(testing::Mismatch(out, testing::GateUpSwigluOracle(x, weight.values, shape.rows,
                                                               shape.in, shape.out)),
            "");
}

INSTANTIATE_TEST_SUITE_P(
    All, LinearTest,
    ::testing::Combine(::testing::ValuesIn(AvailableCpuIsas()),
                       ::testing::Values(DType::kBF16, DType::kF16, DType::kF32),
                       ::testing::Values(Shape{1, 1, 1}, Shape{1, 0, 5}, Shape{0, 8, 8},
                                         Shape{3, 7, 0}, Shape{1, 64, 32}, Shape{2, 63, 33},
                                         Shape{5, 17, 31}, Shape{13, 100, 70}, Shape{37, 33, 95},
                                         Shape{1, 896, 128}, Shape{16, 130, 257})));

// Bits of `rows` rows of x, computed together.
std::vector<float> Multiply(Backend& backend, const PackedWeight& weight, std::vector<float> x,
                            std::span<const float> bias) {
  const int64_t in = weight.spec().in_features;
  const auto rows = static_cast<int64_t>(x.size()) / in;
  const bool gate_up = weight.spec().layout == WeightLayout::kGateUp;
  const int64_t out_features = weight.spec().out_features / (gate_up ? 2 : 1);
  std::vector<float> out = testing::NaNs(rows * out_features);
  const TensorView x_view = testing::ViewOf(x, rows, in);
  const TensorView out_view = testing::ViewOf(out, rows, out_features);
  if (gate_up) {
    backend.GateUpSwiglu(x_view, weight, out_view);
  } else {
    backend.Linear(x_view, weight, bias, out_view);
  }
  return out;
}

class LinearBitsTest : public ::testing::TestWithParam<std::tuple<DType, WeightLayout>> {};

TEST_P(LinearBitsTest, OneRowHasTheSameBitsAmongAnyNumberOfRowsAndThreads) {
  const auto& [dtype, layout] = GetParam();
  constexpr int64_t kIn = 203;
  constexpr int64_t kOut = 134;
  for (const std::string& isa : AvailableCpuIsas()) {
    Generator generator(3);
    const testing::RandomWeight weight = testing::MakeWeight(kOut, kIn, dtype, generator);
    const bool gate_up = layout == WeightLayout::kGateUp;
    const std::vector<float> bias = testing::RandomFloats(gate_up ? 0 : kOut, generator);
    constexpr int64_t kMaxRows = 512;
    const std::vector<float> x = testing::RandomFloats(kMaxRows * kIn, generator);
    const auto one_thread = testing::MakeBackend(isa, 1);
    const auto packed = testing::Pack(*one_thread, weight, layout);
    const int64_t cols = gate_up ? kOut / 2 : kOut;
    std::vector<float> alone;
    for (int64_t r = 0; r < kMaxRows; ++r) {
      const std::vector<float> row =
          Multiply(*one_thread, *packed, {x.begin() + r * kIn, x.begin() + (r + 1) * kIn}, bias);
      alone.insert(alone.end(), row.begin(), row.end());
    }
    for (const int threads : {1, 2, 3, 4}) {
      const auto backend = testing::MakeBackend(isa, threads);
      std::vector<int64_t> counts;
      for (int64_t rows = 2; rows <= 40; ++rows) counts.push_back(rows);
      counts.push_back(kMaxRows);
      for (const int64_t rows : counts) {
        const std::vector<float> together =
            Multiply(*backend, *packed, {x.begin(), x.begin() + rows * kIn}, bias);
        ASSERT_EQ(testing::BitMismatch(together, {alone.data(), static_cast<size_t>(rows * cols)}),
                  "")
            << isa << ", " << threads << " threads, " << rows << " rows";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, LinearBitsTest,
    ::testing::Combine(::testing::Values(DType::kBF16, DType::kF16, DType::kF32),
                       ::testing::Values(WeightLayout::kLinear, WeightLayout::kGateUp)));

// Tiles sum in an order of their own; all other kernels in one.
bool SumsInTiles(const std::string& isa, DType dtype) {
  return isa == "amx" && dtype == DType::kBF16;
}

TEST(LinearIsaTest, EveryInstructionSetWithoutTilesGivesTheSameBits) {
  Generator generator(4);
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    const testing::RandomWeight weight = testing::MakeWeight(100, 1000, dtype, generator);
    for (const int64_t rows : {1, 2, 3, 19}) {
      std::vector<float> x = testing::RandomFloats(rows * 1000, generator);
      // Powers of two and tiny numbers bring sums onto midpoints and below the normal range, where
      // an emulated fused multiply-add goes wrong first.
      for (size_t i = 0; i < x.size(); i += 7)
        x[i] = std::ldexp(1.0F, static_cast<int>(i % 60) - 30);
      for (size_t i = 3; i < x.size(); i += 11) x[i] = std::ldexp(x[i], -130);
      const std::vector<float> bias = testing::RandomFloats(100, generator);
      std::vector<float> reference;
      for (const std::string& isa : AvailableCpuIsas()) {
        if (SumsInTiles(isa, dtype)) continue;
        const auto backend = testing::MakeBackend(isa, 1);
        const std::vector<float> out =
            Multiply(*backend, *testing::Pack(*backend, weight), x, bias);
        if (reference.empty()) reference = out;
        EXPECT_EQ(testing::BitMismatch(out, reference), "") << isa << ", " << rows << " rows";
      }
    }
  }
}

// A sum just below the midpoint of two floats: rounding it to double first lands on the midpoint,
// and the tie then goes the other way. Shows whether a multiply-add without the instruction is
// exact.
TEST(LinearIsaTest, AMultiplyAddIsRoundedOnce) {
  const std::vector<float> w = {1.0F + 0x1p-23F, (1.0F + 0x1p-15F) * 0x1p-24F};
  const std::vector<float> x = {1.0F, 1.0F - 0x1p-15F};
  testing::RandomWeight weight{.out_features = 1, .in_features = 2, .values = w};
  weight.stored.resize(2 * sizeof(float));
  std::copy_n(reinterpret_cast<const std::byte*>(w.data()), weight.stored.size(),
              weight.stored.data());
  for (const std::string& isa : AvailableCpuIsas()) {
    const auto backend = testing::MakeBackend(isa, 1);
    EXPECT_EQ(Multiply(*backend, *testing::Pack(*backend, weight), x, {})[0], 1.0F + 0x1p-23F)
        << isa;
  }
}

// The contract's own definition, so that all instruction sets together cannot be wrong.
TEST(LinearIsaTest, EachElementIsOneAscendingChainOfFusedMultiplyAdds) {
  Generator generator(5);
  const testing::RandomWeight weight = testing::MakeWeight(40, 333, DType::kBF16, generator);
  const std::vector<float> x = testing::RandomFloats(3 * 333, generator);
  const std::vector<float> bias = testing::RandomFloats(40, generator);
  std::vector<float> expected;
  for (size_t r = 0; r < 3; ++r) {
    for (size_t c = 0; c < 40; ++c) {
      float sum = 0.0F;
      for (size_t k = 0; k < 333; ++k) {
        sum = std::fma(weight.values[c * 333 + k], x[r * 333 + k], sum);
      }
      expected.push_back(sum + bias[c]);
    }
  }
  for (const std::string& isa : AvailableCpuIsas()) {
    if (SumsInTiles(isa, DType::kBF16)) continue;
    const auto backend = testing::MakeBackend(isa, 2);
    EXPECT_EQ(testing::BitMismatch(Multiply(*backend, *testing::Pack(*backend, weight), x, bias),
                                   expected),
              "")
        << isa;
  }
}

// Subnormal numbers as tiles take them.
float Flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value;
}

float TruncatedToBF16(float value) {
  return std::bit_cast<float>(std::bit_cast<uint32_t>(value) & 0xffff0000U);
}

// What the instruction's description makes of one row and one output feature.
float TileSum(std::span<const float> x, std::span<const float> w) {
  float sum = 0.0F;
  for (size_t first = 0; first < x.size(); first += 32) {
    float of_parity[2] = {};
    for (size_t k = first; k < std::min(first + 32, x.size()); ++k) {
      float& chain = of_parity[k % 2];
      chain = Flushed(std::fma(Flushed(x[k]), Flushed(w[k]), chain));
    }
    sum = Flushed(sum + Flushed(of_parity[0] + of_parity[1]));
  }
  return sum;
}

TEST(LinearIsaTest, TilesSumThreePartsOfEachRowAsTheInstructionIsDescribed) {
  if (AvailableCpuIsas().front() != "amx") GTEST_SKIP() << "this machine has no tiles";
  constexpr size_t kRows = 19;
  // More than one chunk of input features, and a last tile that is not full.
  for (const size_t in : {1, 32, 333, 2000}) {
    constexpr size_t kOut = 50;
    Generator generator(7);
    const testing::RandomWeight weight =
        testing::MakeWeight(kOut, static_cast<int64_t>(in), DType::kBF16, generator);
    std::vector<float> x = testing::RandomFloats(static_cast<int64_t>(kRows * in), generator);
    for (size_t i = 0; i < x.size(); i += 7) x[i] = std::ldexp(x[i], static_cast<int>(i % 60) - 30);
    for (size_t i = 3; i < x.size(); i += 11) x[i] = std::ldexp(x[i], -120);
    const std::vector<float> bias = testing::RandomFloats(kOut, generator);
    std::vector<float> expected;
    for (size_t r = 0; r < kRows; ++r) {
      std::vector<float> parts[3];
      for (size_t k = 0; k < in; ++k) {
        float rest = x[r * in + k];
        for (std::vector<float>& part : parts) {
          part.push_back(TruncatedToBF16(rest));
          rest -= part.back();
        }
      }
      for (size_t c = 0; c < kOut; ++c) {
        const std::span<const float> w(weight.values.data() + c * in, in);
        expected.push_back(TileSum(parts[0], w) + (TileSum(parts[1], w) + TileSum(parts[2], w)) +
                           bias[c]);
      }
    }
    for (const int threads : {1, 3}) {
      const auto backend = testing::MakeBackend("amx", threads);
      EXPECT_EQ(testing::BitMismatch(Multiply(*backend, *testing::Pack(*backend, weight), x, bias),
                                     expected),
                "")
          << in << " input features";
    }
  }
}

// Which values were rounded shows in the bits: those of a product with x rounded before.
TEST(RoundedLinearTest, RoundsXToBF16AndNothingElse) {
  constexpr int64_t kIn = 203;
  constexpr int64_t kMaxRows = 70;
  for (const std::string& isa : AvailableCpuIsas()) {
    const auto whole = testing::MakeBackend(isa, 2);
    const auto rounding =
        std::move(
            CreateBackend({.activation_dtype = DType::kBF16, .num_threads = 2, .cpu_isa = isa}))
            .value();
    EXPECT_EQ(rounding->activation_dtype(), DType::kBF16);
    for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
      for (const WeightLayout layout : {WeightLayout::kLinear, WeightLayout::kGateUp}) {
        Generator generator(8);
        const testing::RandomWeight weight = testing::MakeWeight(70, kIn, dtype, generator);
        std::vector<float> x = testing::RandomFloats(kMaxRows * kIn, generator);
        x[1] = 1.0F + 0x1p-8F;                       // a tie, down to even
        x[2] = 1.0F + 0x3p-8F;                       // and up
        x[5] = 0x1.fe7p127F;                         // up to the largest bf16
        x[kIn] = std::bit_cast<float>(0x7f800001U);  // a NaN that must not become an infinity
        std::vector<float> rounded = x;
        for (float& value : rounded) value = BF16ToFloat(FloatToBF16(value));
        for (const int64_t rows : {1, 2, 5, 15, 16, 17, 31, 32, 33, 70}) {
          const auto size = static_cast<ptrdiff_t>(rows * kIn);
          const std::vector<float> expected =
              Multiply(*whole, *testing::Pack(*whole, weight, layout),
                       {rounded.begin(), rounded.begin() + size}, {});
          const std::vector<float> actual =
              Multiply(*rounding, *testing::Pack(*rounding, weight, layout),
                       {x.begin(), x.begin() + size}, {});
          for (size_t i = 0; i < expected.size(); ++i) {
            if (std::isnan(expected[i]) && std::isnan(actual[i])) continue;
            ASSERT_EQ(std::bit_cast<uint32_t>(actual[i]), std::bit_cast<uint32_t>(expected[i]))
                << isa << ", " << Name(dtype) << ", " << rows << " rows, element " << i;
          }
        }
      }
    }
  }
}

TEST(PackTest, RowsMayComeInAnyPiecesFromAnyThread) {
  for (const WeightLayout layout : {WeightLayout::kLinear, WeightLayout::kGateUp}) {
    for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
      Generator generator(6);
      const auto backend = testing::MakeBackend("", 1);
      const testing::RandomWeight weight = testing::MakeWeight(150, 77, dtype, generator);
      const std::vector<float> x = testing::RandomFloats(2 * 77, generator);
      const std::vector<float> expected =
          Multiply(*backend, *testing::Pack(*backend, weight, layout), x, {});
      auto packed = std::move(backend->CreateWeight({.name = "w",
                                                     .out_features = 150,
                                                     .in_features = 77,
                                                     .dtype = dtype,
                                                     .layout = layout}))
                        .value();
      std::vector<std::thread> threads;
      for (int64_t first = 0; first < 3; ++first) {
        threads.emplace_back([&, first] {
          for (int64_t row = first; row < 150; row += 3) {
            backend->PackRows(*packed, row, weight.View(row, 1));
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      EXPECT_EQ(testing::BitMismatch(Multiply(*backend, *packed, x, {}), expected), "");
    }
  }
}

TEST(PackTest, SizeIsWhatTheWeightNeeds) {
  const auto backend = testing::MakeBackend("", 1);
  const auto weight =
      std::move(backend->CreateWeight(
                    {.name = "w", .out_features = 4864, .in_features = 896, .dtype = DType::kBF16}))
          .value();
  EXPECT_EQ(weight->size_bytes(), size_t{4864} * 896 * 2);
}

TEST(PackTest, RefusesWhatNoKernelTakes) {
  const auto backend = testing::MakeBackend("", 1);
  const auto message = [&](const WeightSpec& spec) {
    return backend->CreateWeight(spec).status().ToString();
  };
  EXPECT_EQ(
      message({.name = "a.weight", .out_features = 2, .in_features = 2, .dtype = DType::kI64}),
      "INVALID_ARGUMENT: weight a.weight: dtype is I64, allowed: BF16, F16, F32");
  EXPECT_THAT(
      message({.name = "g", .out_features = 3, .in_features = 2, .layout = WeightLayout::kGateUp}),
      ::testing::HasSubstr("weight g: has 3 rows"));
  EXPECT_THAT(message({.name = "huge", .out_features = int64_t{1} << 40, .in_features = 1024}),
              ::testing::HasSubstr("RESOURCE_EXHAUSTED: huge: cannot allocate 2251799813685248"));
}

}  // namespace
}  // namespace phalanx
