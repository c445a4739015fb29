// Who sums over ranks where, and what a first sum shows before anything is served.
#include "worker/device_sums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "kernels/backend_factory.h"
#include "model/collectives_watch.h"
#include "parallel/thread_group.h"
#include "tests/testing/environment_variable.h"
#include "worker/liveness_judge.h"

namespace phalanx {
namespace {

using ::testing::EndsWith;
using testing::EnvironmentVariable;
using ::testing::HasSubstr;
using ::testing::StartsWith;
using Created = StatusOr<std::shared_ptr<DeviceCollectives>>;

void OnRanks(int size, const std::string& device, const DeviceSumsOptions& options,
             const std::function<void(const Created& collectives)>& body) {
  const auto group = MakeThreadGroup(size);
  std::vector<std::thread> threads;
  for (const auto& member : group) {
    threads.emplace_back([&] {
      const auto backend = std::move(CreateBackend({.device = device,
                                                    .device_memory_bytes = size_t{1} << 24,
                                                    .num_threads = 1}))
                               .value();
      body(CreateDeviceCollectives(options, *backend, *member));
    });
  }
  for (std::thread& thread : threads) thread.join();
}

const DeviceSumsOptions kNccl = {.by = DeviceSums::kNccl, .nccl_library = PHALANX_NCCL_STAND_IN};

TEST(DeviceSumsTest, OnlyGpusTakeNcclUnasked) {
  for (const DeviceSums by : {DeviceSums::kAuto, DeviceSums::kHost}) {
    for (const char* const device : {"cpu", "cuda-emulated"}) {
      OnRanks(2, device, {.by = by, .nccl_library = "/no/such/library"},
              [](const Created& created) {
                ASSERT_TRUE(created.ok()) << created.status();
                EXPECT_EQ(*created, nullptr);
              });
    }
  }
}

TEST(DeviceSumsTest, AnyNumberOfRanksMayAskForNccl) {
  for (const int size : {1, 2, 3}) {
    OnRanks(size, "cuda-emulated", kNccl, [&](const Created& created) {
      ASSERT_TRUE(created.ok()) << created.status();
      EXPECT_EQ((*created)->size(), size);
      EXPECT_EQ(OrderOfSums(created->get(), Numerics::kExact), "ordered");
      EXPECT_EQ(OrderOfSums(created->get(), Numerics::kFast), "nccl-2.18.0");
    });
  }
  EXPECT_EQ(OrderOfSums(nullptr, Numerics::kFast), "ordered");
}

TEST(DeviceSumsTest, CpusHaveNoMemoryForIt) {
  OnRanks(2, "cpu", kNccl, [](const Created& created) {
    EXPECT_EQ(created.status(),
              InvalidField("--communicator", "nccl", "auto, shm, mpi with --device cpu"));
  });
}

// NCCL refuses two ranks on one device, in words that few understand.
TEST(DeviceSumsTest, RanksThatShareAGpuSumInTheHostsMemory) {
  DeviceSumsOptions options = kNccl;
  options.ranks_per_gpu = 2;
  OnRanks(2, "cuda-emulated", options, [](const Created& created) {
    EXPECT_EQ(created.status(),
              InvalidField("--communicator", "nccl", "auto, shm, mpi with --ranks-per-gpu 2"));
  });
  options.by = DeviceSums::kAuto;
  OnRanks(2, "cuda-emulated", options, [](const Created& created) {
    ASSERT_TRUE(created.ok()) << created.status();
    EXPECT_EQ(*created, nullptr);
  });
}

TEST(DeviceSumsTest, AMissingLibraryIsTheSameErrorOnEveryRank) {
  DeviceSumsOptions options = kNccl;
  options.nccl_library = "/no/such/libnccl.so";
  OnRanks(2, "cuda-emulated", options, [](const Created& created) {
    EXPECT_EQ(created.status().field(), "--nccl-library");
    EXPECT_TRUE(
        created.status().message().starts_with("rank 0: --nccl-library: is /no/such/libnccl.so ("))
        << created.status();
  });
}

TEST(DeviceSumsTest, AWrongFirstSumIsTheSameErrorOnEveryRank) {
  const EnvironmentVariable wrong("NCCL_STAND_IN_WRONG", "1:1");
  OnRanks(2, "cuda-emulated", kNccl, [](const Created& created) {
    EXPECT_EQ(created.status(),
              InternalError("rank 1: nccl-2.18.0 sums the numbers from 1 to 2 over ranks to 4, "
                            "expected: 3"));
  });
}

TEST(DeviceSumsTest, AFirstSumThatHangsHasADeadlineOnEveryRank) {
  const EnvironmentVariable hang("NCCL_STAND_IN_HANG", "1:1");
  DeviceSumsOptions options = kNccl;
  options.init_timeout = std::chrono::milliseconds(200);
  OnRanks(2, "cuda-emulated", options, [](const Created& created) {
    EXPECT_EQ(created.status(),
              DeadlineExceededError("rank 0: NCCL 2.18.0 has not connected for its first "
                                    "all-reduce within 0.2 s"));
  });
}

// As a watchdog does that has found another rank dead.
TEST(DeviceSumsTest, AFirstSumThatHangsCanBeAborted) {
  const EnvironmentVariable hang("NCCL_STAND_IN_HANG", "0:1");
  CollectivesInUse in_use;
  DeviceSumsOptions options = kNccl;
  options.in_use = &in_use;
  options.init_timeout = std::chrono::milliseconds(30'000);
  std::atomic<bool> is_over = false;
  std::thread watchdog([&] {
    while (!is_over) {
      in_use.Abort(UnavailableError("another rank is lost"));
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  OnRanks(1, "cuda-emulated", options, [](const Created& created) {
    EXPECT_EQ(created.status(), UnavailableError("another rank is lost"));
  });
  is_over = true;
  watchdog.join();
}

TEST(DeviceSumsTest, AnErrorBehindTheFirstSumIsSeen) {
  const EnvironmentVariable error("NCCL_STAND_IN_LATE_ERROR", "0:1");
  OnRanks(2, "cuda-emulated", kNccl, [](const Created& created) {
    EXPECT_EQ(created.status().code(), StatusCode::kUnavailable);
    EXPECT_THAT(created.status().message(),
                EndsWith("remote process exited or there was a network error: this is the "
                         "stand-in for NCCL"));
  });
}

// What the judge of a rank says while that rank waits for its device.
class JudgingWatch final : public CollectivesWatch {
 public:
  JudgingWatch(DeviceQueue& queue, DeviceCollectives& collectives, const LivenessBoard& board)
      : CollectivesWatch(queue, collectives), board_(board) {}

  Status Check() override {
    using std::chrono::milliseconds;
    constexpr milliseconds kSilence{10'000};
    LivenessJudge judge(board_, {.silence = kSilence, .host = "here"});
    constexpr milliseconds kTick{200};
    for (milliseconds passed{0}; passed <= 2 * kSilence && verdict.empty(); passed += kTick) {
      for (int i = 0; i < board_.size(); ++i) ++board_.record(i).beats;
      const auto status = judge.Look(kTick, std::vector<bool>(2));
      if (status) verdict = status->message();
    }
    return CollectivesWatch::Check();
  }

  std::string verdict;

 private:
  const LivenessBoard& board_;
};

// Rank 1 has enqueued its part and then stands still; rank 0 waits for its device, where the sum
// is.
TEST(DeviceSumsTest, ARankThatWaitsForItsDeviceIsNotToBlame) {
  constexpr int kRanks = 2;
  const auto group = MakeThreadGroup(kRanks);
  const std::shared_ptr<SharedRegion> region = MakeHeapRegion(LivenessBoard::SizeBytes(kRanks));
  std::promise<void> stuck;
  std::promise<void> judged;
  const auto run = [&](Communicator& communicator) {
    const int rank = communicator.rank();
    const LivenessBoard board(region, rank, kRanks, rank, kRanks);
    const auto backend = std::move(CreateBackend({.device = "cuda-emulated",
                                                  .device_memory_bytes = size_t{1} << 24,
                                                  .num_threads = 1}))
                             .value();
    DeviceSumsOptions options = kNccl;
    options.board = &board;
    const auto collectives =
        std::move(CreateDeviceCollectives(options, *backend, communicator)).value();
    board.Publish(Activity::kForwardPass, 17, std::chrono::seconds(10));
    const auto data = std::move(backend->Allocate(sizeof(float), "data")).value();
    {
      const CollectiveScope scope(*backend->device_queue());
      EXPECT_EQ(collectives->AllReduceSum(static_cast<float*>(data->data()), 1), OkStatus());
    }
    if (rank == 1) {
      stuck.set_value();
      judged.get_future().wait();
      return;
    }
    stuck.get_future().wait();
    JudgingWatch watch(*backend->device_queue(), *collectives, board);
    EXPECT_EQ(backend->Finish(), OkStatus());
    EXPECT_THAT(watch.verdict, StartsWith("rank 1 (host here, pid "));
    EXPECT_THAT(watch.verdict, HasSubstr("has made no progress for 10.0 s in step 17"));
    judged.set_value();
  };
  std::vector<std::thread> threads;
  for (const auto& member : group) threads.emplace_back([&] { run(*member); });
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace phalanx
