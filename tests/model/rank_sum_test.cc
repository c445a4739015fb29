// Sums over ranks of what lies on emulated devices, by the stand-in for NCCL and by the host: what
// a row's bits depend on, and what they do not.
#include "model/rank_sum.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>
#include <vector>

#include "kernels/backend_factory.h"
#include "parallel/nccl_collectives.h"
#include "parallel/ordered_sum.h"
#include "parallel/thread_group.h"
#include "tests/parallel/collectives_checks.h"
#include "tests/testing/environment_variable.h"

namespace phalanx {
namespace {

using namespace testing_collectives;  // NOLINT(google-build-using-namespace)

enum class By : uint8_t { kHost, kNccl };

struct Member {
  Communicator& communicator;
  Backend& backend;
  RankSum& sum;
};

void OnRanks(int size, By by, Numerics numerics, int64_t most_elements,
             const std::function<void(Member)>& body) {
  const auto library = std::move(NcclLibrary::Load(PHALANX_NCCL_STAND_IN)).value();
  const auto group = MakeThreadGroup(size);
  const auto run = [&](Communicator& communicator) {
    const auto backend = std::move(CreateBackend({.device = "cuda-emulated",
                                                  .numerics = numerics,
                                                  .device_memory_bytes = size_t{1} << 28,
                                                  .num_threads = 1}))
                             .value();
    std::shared_ptr<DeviceCollectives> collectives;
    if (by == By::kNccl) {
      collectives =
          std::move(CreateNcclCollectives(
                        {.library = library, .stream = backend->device_queue()->stream_handle()},
                        communicator))
              .value();
    }
    RankSum sum(*backend, communicator, collectives.get(), numerics);
    ASSERT_EQ(sum.Allocate(most_elements), OkStatus());
    body({communicator, *backend, sum});
  };
  std::vector<std::thread> threads;
  for (const auto& member : group) threads.emplace_back([&] { run(*member); });
  for (std::thread& thread : threads) thread.join();
}

// The sum of a matrix whose rows are all this rank's contribution.
std::vector<float> SumOfRows(const Member& member, int64_t rows, int64_t cols) {
  const std::vector<float> row = Contribution(member.communicator.rank(), cols, 77);
  std::vector<float> values;
  for (int64_t r = 0; r < rows; ++r) values.insert(values.end(), row.begin(), row.end());
  const size_t bytes = values.size() * sizeof(float);
  const auto buffer = std::move(member.backend.Allocate(bytes, "rows")).value();
  member.backend.CopyToDevice(buffer->data(), values.data(), bytes);
  EXPECT_EQ(member.sum(MakeTensor(buffer->data(), DType::kF32, rows, cols)), OkStatus());
  member.backend.CopyToHost(values.data(), buffer->data(), bytes);
  EXPECT_EQ(member.backend.Finish(), OkStatus());
  return values;
}

std::vector<float> RowOf(const std::vector<float>& matrix, int64_t row, int64_t cols) {
  return {matrix.begin() + row * cols, matrix.begin() + (row + 1) * cols};
}

constexpr int64_t kCols = 896;
constexpr int64_t kMostRows = 40;

class ExactSumTest : public ::testing::TestWithParam<std::tuple<By, int>> {};

TEST_P(ExactSumTest, ARowIsTheSumInRankOrderInEveryMessage) {
  const auto& [by, size] = GetParam();
  OnRanks(size, by, Numerics::kExact, kMostRows * kCols, [&, size = size](const Member& member) {
    const std::vector<float> expected = SumInRankOrder(size, kCols, 77);
    for (const int64_t rows : {int64_t{1}, int64_t{2}, int64_t{7}, kMostRows}) {
      const std::vector<float> sums = SumOfRows(member, rows, kCols);
      for (int64_t r = 0; r < rows; ++r) ExpectSameBits(RowOf(sums, r, kCols), expected);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(All, ExactSumTest,
                         ::testing::Combine(::testing::Values(By::kHost, By::kNccl),
                                            ::testing::Values(1, 2, 3)));

// More than is gathered at once, and no multiple of it.
TEST(ExactSumTest, AMessageBeyondTheWorkspaceIsSummedInPieces) {
  constexpr int64_t kManyRows = 1025;
  constexpr int64_t kManyCols = 1028;
  OnRanks(2, By::kNccl, Numerics::kExact, kManyRows * kManyCols, [&](const Member& member) {
    const std::vector<float> expected = SumInRankOrder(2, kManyCols, 77);
    const std::vector<float> sums = SumOfRows(member, kManyRows, kManyCols);
    for (const int64_t r : {int64_t{0}, int64_t{1019}, int64_t{1020}, kManyRows - 1}) {
      ExpectSameBits(RowOf(sums, r, kManyCols), expected);
    }
  });
}

// Why exact numerics do not take the library's sum: as NCCL's own, the stand-in's depends on the
// message. With two ranks no order is another.
TEST(FastSumTest, ARowsBitsMayDependOnTheMessageFromThreeRanksOn) {
  for (const int size : {2, 3}) {
    OnRanks(size, By::kNccl, Numerics::kFast, kMostRows * kCols, [&](const Member& member) {
      const std::vector<float> alone = SumOfRows(member, 1, kCols);
      const std::vector<float> many = SumOfRows(member, kMostRows, kCols);
      int num_different = 0;
      for (int64_t r = 0; r < kMostRows; ++r) num_different += RowOf(many, r, kCols) != alone;
      if (size == 2) {
        EXPECT_EQ(num_different, 0);
      } else {
        EXPECT_GT(num_different, 0);
      }
    });
  }
}

TEST(RankSumTest, TheDevicesTimeInCollectivesIsReadWhereItIsWaitedFor) {
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    OnRanks(2, By::kNccl, numerics, kCols, [](const Member& member) {
      const DeviceQueue& queue = *member.backend.device_queue();
      const auto buffer = std::move(member.backend.Allocate(kCols * sizeof(float), "row")).value();
      const TensorView row = MakeTensor(buffer->data(), DType::kF32, 1, kCols);
      double before = 0;
      for (int step = 0; step < 3; ++step) {
        EXPECT_EQ(member.sum(row), OkStatus());
        EXPECT_EQ(member.sum(row), OkStatus());
        EXPECT_EQ(queue.CollectiveSeconds(), before);
        EXPECT_EQ(member.backend.Finish(), OkStatus());
        EXPECT_GT(queue.CollectiveSeconds(), before);
        before = queue.CollectiveSeconds();
      }
      EXPECT_EQ(member.backend.Finish(), OkStatus());
      EXPECT_EQ(queue.CollectiveSeconds(), before);
    });
  }
}

// What has gone wrong behind a sum is known to who waits for the device, and lasts.
TEST(RankSumTest, AnAsynchronousErrorEndsTheWait) {
  const testing::EnvironmentVariable error("NCCL_STAND_IN_LATE_ERROR", "1:1");
  for (const Numerics numerics : {Numerics::kExact, Numerics::kFast}) {
    OnRanks(2, By::kNccl, numerics, kCols, [](const Member& member) {
      const auto buffer = std::move(member.backend.Allocate(kCols * sizeof(float), "row")).value();
      const TensorView row = MakeTensor(buffer->data(), DType::kF32, 1, kCols);
      EXPECT_EQ(member.sum(row), OkStatus());
      const Status status = member.backend.Finish();
      if (member.communicator.rank() == 0) {
        EXPECT_EQ(status, OkStatus());
        return;
      }
      EXPECT_EQ(status.code(), StatusCode::kUnavailable);
      EXPECT_EQ(member.backend.Finish(), status);
      EXPECT_EQ(member.sum(row), status);
    });
  }
}

}  // namespace
}  // namespace phalanx
