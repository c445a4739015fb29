// Named barriers and atomic updates on the emulated device, and what it says of their misuse.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "tests/kernels/cuda/emulated_device.h"
#include "tests/kernels/cuda/test_kernels.h"

namespace phalanx {
namespace {

using testing::AtomicDefect;
using testing::BarrierDefect;
using ::testing::HasSubstr;

std::vector<uint32_t> Numbers(size_t count) {
  std::vector<uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 1u);
  return numbers;
}

struct Outcome {
  Status status;
  std::vector<uint32_t> out;
};

Outcome RunBarrier(BarrierDefect defect, uint64_t seed) {
  testing::EmulatedDevice device(seed);
  auto* const out = device.Allocate<uint32_t>(128);
  auto stream = device.Stream();
  testing::LaunchNamedBarrier(stream,
                              {.defect = defect, .in = device.Upload(Numbers(128)), .out = out});
  return {stream.status(), testing::EmulatedDevice::Download(out, 128)};
}

TEST(NamedBarrierTest, OrdersThoseWhoMeet) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Outcome outcome = RunBarrier(BarrierDefect::kNothing, seed);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (uint32_t t = 0; t < 128; ++t) {
      EXPECT_EQ(outcome.out[t], t / 64 * 64 + 64 - t % 64);
    }
  }
}

struct BarrierCase {
  BarrierDefect defect;
  const char* message;
};
class BrokenBarrierTest : public ::testing::TestWithParam<BarrierCase> {};

TEST_P(BrokenBarrierTest, IsCaughtInEveryOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome outcome = RunBarrier(GetParam().defect, seed);
    EXPECT_EQ(outcome.status.code(), StatusCode::kInternal) << seed;
    EXPECT_THAT(outcome.status.message(), HasSubstr(GetParam().message)) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenBarrierTest,
    ::testing::Values(
        BarrierCase{BarrierDefect::kMissing, "shared memory that"},
        // Nobody orders the halves.
        BarrierCase{BarrierDefect::kOtherHalf, "shared memory that"},
        BarrierCase{BarrierDefect::kWarpMissing, "block (0, 0)"},
        BarrierCase{BarrierDefect::kPartOfAWarp, "met at barrier 1 with 16 of its warp's 32"},
        BarrierCase{BarrierDefect::kNoSuchBarrier, "comes to barrier 16, allowed: 1 to 15"},
        BarrierCase{BarrierDefect::kNoWholeWarps,
                    "comes to barrier 1 of 48 threads, allowed: multiples of 32 up to the block's "
                    "128"},
        // Where the smaller ones meet first, the others wait for ever.
        BarrierCase{BarrierDefect::kDifferentCounts, "barrier 1"}));

constexpr int kGrid = 3;

Outcome RunAtomics(AtomicDefect defect, uint64_t seed) {
  testing::EmulatedDevice device(seed);
  uint32_t* const out = device.Upload(std::vector<uint32_t>(3 + kGrid, 0));
  auto stream = device.Stream();
  testing::LaunchAtomics(
      stream, {.defect = defect, .in = device.Upload(Numbers(64 * kGrid)), .out = out}, kGrid);
  return {stream.status(), testing::EmulatedDevice::Download(out, 3 + kGrid)};
}

TEST(AtomicsTest, UpdatesOfAllBlocksAreThere) {
  constexpr uint32_t kCount = 64 * kGrid;
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    const Outcome outcome = RunAtomics(AtomicDefect::kNothing, seed);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    EXPECT_EQ(outcome.out[0], kCount * (kCount + 1) / 2);
    EXPECT_EQ(outcome.out[1], kCount);
    EXPECT_GE(outcome.out[2], 1u);
    EXPECT_LE(outcome.out[2], kCount);
    for (size_t block = 0; block < kGrid; ++block) EXPECT_EQ(outcome.out[3 + block], 32u);
  }
}

struct AtomicCase {
  AtomicDefect defect;
  const char* message;
};
class BrokenAtomicsTest : public ::testing::TestWithParam<AtomicCase> {};

TEST_P(BrokenAtomicsTest, AreCaughtInEveryOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome outcome = RunAtomics(GetParam().defect, seed);
    EXPECT_EQ(outcome.status.code(), StatusCode::kInternal) << seed;
    EXPECT_THAT(outcome.status.message(), HasSubstr(GetParam().message)) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BrokenAtomicsTest,
    ::testing::Values(AtomicCase{AtomicDefect::kUnwritten, "updates shared memory that nobody has"},
                      // Before the word was set, or while it is.
                      AtomicCase{AtomicDefect::kUnordered, "shared memory that"},
                      AtomicCase{AtomicDefect::kPlainWrite,
                                 "global memory that a thread of another block writes"},
                      AtomicCase{AtomicDefect::kReadTooEarly, "nothing orders the two"},
                      AtomicCase{AtomicDefect::kMisaligned,
                                 "updates 4 bytes at an address that is no multiple of 4"}));

}  // namespace
}  // namespace phalanx
