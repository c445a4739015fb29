// Linear, GateUpSwiglu and Embedding with weights of 8 and 4 bits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include "kernels/backend_factory.h"
#include "kernels/cpu/cpu_linear.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::Generator;
using ::testing::HasSubstr;

// How a matrix is quantized and which part of its rows a rank has.
struct Form {
  int bits;
  int64_t group_size;
  int64_t first_feature;
};
void PrintTo(const Form& form, std::ostream* os) {
  *os << form.bits << " bits, groups of " << form.group_size << ", from " << form.first_feature;
}

constexpr Form kForms[] = {{8, 0, 20},  {4, 64, 40},  {8, 0, 0},    {8, 0, 13},
                           {8, 64, 0},  {4, 0, 0},    {4, 64, 0},   {4, 128, 0},
                           {4, 128, 5}, {4, 128, 64}, {4, 64, 131}, {4, 256, 250}};

struct QuantizedWeight {
  int64_t out_features = 0;
  int64_t in_features = 0;
  WeightQuantization quantization{};
  std::vector<int8_t> stored{};  // [out_features, in_features]
  std::vector<float> scales{};   // [out_features, groups]
  std::vector<float> values{};   // [out_features, in_features], exact

  int64_t num_groups() const { return quantization.NumGroups(in_features); }
  QuantizedRows Rows(int64_t first, int64_t count) {
    return {MakeTensor(stored.data() + first * in_features, DType::kI8, count, in_features),
            MakeTensor(scales.data() + first * num_groups(), DType::kF32, count, num_groups())};
  }
};

QuantizedWeight MakeQuantizedWeight(int64_t out, int64_t in, const Form& form,
                                    Generator& generator) {
  QuantizedWeight weight{
      .out_features = out,
      .in_features = in,
      .quantization = {form.bits, form.group_size, form.first_feature},
  };
  const int limit = 1 << (form.bits - 1);
  std::uniform_int_distribution<int> value(-limit, limit - 1);
  std::uniform_real_distribution<float> scale(0.5F, 1.5F);
  // Of eight bits, so that products with values are exact in f32.
  for (int64_t i = 0; i < out * weight.num_groups(); ++i) {
    weight.scales.push_back(BF16ToFloat(FloatToBF16(scale(generator) / static_cast<float>(limit))));
  }
  for (int64_t o = 0; o < out; ++o) {
    for (int64_t k = 0; k < in; ++k) {
      weight.stored.push_back(static_cast<int8_t>(value(generator)));
      const int64_t group = weight.quantization.GroupOf(k);
      weight.values.push_back(weight.stored.back() *
                              weight.scales[static_cast<size_t>(o * weight.num_groups() + group)]);
    }
  }
  return weight;
}

WeightSpec SpecOf(const QuantizedWeight& weight, WeightLayout layout) {
  return {.name = "w",
          .out_features = weight.out_features,
          .in_features = weight.in_features,
          .dtype = DType::kI8,
          .layout = layout,
          .quantization = weight.quantization};
}

std::unique_ptr<PackedWeight> Pack(Backend& backend, QuantizedWeight& weight,
                                   WeightLayout layout = WeightLayout::kLinear) {
  auto packed = std::move(backend.CreateWeight(SpecOf(weight, layout))).value();
  backend.PackQuantizedRows(*packed, 0, weight.Rows(0, weight.out_features));
  return packed;
}

// Of x without columns.
constexpr int64_t kRowsOfNothing = 17;

// Of few bits, so that the integers that stand for them are exact.
std::vector<float> RandomX(int64_t n, Generator& generator, float deviation = 1.0F) {
  std::vector<float> x = testing::RandomFloats(n, generator, deviation);
  for (float& value : x) value = std::nearbyint(value * 0x1p14F) * 0x1p-14F;
  return x;
}

std::vector<float> Multiply(Backend& backend, const PackedWeight& weight, std::vector<float> x,
                            std::span<const float> bias = {}) {
  const int64_t in = weight.spec().in_features;
  const int64_t rows = in == 0 ? kRowsOfNothing : static_cast<int64_t>(x.size()) / in;
  const bool gate_up = weight.spec().layout == WeightLayout::kGateUp;
  const int64_t out_features = weight.spec().out_features / (gate_up ? 2 : 1);
  std::vector<float> out = testing::NaNs(rows * out_features);
  if (gate_up) {
    backend.GateUpSwiglu(testing::ViewOf(x, rows, in), weight,
                         testing::ViewOf(out, rows, out_features));
  } else {
    backend.Linear(testing::ViewOf(x, rows, in), weight, bias,
                   testing::ViewOf(out, rows, out_features));
  }
  return out;
}

struct Shape {
  int64_t rows;
  int64_t in;
  int64_t out;
};
void PrintTo(const Shape& shape, std::ostream* os) {
  *os << shape.rows << "x" << shape.in << "x" << shape.out;
}

class QuantizedLinearTest : public ::testing::TestWithParam<std::tuple<std::string, Form, Shape>> {
};

TEST_P(QuantizedLinearTest, MatchesOracle) {
  const auto& [isa, form, shape] = GetParam();
  const auto backend = testing::MakeBackend(isa, 2);
  Generator generator(1);
  QuantizedWeight weight = MakeQuantizedWeight(shape.out, shape.in, form, generator);
  const auto packed = Pack(*backend, weight);
  const std::vector<float> x = RandomX(shape.rows * shape.in, generator);
  const std::vector<float> bias = testing::RandomFloats(shape.out, generator);
  EXPECT_EQ(testing::Mismatch(
                Multiply(*backend, *packed, x, bias),
                testing::LinearOracle(x, weight.values, bias, shape.rows, shape.in, shape.out)),
            "");
}

TEST_P(QuantizedLinearTest, GateUpSwigluMatchesOracle) {
  const auto& [isa, form, shape] = GetParam();
  const auto backend = testing::MakeBackend(isa, 2);
  Generator generator(2);
  QuantizedWeight weight = MakeQuantizedWeight(2 * shape.out, shape.in, form, generator);
  const auto packed = Pack(*backend, weight, WeightLayout::kGateUp);
  const std::vector<float> x = RandomX(shape.rows * shape.in, generator, 3.0F);
  EXPECT_EQ(testing::Mismatch(
                Multiply(*backend, *packed, x),
                testing::GateUpSwigluOracle(x, weight.values, shape.rows, shape.in, shape.out)),
            "");
}

INSTANTIATE_TEST_SUITE_P(
    All, QuantizedLinearTest,
    ::testing::Combine(::testing::ValuesIn(AvailableCpuIsas()), ::testing::ValuesIn(kForms),
                       ::testing::Values(Shape{1, 1, 1}, Shape{kRowsOfNothing, 0, 40},
                                         Shape{1, 64, 32}, Shape{2, 63, 33}, Shape{13, 100, 70},
                                         Shape{1, 896, 128}, Shape{37, 1100, 95},
                                         Shape{150, 130, 40})));

class QuantizedBitsTest : public ::testing::TestWithParam<std::tuple<Form, WeightLayout>> {};

TEST_P(QuantizedBitsTest, OneRowHasTheSameBitsAmongAnyNumberOfRowsAndThreads) {
  const auto& [form, layout] = GetParam();
  constexpr int64_t kIn = 1203;
  constexpr int64_t kOut = 134;
  constexpr int64_t kMaxRows = 300;
  constexpr int64_t kMaxRowsWithoutSimd = 33;
  const int64_t cols = layout == WeightLayout::kGateUp ? kOut / 2 : kOut;
  for (const std::string& isa : AvailableCpuIsas()) {
    const int64_t max_rows = isa == "portable" ? kMaxRowsWithoutSimd : kMaxRows;
    Generator generator(3);
    QuantizedWeight weight = MakeQuantizedWeight(kOut, kIn, form, generator);
    const std::vector<float> x = testing::RandomFloats(max_rows * kIn, generator);
    const auto one_thread = testing::MakeBackend(isa, 1);
    const auto packed = Pack(*one_thread, weight, layout);
    std::vector<float> alone;
    for (int64_t r = 0; r < max_rows; ++r) {
      const std::vector<float> row =
          Multiply(*one_thread, *packed, {x.begin() + r * kIn, x.begin() + (r + 1) * kIn});
      alone.insert(alone.end(), row.begin(), row.end());
    }
    for (const int threads : {1, 3}) {
      const auto backend = testing::MakeBackend(isa, threads);
      for (const int64_t rows : {2, 3, 5, 7, 12, 16, 17, 31, 33, 48, 129, 300}) {
        if (rows > max_rows) break;
        const std::vector<float> together =
            Multiply(*backend, *packed, {x.begin(), x.begin() + rows * kIn});
        ASSERT_EQ(testing::BitMismatch(together, {alone.data(), static_cast<size_t>(rows * cols)}),
                  "")
            << isa << ", " << threads << " threads, " << rows << " rows";
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, QuantizedBitsTest,
                         ::testing::Combine(::testing::Values(Form{8, 0, 0}, Form{8, 0, 13},
                                                              Form{4, 128, 0}, Form{4, 64, 131}),
                                            ::testing::Values(WeightLayout::kLinear,
                                                              WeightLayout::kGateUp)));

// One row and output feature by the contract's own words.
float Defined(std::span<const float> x, const int8_t* values, const float* scales,
              const WeightQuantization& quantization, int num_digits) {
  float largest = 0.0F;
  for (const float value : x) largest = std::max(largest, std::abs(value));
  const int exponent = largest == 0 ? 0 : std::max(std::ilogb(largest) + 1, -100);
  const int shift = 8 * num_digits - 2 - exponent;
  float total = 0.0F;
  const auto in = static_cast<int64_t>(x.size());
  for (int64_t g = 0, k = 0; g < quantization.NumGroups(in); ++g) {
    int64_t sums[3] = {};
    for (; k < in && quantization.GroupOf(k) == g; ++k) {
      int64_t rest = std::lrint(std::ldexp(static_cast<double>(x[static_cast<size_t>(k)]), shift));
      for (int digit = num_digits - 1; digit >= 0; --digit) {
        const auto low = static_cast<int8_t>(rest & 255);
        sums[digit] += low * values[k];
        rest = (rest - low) / 256;
      }
      EXPECT_EQ(rest, 0);
    }
    auto sum = static_cast<float>(sums[0]);
    for (int digit = 1; digit < num_digits; ++digit) {
      sum = std::fma(sum, 256.0F, static_cast<float>(sums[digit]));
    }
    total = std::fma(sum, scales[g], total);
  }
  return total * std::ldexp(1.0F, -shift);
}

TEST(QuantizedIsaTest, EveryInstructionSetGivesTheBitsOfTheDefinition) {
  constexpr int64_t kIn = 333;
  constexpr int64_t kOut = 40;
  constexpr int64_t kRows = 7;
  for (const Form& form : kForms) {
    Generator generator(5);
    QuantizedWeight weight = MakeQuantizedWeight(kOut, kIn, form, generator);
    std::vector<float> x = testing::RandomFloats(kRows * kIn, generator);
    for (size_t i = 0; i < kIn; ++i) {
      x[i] = 0.0F;                                // a row of zeros,
      x[kIn + i] = std::ldexp(x[kIn + i], -120);  // one that nearly is,
      x[2 * kIn + i] = std::ldexp(x[2 * kIn + i], 100);
      if (i % 50 == 0) x[3 * kIn + i] *= 3000.0F;  // one with large outliers
    }
    x[4 * kIn] = 8.0F;  // a power of two is the largest
    for (size_t i = 4 * kIn + 1; i < 5 * kIn; ++i) x[i] = std::clamp(x[i], -7.9999995F, 7.9999995F);
    for (const DType x_dtype : {DType::kF32, DType::kBF16}) {
      std::vector<float> expected;
      for (int64_t r = 0; r < kRows; ++r) {
        for (int64_t c = 0; c < kOut; ++c) {
          expected.push_back(Defined({x.data() + r * kIn, kIn}, weight.stored.data() + c * kIn,
                                     weight.scales.data() + c * weight.num_groups(),
                                     weight.quantization, x_dtype == DType::kF32 ? 3 : 2));
        }
      }
      for (const std::string& isa : AvailableCpuIsas()) {
        const auto backend =
            std::move(
                CreateBackend({.activation_dtype = x_dtype, .num_threads = 2, .cpu_isa = isa}))
                .value();
        EXPECT_EQ(testing::BitMismatch(Multiply(*backend, *Pack(*backend, weight), x), expected),
                  "")
            << isa << ", " << ::testing::PrintToString(form) << ", " << Name(x_dtype);
      }
    }
  }
}

// The longest row with the largest digits: sums come near the end of 32 bits.
TEST(QuantizedIsaTest, TheLongestRowDoesNotOverflow) {
  constexpr int64_t kIn = 65536;
  QuantizedWeight weight{.out_features = 2, .in_features = kIn, .quantization = {8, 0, 0}};
  weight.stored.assign(kIn, int8_t{-128});
  weight.stored.resize(2 * kIn, int8_t{127});
  weight.scales = {1.0F, 1.0F};
  for (const auto& [x_dtype, integer] :
       {std::pair(DType::kF32, -63 * 65536 - 128 * 256 - 128), {DType::kBF16, -63 * 256 - 128}}) {
    const int num_digits = x_dtype == DType::kF32 ? 3 : 2;
    const std::vector<float> x(kIn, std::ldexp(static_cast<float>(integer), 2 - 8 * num_digits));
    std::vector<float> expected;
    for (int64_t c = 0; c < 2; ++c) {
      expected.push_back(Defined(x, weight.stored.data() + c * kIn, weight.scales.data() + c,
                                 weight.quantization, num_digits));
    }
    for (const std::string& isa : AvailableCpuIsas()) {
      const auto backend =
          std::move(CreateBackend({.activation_dtype = x_dtype, .num_threads = 1, .cpu_isa = isa}))
              .value();
      EXPECT_EQ(testing::BitMismatch(Multiply(*backend, *Pack(*backend, weight), x), expected), "")
          << isa << ", " << Name(x_dtype);
    }
  }
}

// Machines with VNNI multiply by it, those without by pairs; here by both.
TEST(QuantizedIsaTest, PairsGiveTheBitsOfVnni) {
  constexpr int64_t kRows = 21;
  constexpr int64_t kIn = 333;
  constexpr int64_t kOut = 70;
  for (const CpuIsa isa : AvailableIsas()) {
    if (isa == CpuIsa::kAmx) continue;
    for (const DType x_dtype : {DType::kF32, DType::kBF16}) {
      ThreadPool threads({.num_threads = 2});
      CpuLinear by_pairs(isa, x_dtype, nullptr, threads);
      const auto backend =
          std::move(CreateBackend({.activation_dtype = x_dtype, .cpu_isa = std::string(Name(isa))}))
              .value();
      for (const Form& form : kForms) {
        Generator generator(9);
        QuantizedWeight weight = MakeQuantizedWeight(kOut, kIn, form, generator);
        const auto packed = Pack(*backend, weight);
        std::vector<float> x = testing::RandomFloats(kRows * kIn, generator);
        std::vector<float> out = testing::NaNs(kRows * kOut);
        by_pairs.Multiply(testing::ViewOf(x, kRows, kIn),
                          static_cast<const CpuPackedWeight&>(*packed), LinearEpilogue::kBias, {},
                          testing::ViewOf(out, kRows, kOut));
        EXPECT_EQ(testing::BitMismatch(out, Multiply(*backend, *packed, x)), "")
            << Name(isa) << ", " << ::testing::PrintToString(form);
      }
    }
  }
}

TEST(QuantizedIsaTest, ARowThatIsNotFiniteGivesNaNsAndLeavesOthersAlone) {
  for (const std::string& isa : AvailableCpuIsas()) {
    for (const float bad : {testing::kNaN, INFINITY, -INFINITY}) {
      for (const size_t where : {0, 69, 76}) {
        const auto backend = testing::MakeBackend(isa, 1);
        Generator generator(8);
        QuantizedWeight weight = MakeQuantizedWeight(40, 77, {8, 0, 0}, generator);
        const auto packed = Pack(*backend, weight);
        std::vector<float> x = testing::RandomFloats(3 * 77, generator);
        const std::vector<float> good = Multiply(*backend, *packed, x);
        x[77 + where] = bad;
        const std::vector<float> out = Multiply(*backend, *packed, x);
        for (size_t i = 0; i < out.size(); ++i) {
          if (i / 40 == 1) {
            EXPECT_TRUE(std::isnan(out[i])) << isa;
          } else {
            EXPECT_EQ(out[i], good[i]) << isa;
          }
        }
      }
    }
  }
}

TEST(QuantizedEmbeddingTest, RowsAreExact) {
  for (const std::string& isa : AvailableCpuIsas()) {
    for (const Form& form : kForms) {
      const auto backend = testing::MakeBackend(isa, 2);
      Generator generator(6);
      QuantizedWeight weight = MakeQuantizedWeight(70, 203, form, generator);
      const auto packed = Pack(*backend, weight);
      const std::vector<int32_t> ids = {0, 69, 15, 16, 31, 32, 100, 7};
      std::vector<float> out = testing::NaNs(static_cast<int64_t>(ids.size()) * 203);
      backend->Embedding(ids, *packed, 0,
                         testing::ViewOf(out, static_cast<int64_t>(ids.size()), 203));
      std::vector<float> expected;
      for (const int32_t id : ids) {
        for (int64_t k = 0; k < 203; ++k) {
          expected.push_back(id < 70 ? weight.values[static_cast<size_t>(id * 203 + k)] : 0.0F);
        }
      }
      EXPECT_EQ(testing::BitMismatch(out, expected), "")
          << isa << ", " << ::testing::PrintToString(form);
    }
  }
}

TEST(QuantizedPackTest, RowsMayComeInAnyPiecesFromAnyThread) {
  for (const std::string& isa : AvailableCpuIsas()) {
    for (const Form& form : {Form{8, 0, 0}, Form{4, 64, 0}}) {
      const auto backend = testing::MakeBackend(isa, 1);
      Generator generator(7);
      QuantizedWeight weight = MakeQuantizedWeight(150, 77, form, generator);
      const std::vector<float> x = testing::RandomFloats(2 * 77, generator);
      const std::vector<float> expected = Multiply(*backend, *Pack(*backend, weight), x);
      auto packed = std::move(backend->CreateWeight(SpecOf(weight, WeightLayout::kLinear))).value();
      std::vector<std::thread> threads;
      for (int64_t first = 0; first < 3; ++first) {
        threads.emplace_back([&, first] {
          for (int64_t row = first; row < 150; row += 3) {
            backend->PackQuantizedRows(*packed, row, weight.Rows(row, 1));
          }
        });
      }
      for (std::thread& thread : threads) thread.join();
      EXPECT_EQ(testing::BitMismatch(Multiply(*backend, *packed, x), expected), "");
    }
  }
}

TEST(QuantizedPackTest, SizeIsThatOfTheBitsAndScales) {
  const auto backend = testing::MakeBackend("", 1);
  const auto bytes = [&](WeightQuantization quantization) {
    return std::move(backend->CreateWeight({.name = "w",
                                            .out_features = 4864,
                                            .in_features = 896,
                                            .dtype = DType::kI8,
                                            .quantization = quantization}))
        .value()
        ->size_bytes();
  };
  constexpr size_t kPage = 4096;
  const auto pages = [](size_t size) { return (size + kPage - 1) / kPage * kPage; };
  EXPECT_EQ(bytes({8, 0, 0}), pages(4864 * 896 + 4864 * 4));
  EXPECT_EQ(bytes({4, 128, 0}), pages(4864 * 896 / 2 + 4864 * 7 * 4));
}

TEST(QuantizedPackTest, RefusesWhatNoKernelTakes) {
  const auto backend = testing::MakeBackend("", 1);
  const auto message = [&](DType dtype, WeightQuantization quantization) {
    return backend
        ->CreateWeight({.name = "a.weight",
                        .out_features = 2,
                        .in_features = 2,
                        .dtype = dtype,
                        .quantization = quantization})
        .status()
        .ToString();
  };
  EXPECT_THAT(message(DType::kBF16, {8, 0, 0}),
              HasSubstr("weight a.weight: dtype is BF16, allowed where it is quantized: I8"));
  EXPECT_THAT(message(DType::kI8, {}), HasSubstr("dtype is I8, allowed: BF16, F16, F32"));
  EXPECT_THAT(message(DType::kI8, {3, 0, 0}), HasSubstr("values have 3 bits, allowed: 8, 4"));
  EXPECT_THAT(message(DType::kI8, {4, 96, 0}),
              HasSubstr("group size is 96, allowed: multiples of 64, or 0"));
  EXPECT_THAT(backend
                  ->CreateWeight({.name = "w",
                                  .out_features = 2,
                                  .in_features = 65537,
                                  .dtype = DType::kI8,
                                  .quantization = {8, 0, 0}})
                  .status()
                  .ToString(),
              HasSubstr("rows have 65537 elements"));
}

}  // namespace
}  // namespace phalanx
