// The emulated primitives against tables that follow the PTX ISA's text alone. One mistake made in
// the emulation and in a kernel would cancel out; here it shows.
#include "kernels/cuda/primitives.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tests/kernels/cuda/emulated_device.h"
#include "tests/kernels/cuda/test_kernels.h"
#include "tests/testing/inputs.h"

namespace phalanx {
namespace {

TEST(PrimitivesTest, ShufflesVotesAndMaxima) {
  testing::EmulatedDevice device;
  testing::Generator generator(1);
  std::vector<uint32_t> in(32);
  for (uint32_t& word : in) word = static_cast<uint32_t>(generator());
  auto* const out = device.Allocate<uint32_t>(128);
  auto stream = device.Stream();
  testing::LaunchShuffles(stream, {.in = device.Upload(in), .out = out});
  ASSERT_TRUE(stream.status().ok()) << stream.status();
  uint32_t votes = 0;
  for (uint32_t lane = 0; lane < 32; ++lane) {
    if (in[lane] % 3 == 0) votes |= 1u << lane;
  }
  for (uint32_t lane = 0; lane < 32; ++lane) {
    EXPECT_EQ(out[lane], in[lane ^ 5]);
    EXPECT_EQ(out[32 + lane], in[7]);
    EXPECT_EQ(out[64 + lane], votes);
    EXPECT_EQ(out[96 + lane], *std::max_element(in.begin(), in.end()));
  }
}

// PTX ISA, "Warp-level matrix load instruction: ldmatrix": which thread of the warp holds which
// element of an 8x8 matrix. Row by row: thread 0 columns 0 and 1, thread 1 columns 2 and 3, ...
TEST(PrimitivesTest, MatricesAreDistributedAsTheTableSays) {
  constexpr int kThreadOfElement[8][8] = {
      {0, 0, 1, 1, 2, 2, 3, 3},         {4, 4, 5, 5, 6, 6, 7, 7},
      {8, 8, 9, 9, 10, 10, 11, 11},     {12, 12, 13, 13, 14, 14, 15, 15},
      {16, 16, 17, 17, 18, 18, 19, 19}, {20, 20, 21, 21, 22, 22, 23, 23},
      {24, 24, 25, 25, 26, 26, 27, 27}, {28, 28, 29, 29, 30, 30, 31, 31}};
  testing::EmulatedDevice device;
  // Element (i, row, column) is 100 i + 10 row + column.
  std::vector<uint16_t> elements;
  for (int i = 0; i < 256; ++i) {
    elements.push_back(static_cast<uint16_t>(100 * (i / 64) + 10 * (i / 8 % 8) + i % 8));
  }
  auto* const out = device.Allocate<uint32_t>(256);
  auto stream = device.Stream();
  testing::LaunchLoadMatrices(
      stream, {.in = reinterpret_cast<const uint32_t*>(device.Upload(elements)), .out = out});
  ASSERT_TRUE(stream.status().ok()) << stream.status();
  for (int matrix = 0; matrix < 4; ++matrix) {
    for (int row = 0; row < 8; ++row) {
      for (int column = 0; column < 8; ++column) {
        const int thread = kThreadOfElement[row][column];
        const int half = 16 * (column % 2);
        EXPECT_EQ(out[4 * thread + matrix] >> half & 0xffffu,
                  static_cast<uint32_t>(100 * matrix + 10 * row + column));
        EXPECT_EQ(out[128 + 4 * thread + matrix] >> half & 0xffffu,
                  static_cast<uint32_t>(100 * matrix + 10 * column + row));
      }
    }
  }
}

// PTX ISA, "Matrix fragments for mma.m16n8k16 with floating point type": for element i of a
// fragment (two to a register), its row and column, as the document's formulas.
struct Place {
  int row;
  int column;
};
Place PlaceOfA(int lane, int i) {
  const int group = lane >> 2;
  const int in_group = lane % 4;
  const int row = (i >= 0 && i < 2) || (i >= 4 && i < 6) ? group : group + 8;
  const int column = i < 4 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8;
  return {row, column};
}
Place PlaceOfB(int lane, int i) {
  const int in_group = lane % 4;
  return {i < 2 ? in_group * 2 + (i & 1) : in_group * 2 + (i & 1) + 8, lane >> 2};
}
Place PlaceOfC(int lane, int i) {
  return {i < 2 ? lane >> 2 : (lane >> 2) + 8, (lane % 4) * 2 + (i & 1)};
}

class MultiplyTileTest : public ::testing::TestWithParam<DType> {
 protected:
  static uint16_t Narrow(float value) {
    return GetParam() == DType::kBF16 ? FloatToBF16(value) : FloatToF16(value);
  }
  static float Widen(uint16_t bits) {
    return GetParam() == DType::kBF16 ? BF16ToFloat(bits) : F16ToFloat(bits);
  }
};

TEST_P(MultiplyTileTest, MultipliesFragmentsAsTheTablesSay) {
  testing::Generator generator(2);
  const std::vector<float> a = testing::RandomFloats(16 * 16, generator);
  const std::vector<float> b = testing::RandomFloats(16 * 8, generator);
  const std::vector<float> c = testing::RandomFloats(16 * 8, generator);
  std::vector<uint32_t> in(320, 0);
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 8; ++i) {
      const Place place = PlaceOfA(lane, i);
      in[static_cast<size_t>(4 * lane + i / 2)] |=
          static_cast<uint32_t>(Narrow(a[static_cast<size_t>(16 * place.row + place.column)]))
          << 16 * (i % 2);
    }
    for (int i = 0; i < 4; ++i) {
      const Place place = PlaceOfB(lane, i);
      in[static_cast<size_t>(128 + 2 * lane + i / 2)] |=
          static_cast<uint32_t>(Narrow(b[static_cast<size_t>(8 * place.row + place.column)]))
          << 16 * (i % 2);
      const Place at = PlaceOfC(lane, i);
      in[static_cast<size_t>(192 + 4 * lane + i)] =
          std::bit_cast<uint32_t>(c[static_cast<size_t>(8 * at.row + at.column)]);
    }
  }
  testing::EmulatedDevice device;
  auto* const out = device.Allocate<uint32_t>(128);
  auto stream = device.Stream();
  testing::LaunchMultiplyTile(stream, {.in = device.Upload(in), .out = out}, GetParam());
  ASSERT_TRUE(stream.status().ok()) << stream.status();
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const Place at = PlaceOfC(lane, i);
      double expected = static_cast<double>(c[static_cast<size_t>(8 * at.row + at.column)]);
      for (int k = 0; k < 16; ++k) {
        expected += static_cast<double>(Widen(Narrow(a[static_cast<size_t>(16 * at.row + k)]))) *
                    static_cast<double>(Widen(Narrow(b[static_cast<size_t>(8 * k + at.column)])));
      }
      EXPECT_NEAR(static_cast<double>(std::bit_cast<float>(out[4 * lane + i])), expected, 1e-5);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Types, MultiplyTileTest, ::testing::Values(DType::kBF16, DType::kF16));

// Every float16 comes back from itself, and everything between two of them goes to the nearer one.
TEST(FloatToF16Test, RoundsToNearestEven) {
  for (uint32_t bits = 0; bits < 0x7c00u; ++bits) {
    const auto here = static_cast<uint16_t>(bits);
    const auto next = static_cast<uint16_t>(bits + 1);
    const float low = F16ToFloat(here);
    ASSERT_EQ(FloatToF16(low), here);
    ASSERT_EQ(FloatToF16(-low), here | 0x8000u);
    const float high = next == 0x7c00u ? 65536.0F : F16ToFloat(next);
    const float middle = (low + high) / 2;  // exact
    ASSERT_EQ(FloatToF16(middle), bits % 2 == 0 ? here : next) << bits;
    ASSERT_EQ(FloatToF16(std::nextafter(middle, 0.0F)), here) << bits;
    ASSERT_EQ(FloatToF16(std::nextafter(middle, 1e9F)), next) << bits;
  }
  EXPECT_EQ(FloatToF16(1e30F), 0x7c00u);
  EXPECT_EQ(FloatToF16(-std::numeric_limits<float>::infinity()), 0xfc00u);
  EXPECT_TRUE(std::isnan(F16ToFloat(FloatToF16(testing::kNaN))));
  EXPECT_EQ(FloatToF16(1e-30F), 0u);
}

}  // namespace
}  // namespace phalanx
