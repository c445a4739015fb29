#include "parallel/liveness.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "parallel/thread_group.h"
#include "parallel/watched_communicator.h"

namespace phalanx {
namespace {

using std::chrono::milliseconds;

TEST(LivenessBoardTest, RanksSeeWhatEachPublishes) {
  const auto region = MakeHeapRegion(LivenessBoard::SizeBytes(2));
  const LivenessBoard first(region, 0, 2, 4, 6);
  const LivenessBoard second(region, 1, 2, 5, 6);
  second.Publish(Activity::kSampling, 12, milliseconds(3000));
  const LivenessRecord& seen = first.record(1);
  EXPECT_EQ(seen.rank, 5);
  EXPECT_EQ(seen.pid, getpid());
  EXPECT_EQ(seen.activity, static_cast<uint32_t>(Activity::kSampling));
  EXPECT_EQ(seen.step, 12U);
  EXPECT_EQ(seen.pace.load().allowed_ms, 3000U);
  EXPECT_EQ(seen.pace.load().progress, 1U);
  EXPECT_EQ(first.record(0).pace.load().progress, 0U);
  first.RequestStop();
  EXPECT_TRUE(second.stop_requested());
  EXPECT_FALSE(second.is_ended());
  second.MarkEnded();
  EXPECT_TRUE(first.is_ended());
}

TEST(LivenessBoardTest, ATimeBeyondTheWordIsTheLongest) {
  const auto board = MakeLonelyLivenessBoard();
  board->Publish(Activity::kForwardPass, 0, std::chrono::hours(24 * 365));
  EXPECT_EQ(board->mine().pace.load().allowed_ms, 0xffffffffU);
}

TEST(WatchedCommunicatorTest, ShowsWhoWaitsAndWhoIsBehind) {
  const auto group = MakeThreadGroup(2);
  const auto region = MakeHeapRegion(LivenessBoard::SizeBytes(2));
  const LivenessBoard board0(region, 0, 2, 0, 2);
  const LivenessBoard board1(region, 1, 2, 1, 2);
  const auto rank0 = MakeWatchedCommunicator(*group[0], board0);
  const auto rank1 = MakeWatchedCommunicator(*group[1], board1);
  EXPECT_EQ(rank1->name(), group[1]->name());
  EXPECT_EQ(rank1->rank(), 1);
  EXPECT_EQ(rank1->size(), 2);

  std::thread waiting([&] { EXPECT_TRUE(rank0->Barrier().ok()); });
  while (board1.record(0).is_waiting == 0) std::this_thread::yield();
  EXPECT_EQ(board1.record(0).collectives, 1U);
  EXPECT_EQ(board1.mine().collectives, 0U);
  EXPECT_TRUE(rank1->Barrier().ok());
  waiting.join();
  EXPECT_EQ(board1.record(0).is_waiting, 0U);
  EXPECT_EQ(board1.mine().collectives, 1U);
}

TEST(WatchedCommunicatorTest, PassesDataOn) {
  const auto group = MakeThreadGroup(2);
  const auto board = MakeLonelyLivenessBoard();
  const auto rank0 = MakeWatchedCommunicator(*group[0], *board);
  std::thread peer([&] {
    float value = 2;
    EXPECT_TRUE(group[1]->AllReduceSum(MakeTensor(&value, DType::kF32, 1, 1)).ok());
    const auto send = std::byte{7};
    std::byte received[2];
    EXPECT_TRUE(group[1]->AllGather({&send, 1}, received).ok());
    std::string message;
    EXPECT_TRUE(group[1]->Broadcast(message).ok());
    EXPECT_EQ(message, "plan");
    EXPECT_TRUE(group[1]->Barrier().ok());
  });
  float value = 1;
  EXPECT_TRUE(rank0->AllReduceSum(MakeTensor(&value, DType::kF32, 1, 1)).ok());
  EXPECT_EQ(value, 3.0F);
  const auto send = std::byte{5};
  std::byte received[2];
  EXPECT_TRUE(rank0->AllGather({&send, 1}, received).ok());
  EXPECT_EQ(received[1], std::byte{7});
  std::string message = "plan";
  EXPECT_TRUE(rank0->Broadcast(message).ok());
  EXPECT_EQ(rank0->stats().calls, 2);
  EXPECT_TRUE(rank0->Barrier().ok());
  peer.join();
  rank0->Abort(InternalError("over"));
  EXPECT_EQ(group[1]->Barrier().message(), "rank 0 ended the group: over");
}

}  // namespace
}  // namespace phalanx
