#include "kernels/cuda/emulation/race_detector.h"

#include <gtest/gtest.h>

#include <numeric>

namespace phalanx::cuda::emulation {
namespace {

constexpr int kThreads = 96;

class RaceDetectorTest : public ::testing::Test {
 protected:
  RaceDetectorTest() { races_.BeginBlock(1, 1, kThreads); }

  void JoinAll() { Join(0, kThreads); }
  void JoinWarp(int warp) { Join(32 * warp, 32 * (warp + 1)); }
  bool Read(int thread) { return races_.OnRead(record_, thread).has_value(); }
  bool Write(int thread) { return races_.OnWrite(record_, thread).has_value(); }

  RaceDetector races_;
  AccessRecord record_;

 private:
  void Join(int first, int end) {
    std::vector<uint16_t> threads(static_cast<size_t>(end - first));
    std::iota(threads.begin(), threads.end(), static_cast<uint16_t>(first));
    races_.Join(threads);
  }
};

TEST_F(RaceDetectorTest, AThreadIsOrderedWithItself) {
  EXPECT_FALSE(Write(1));
  EXPECT_FALSE(Read(1));
  EXPECT_FALSE(Write(1));
}

TEST_F(RaceDetectorTest, ReadersDoNotRace) {
  EXPECT_FALSE(Read(1));
  EXPECT_FALSE(Read(70));
  EXPECT_FALSE(Read(1));
}

TEST_F(RaceDetectorTest, AWriteRacesWithAReadAndAWrite) {
  EXPECT_FALSE(Write(1));
  EXPECT_TRUE(Read(2));
  EXPECT_TRUE(Write(3));
}

TEST_F(RaceDetectorTest, AWriteRacesWithEachOfSeveralReaders) {
  for (const int reader : {2, 40, 90}) {
    record_ = {};
    JoinAll();
    for (const int thread : {2, 40, 90}) EXPECT_FALSE(Read(thread));
    EXPECT_TRUE(Write(reader)) << "the other two";
  }
}

TEST_F(RaceDetectorTest, ABarrierOrders) {
  EXPECT_FALSE(Write(1));
  JoinAll();
  EXPECT_FALSE(Read(2));
  EXPECT_FALSE(Read(80));
  JoinAll();
  EXPECT_FALSE(Write(5));
}

TEST_F(RaceDetectorTest, AWarpsBarrierOrdersTheWarpAlone) {
  EXPECT_FALSE(Write(1));
  JoinWarp(0);
  EXPECT_FALSE(Read(2));
  JoinWarp(1);
  EXPECT_TRUE(Read(33));
}

TEST_F(RaceDetectorTest, OrderIsHandedOn) {
  EXPECT_FALSE(Write(1));
  races_.Join(std::vector<uint16_t>{1, 40});
  races_.Join(std::vector<uint16_t>{40, 90});
  EXPECT_FALSE(Read(90));
  EXPECT_TRUE(Read(91));
}

TEST_F(RaceDetectorTest, WarpsWithDifferentlyManyBarriersMeet) {
  for (int i = 0; i < 10; ++i) JoinWarp(2);
  EXPECT_FALSE(Read(3));
  EXPECT_FALSE(Read(70));
  JoinAll();
  EXPECT_FALSE(Write(40));
  EXPECT_FALSE(Write(40));
}

TEST_F(RaceDetectorTest, BlocksOfALaunchRaceAndLaunchesDoNot) {
  EXPECT_FALSE(Write(1));
  races_.BeginBlock(2, 1, kThreads);
  EXPECT_TRUE(Read(1));
  record_ = {};
  EXPECT_FALSE(Read(1));
  races_.BeginBlock(3, 1, kThreads);
  EXPECT_FALSE(Read(1));
  EXPECT_TRUE(Write(1)) << "block 2 has read it";
  races_.BeginBlock(4, 4, kThreads);
  EXPECT_FALSE(Write(1));
}

}  // namespace
}  // namespace phalanx::cuda::emulation
