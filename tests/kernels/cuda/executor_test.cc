// The emulated device catches what a GPU would let pass by luck.
#include "kernels/cuda/emulation/executor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/kernels/cuda/emulated_device.h"
#include "tests/kernels/cuda/test_kernels.h"

namespace phalanx {
namespace {

using testing::Defect;
using ::testing::HasSubstr;

constexpr int kGrid = 3;

struct Outcome {
  Status status;
  std::vector<float> out;
};

Outcome RunDefect(Defect defect, uint64_t seed) {
  testing::EmulatedDevice device(seed);
  std::vector<float> in(256);
  std::iota(in.begin(), in.end(), 1.0F);
  float host = 0.0F;
  auto* const out = device.Allocate<float>(kGrid * 256, "out");
  auto stream = device.Stream();
  testing::LaunchDefect(
      stream, {.defect = defect, .in = device.Upload(in, "in"), .out = out, .host = &host}, kGrid);
  return {stream.status(), testing::EmulatedDevice::Download(out, kGrid * 256)};
}

TEST(ExecutorTest, RunsACorrectKernelInAnyOrder) {
  for (const uint64_t seed : {1, 2, 3, 4, 5}) {
    const Outcome outcome = RunDefect(Defect::kNothing, seed);
    ASSERT_TRUE(outcome.status.ok()) << outcome.status;
    for (int t = 0; t < kGrid * 256; ++t) {
      const int i = t % 256;
      const auto expected = static_cast<float>(256 - i + (256 - (i ^ 1)) + i + 1);
      ASSERT_EQ(outcome.out[static_cast<size_t>(t)], expected) << t;
    }
  }
}

struct Case {
  Defect defect;
  const char* message;
};

void PrintTo(const Case& c, std::ostream* os) {
  *os << "defect " << static_cast<int>(c.defect) << ", \"" << c.message << '"';
}

class DefectTest : public ::testing::TestWithParam<Case> {};

TEST_P(DefectTest, IsCaughtInEveryOrder) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    const Outcome outcome = RunDefect(GetParam().defect, seed);
    EXPECT_EQ(outcome.status.code(), StatusCode::kInternal) << seed;
    EXPECT_THAT(outcome.status.message(), HasSubstr("kernel defect, block ("));
    EXPECT_THAT(outcome.status.message(), HasSubstr(GetParam().message)) << seed;
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, DefectTest,
    ::testing::Values(
        // Whichever thread comes first: the other's value is not there yet, or the two race.
        Case{Defect::kMissingBlockBarrier, "shared memory that"},
        Case{Defect::kMissingWarpBarrier, "nothing orders the two"},
        Case{Defect::kReusedTooEarly, "nothing orders the two"},
        Case{Defect::kGlobalRaceBetweenThreads, "global memory that thread "},
        Case{Defect::kGlobalRaceBetweenBlocks, "global memory that a thread of another block"},
        Case{Defect::kBlocksReadWhatAnotherWrites, "global memory that a thread of another block"},
        Case{Defect::kGlobalOutOfBounds,
             "writes 4 bytes of global memory which is 3072 bytes behind the start of \"out\", an "
             "allocation of 3072"},
        Case{Defect::kSharedOutOfBounds,
             "thread 255: writes 4 bytes of shared memory outside of its arrays"},
        Case{Defect::kMisaligned, "reads 4 bytes at an address that is no multiple of 4"},
        Case{Defect::kMisalignedVector, "reads 16 bytes at an address that is no multiple of 16"},
        Case{Defect::kHostMemory, "reads 4 bytes of host memory"},
        Case{Defect::kUnwrittenShared, "thread 3: reads shared memory that nobody has written, 0 "},
        Case{Defect::kCopyNotWaitedFor, "reads shared memory that nobody has written"},
        Case{Defect::kCopyWithoutBarrier, "shared memory that"},
        Case{Defect::kCopyIntoWhatIsRead, "shared memory that"},
        Case{Defect::kCopyOutOfBounds, "thread 63: reads 16 bytes of global memory"},
        Case{Defect::kBarrierNotReached,
             "no thread can go on: thread 0 waits for the block's "
             "barrier, thread 17 has left the kernel"},
        Case{Defect::kDivergentShuffle, "no thread can go on: thread 0 waits for a shuffle"},
        Case{Defect::kDifferentWarpOperations, "other lanes of its warp are at"},
        Case{Defect::kTooMuchShared, "takes 32768 bytes of shared memory, the launch has 2048"},
        Case{Defect::kDifferentArrays, "bytes as its shared array 0, another thread took"}));

TEST(ExecutorTest, NothingRunsAfterAFault) {
  testing::EmulatedDevice device;
  auto stream = device.Stream();
  auto* const out = device.Allocate<float>(256);
  float host = 0.0F;
  const float* const in = device.Upload(std::vector<float>(256, 1.0F));
  testing::LaunchDefect(stream,
                        {.defect = Defect::kHostMemory, .in = in, .out = out, .host = &host}, 1);
  const Status first = stream.status();
  EXPECT_FALSE(first.ok());
  testing::LaunchDefect(stream, {.in = in, .out = out}, 1);
  EXPECT_EQ(stream.status(), first);
  EXPECT_NE(out[7], out[7]) << "a NaN, as nobody wrote it";
  auto other = device.Stream();
  testing::LaunchDefect(other, {.in = in, .out = out}, 1);
  EXPECT_TRUE(other.status().ok()) << "the device itself goes on";
}

TEST(ExecutorTest, RefusesShapesThatNoDeviceTakes) {
  testing::EmulatedDevice device;
  cuda::emulation::Executor executor(device.memory(), 1);
  const auto message = [&](const cuda::emulation::LaunchShape& shape) {
    return executor.Run("k", shape, {[](const void* /*context*/) {}, nullptr}).message();
  };
  EXPECT_EQ(message({.threads = 48}),
            "kernel k: 48 threads a block, allowed: multiples of 32 up to 1024");
  EXPECT_THAT(message({.threads = 2048}), HasSubstr("2048 threads a block"));
  EXPECT_THAT(message({.grid_x = 0}), HasSubstr("a grid of 0 x 1"));
  EXPECT_THAT(message({.grid_y = 65536}), HasSubstr("a grid of 1 x 65536"));
  EXPECT_THAT(message({.shared_bytes = 227 * 1024 + 16}), HasSubstr("bytes of shared memory"));
  EXPECT_EQ(message({.grid_x = 2, .threads = 1024}), "");
}

TEST(DeviceMemoryTest, HandsOutNaNsAndTakesBack) {
  auto memory = std::move(cuda::emulation::DeviceMemory::Create(10000)).value();
  void* const a = std::move(memory->Allocate(6000, "a")).value();
  EXPECT_EQ(static_cast<const uint32_t*>(a)[1499], 0xffffffffu);
  EXPECT_EQ(memory->Allocate(4001, "too much").status().ToString(),
            "RESOURCE_EXHAUSTED: too much: cannot allocate 4001 bytes, 4000 of 10000 are free");
  void* const b = std::move(memory->Allocate(4000, "b")).value();
  EXPECT_FALSE(memory->Holds(reinterpret_cast<uintptr_t>(a) + 5999, 2));
  EXPECT_THAT(memory->Complaint(reinterpret_cast<uintptr_t>(a) + 5999, 2),
              "which is 5999 bytes behind the start of \"a\", an allocation of 6000");
  memory->Free(a);
  EXPECT_FALSE(memory->Holds(reinterpret_cast<uintptr_t>(a), 1));
  EXPECT_EQ(std::move(memory->Allocate(5000, "c")).value(), a) << "freed room is used again";
  memory->Free(a);
  memory->Free(b);
  EXPECT_EQ(memory->used(), 0u);
}

TEST(DeviceMemoryTest, AnAllocationOfNothingCanBeFreed) {
  auto memory = std::move(cuda::emulation::DeviceMemory::Create(10'000)).value();
  void* const a = std::move(memory->Allocate(0, "a")).value();
  void* const b = std::move(memory->Allocate(1, "b")).value();
  EXPECT_NE(a, b);
  EXPECT_FALSE(memory->Holds(reinterpret_cast<uintptr_t>(a), 1));
  memory->Free(a);
  memory->Free(b);
  EXPECT_EQ(memory->used(), 0u);
}

}  // namespace
}  // namespace phalanx
