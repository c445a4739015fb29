// The kernel that sums gathered parts, against the oracle and, bit for bit, the host's own sum.
#include "kernels/cuda/sum_parts.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <tuple>

#include "parallel/ordered_sum.h"
#include "tests/kernels/cuda/emulated_device.h"
#include "tests/testing/inputs.h"
#include "tests/testing/oracles.h"

namespace phalanx {
namespace {

using testing::EmulatedDevice;
using testing::Generator;

// Of very different magnitudes, so that another order of the sum gives other bits.
std::vector<float> Parts(int num_parts, int64_t count, Generator& generator) {
  std::vector<float> parts = testing::RandomFloats(num_parts * count, generator);
  for (float& value : parts) value = std::ldexp(value, static_cast<int>(generator() % 25) - 12);
  return parts;
}

class CudaSumPartsTest : public ::testing::TestWithParam<std::tuple<int, int64_t>> {};

TEST_P(CudaSumPartsTest, SumsInOrder) {
  const auto& [num_parts, count] = GetParam();
  Generator generator(41);
  EmulatedDevice device(generator());
  cuda::emulated::Stream stream = device.Stream();
  const std::vector<float> parts = Parts(num_parts, count, generator);
  const auto size = static_cast<size_t>(count);
  auto* const out = device.Allocate<float>(size);
  LaunchSumParts(
      stream, {.count = count, .num_parts = num_parts, .parts = device.Upload(parts), .out = out});
  EXPECT_TRUE(stream.status().ok()) << stream.status();
  const std::vector<float> actual = EmulatedDevice::Download(out, size);
  EXPECT_EQ(testing::Mismatch(actual, testing::SumPartsOracle(parts, num_parts, count)), "");
  std::vector<const float*> pointers;
  for (int part = 0; part < num_parts; ++part) pointers.push_back(parts.data() + part * count);
  std::vector<float> on_host(size);
  OrderedSum(pointers, count, on_host.data());
  EXPECT_EQ(testing::BitMismatch(actual, on_host), "");
}

INSTANTIATE_TEST_SUITE_P(All, CudaSumPartsTest,
                         ::testing::Combine(::testing::Values(1, 2, 3, 8),
                                            ::testing::Values(0, 1, 3, 4, 255, 256, 257, 1020, 1024,
                                                              1028, 4099)));

}  // namespace
}  // namespace phalanx
