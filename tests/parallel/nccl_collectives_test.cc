// Ranks as threads, each with a communicator of the stand-in for NCCL, whose memory is the host's.
#include "parallel/nccl_collectives.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <thread>
#include <vector>

#include "parallel/thread_group.h"
#include "tests/parallel/collectives_checks.h"
#include "tests/testing/environment_variable.h"

namespace phalanx {
namespace {

using namespace testing_collectives;  // NOLINT(google-build-using-namespace)
using ::testing::AllOf;
using ::testing::EndsWith;
using testing::EnvironmentVariable;
using ::testing::HasSubstr;
using ::testing::StartsWith;

using Created = StatusOr<std::shared_ptr<DeviceCollectives>>;

NcclLibrary StandIn() {
  return std::move(NcclLibrary::Load(PHALANX_STAND_IN_DIR "/libnccl_stand_in.so")).value();
}

void OnRanks(int size, const NcclOptions& options,
             const std::function<void(int rank, Created collectives)>& body) {
  const auto group = MakeThreadGroup(size);
  std::vector<std::thread> threads;
  for (const auto& member : group) {
    threads.emplace_back([&] { body(member->rank(), CreateNcclCollectives(options, *member)); });
  }
  for (std::thread& thread : threads) thread.join();
}

void OnRanks(int size, const std::function<void(DeviceCollectives&)>& body) {
  OnRanks(size, {.library = StandIn()}, [&](int, Created collectives) {
    ASSERT_TRUE(collectives.ok()) << collectives.status();
    body(**collectives);
  });
}

// Whole numbers, so that every order of their sum gives the same bits.
std::vector<float> WholeNumbers(int rank, int64_t count) {
  std::vector<float> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>(static_cast<int>(i % 1000) - 500 + rank * 7);
  }
  return values;
}

constexpr int64_t kCounts[] = {0, 1, 3, 1023, 1024, 16383, 16384, 16385, 50000};

class NcclCollectivesTest : public ::testing::TestWithParam<int> {};

TEST_P(NcclCollectivesTest, SumsOverRanks) {
  OnRanks(GetParam(), [](DeviceCollectives& ranks) {
    EXPECT_EQ(ranks.name(), "nccl-2.18.0");
    for (const int64_t count : kCounts) {
      std::vector<float> data = WholeNumbers(ranks.rank(), count);
      std::vector<float> expected(data.size());
      for (int rank = 0; rank < ranks.size(); ++rank) {
        const std::vector<float> part = WholeNumbers(rank, count);
        for (size_t i = 0; i < part.size(); ++i) expected[i] += part[i];
      }
      ASSERT_EQ(ranks.AllReduceSum(data.data(), count), OkStatus());
      ExpectSameBits(data, expected);
    }
    EXPECT_EQ(ranks.Check(), OkStatus());
  });
}

TEST_P(NcclCollectivesTest, GathersInRankOrder) {
  OnRanks(GetParam(), [](DeviceCollectives& ranks) {
    for (const int64_t count : kCounts) {
      const std::vector<float> mine = Contribution(ranks.rank(), count, 5);
      std::vector<float> expected;
      for (int rank = 0; rank < ranks.size(); ++rank) {
        const std::vector<float> part = Contribution(rank, count, 5);
        expected.insert(expected.end(), part.begin(), part.end());
      }
      std::vector<float> all(expected.size(), -1.0F);
      ASSERT_EQ(ranks.AllGather(mine.data(), count, all.data()), OkStatus());
      ExpectSameBits(all, expected);
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Sizes, NcclCollectivesTest, ::testing::Values(1, 2, 3, 5));

// ------------------------------------------------------------------------------------------------

TEST(NcclInitTest, ARankThatDoesNotComeIsADeadline) {
  const EnvironmentVariable absent("NCCL_STAND_IN_ABSENT", "1");
  OnRanks(2, {.library = StandIn(), .init_timeout = std::chrono::milliseconds(200)},
          [](int, const Created& collectives) {
            EXPECT_EQ(collectives.status(),
                      DeadlineExceededError("NCCL 2.18.0 has not connected 2 ranks within 0.2 s"));
          });
}

TEST(NcclInitTest, AFirstCollectiveThatDoesNotConnectIsADeadline) {
  const EnvironmentVariable hang("NCCL_STAND_IN_HANG", "1:1");
  OnRanks(2, {.library = StandIn(), .init_timeout = std::chrono::milliseconds(200)},
          [](int, Created collectives) {
            float value = 1;
            const Status expected = DeadlineExceededError(
                "NCCL 2.18.0 has not connected for its first all-reduce within 0.2 s");
            EXPECT_EQ((*collectives)->AllReduceSum(&value, 1), expected);
            EXPECT_EQ((*collectives)->AllReduceSum(&value, 1), expected);
          });
}

TEST(NcclInitTest, ALibraryWithoutAnIdIsAnErrorOnEveryRank) {
  NcclLibrary broken = StandIn();
  broken.get_unique_id = [](nccl::UniqueId*) { return nccl::kSystemError; };
  OnRanks(2, {.library = broken}, [](int rank, const Created& collectives) {
    EXPECT_EQ(collectives.status().code(), StatusCode::kUnavailable);
    EXPECT_THAT(collectives.status().message(),
                rank == 0 ? StartsWith("NCCL 2.18.0 has no unique id: unhandled system")
                          : StartsWith("NCCL's unique id from rank 0 has 0 bytes"));
  });
}

TEST(NcclInitTest, AnErrorOfTheInitializationIsInNcclsWords) {
  NcclLibrary broken = StandIn();
  broken.comm_init_rank_config = [](nccl::Comm**, int, nccl::UniqueId, int, nccl::Config*) {
    return nccl::kInvalidUsage;
  };
  OnRanks(1, {.library = broken}, [](int, const Created& collectives) {
    EXPECT_THAT(collectives.status().message(),
                StartsWith("NCCL 2.18.0 cannot connect 1 ranks: invalid usage"));
  });
}

// ------------------------------------------------------------------------------------------------

// Rank 1 fails in its third collective. Rank 0, which waits for it there, is aborted by another
// thread, as by a watchdog.
TEST(NcclErrorTest, NamesRankAndCollectiveAndIsPermanent) {
  const EnvironmentVariable error("NCCL_STAND_IN_ERROR", "1:3");
  std::promise<Status> seen;
  const Status peer_lost = UnavailableError("rank 1 ended after an error");
  OnRanks(2, {.library = StandIn()}, [&](int rank, Created created) {
    DeviceCollectives& ranks = **created;
    std::vector<float> data(100);
    std::vector<float> gathered(200);
    ASSERT_EQ(ranks.AllReduceSum(data.data(), 100), OkStatus());
    ASSERT_EQ(ranks.AllGather(data.data(), 100, gathered.data()), OkStatus());
    std::thread watchdog;
    if (rank == 0) {
      watchdog = std::thread([&] {
        seen.get_future().wait();
        ranks.Abort(peer_lost);
      });
    }
    const Status status = ranks.AllReduceSum(data.data(), 77);
    if (rank == 1) {
      EXPECT_EQ(status.code(), StatusCode::kUnavailable);
      EXPECT_THAT(status.message(),
                  AllOf(StartsWith("NCCL 2.18.0, at or before collective 3 (all-reduce of "
                                   "77 floats): remote process exited"),
                        EndsWith("this is the stand-in for NCCL")));
      seen.set_value(status);
    } else {
      watchdog.join();
      EXPECT_EQ(status, peer_lost);
    }
    EXPECT_EQ(ranks.AllGather(data.data(), 100, gathered.data()), status);
    EXPECT_EQ(ranks.Check(), status);
    ranks.Abort(UnavailableError("again"));
    EXPECT_EQ(ranks.Check(), status);
  });
}

TEST(NcclErrorTest, AnErrorBehindACollectiveShowsToWhoWaits) {
  const EnvironmentVariable error("NCCL_STAND_IN_LATE_ERROR", "0:1");
  OnRanks(2, {.library = StandIn()}, [&](int rank, Created created) {
    std::vector<float> data(10);
    ASSERT_EQ((*created)->AllReduceSum(data.data(), 10), OkStatus());
    const Status status = (*created)->Check();
    if (rank == 1) {
      EXPECT_EQ(status, OkStatus());
      return;
    }
    EXPECT_THAT(status.message(),
                StartsWith("NCCL 2.18.0, at or before collective 1 (all-reduce of 10 "
                           "floats): remote process exited"));
  });
}

TEST(NcclErrorTest, AHangingRankIsSeenWaitingAndCanBeAborted) {
  const EnvironmentVariable hang("NCCL_STAND_IN_HANG", "0:2");
  const auto board = MakeLonelyLivenessBoard();
  OnRanks(1, {.library = StandIn(), .board = board.get()}, [&](int, Created created) {
    DeviceCollectives& ranks = **created;
    std::vector<float> data(10);
    ASSERT_EQ(ranks.AllReduceSum(data.data(), 10), OkStatus());
    EXPECT_EQ(board->mine().is_waiting, 0U);
    std::thread watchdog([&] {
      while (board->mine().collectives < 2 || board->mine().is_waiting == 0) {
        std::this_thread::yield();
      }
      ranks.Abort(UnavailableError("no progress"));
    });
    EXPECT_EQ(ranks.AllReduceSum(data.data(), 10), UnavailableError("no progress"));
    watchdog.join();
    EXPECT_EQ(board->mine().is_waiting, 0U);
  });
}

TEST(NcclWaitTest, WhoWaitsForTheDeviceIsSeenWaiting) {
  const auto board = MakeLonelyLivenessBoard();
  OnRanks(1, {.library = StandIn(), .board = board.get()}, [&](int, Created created) {
    const LivenessRecord& mine = board->mine();
    float value = 0;
    ASSERT_EQ((*created)->AllReduceSum(&value, 1), OkStatus());
    EXPECT_EQ(mine.is_waiting, 0U);
    (*created)->BeginWait();
    EXPECT_EQ(mine.is_waiting, 1U);
    EXPECT_EQ((*created)->Check(), OkStatus());
    EXPECT_EQ(mine.is_waiting, 1U);
    (*created)->EndWait();
    EXPECT_EQ(mine.is_waiting, 0U);
    // It has entered no other.
    EXPECT_EQ(mine.collectives, 1U);
  });
}

TEST(CollectivesInUseTest, AbortsThoseThatLive) {
  CollectivesInUse in_use;
  in_use.Abort(UnavailableError("before there are any"));
  OnRanks(1, {.library = StandIn()}, [&](int, Created created) {
    in_use.Set(*created);
    in_use.Abort(UnavailableError("the end"));
    EXPECT_EQ((*created)->Check(), UnavailableError("the end"));
  });
  in_use.Abort(UnavailableError("after they are gone"));
}

}  // namespace
}  // namespace phalanx
