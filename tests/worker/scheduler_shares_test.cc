// Who makes way where the places are shared.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "tests/worker/scheduler_driver.h"

namespace phalanx {
namespace {

using ::testing::ElementsAre;
using ::testing::Pair;

class SchedulerSharesTest : public ::testing::Test {
 protected:
  static SchedulerConfig Config() {
    SchedulerConfig config = SmallConfig();
    config.limits.num_blocks = 64;
    config.limits.max_model_len = 120;
    return config;
  }
  static EngineRequest Of(uint64_t share, uint64_t id, int32_t num_prompt = 3,
                          int32_t max_tokens = 50) {
    EngineRequest request = Request(id, num_prompt, max_tokens, 100 + static_cast<int32_t>(id));
    request.share = share;
    return request;
  }
  // Whose sequences are in the last plan, and how many.
  static std::map<uint64_t, int32_t> RunningOf(const Driver& driver,
                                               const std::map<uint64_t, uint64_t>& share_of) {
    std::map<uint64_t, int32_t> running;
    for (const auto& [id, share] : share_of) {
      if (driver.TokensOf(id) > 0) ++running[share];
    }
    return running;
  }
};

TEST_F(SchedulerSharesTest, LongAnswersOfOneMakeWayForAnother) {
  Driver driver(Config());
  for (uint64_t id = 1; id <= 6; ++id) driver.Add(Of(1, id));
  driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_running, 4) << "a share alone has all places";
  driver.Add(Of(2, 7, 3, 4));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(7), 3) << "at once";
  EXPECT_EQ(driver.TokensOf(4), 0) << "the last of those that run";
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 1);
  EXPECT_EQ(driver.scheduler().stats().num_preemptions, 0);
  while (driver.TokensOf(7) > 0) driver.Step();
  EXPECT_GT(driver.TokensOf(4), 0) << "before those that never ran";
}

TEST_F(SchedulerSharesTest, OneOfTwoMakesWay) {
  Driver driver(Config());
  driver.scheduler().LimitRunning(2);
  for (uint64_t id = 1; id <= 3; ++id) driver.Add(Of(1, id));
  driver.Step();
  driver.Add(Of(2, 4));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(4), 3);
  EXPECT_GT(driver.TokensOf(1), 0);
  for (int step = 0; step < 5; ++step) driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 1);
}

TEST_F(SchedulerSharesTest, NobodyMakesWayForAsManyAsItHas) {
  Driver driver(Config());
  const std::map<uint64_t, uint64_t> share_of = {{1, 1}, {2, 1}, {3, 1}, {4, 1},
                                                 {5, 2}, {6, 2}, {7, 2}, {8, 2}};
  for (const auto& [id, share] : share_of) driver.Add(Of(share, id));
  for (int step = 0; step < 30; ++step) driver.Step();
  EXPECT_THAT(RunningOf(driver, share_of), ElementsAre(Pair(1, 2), Pair(2, 2)));
  EXPECT_LE(driver.scheduler().stats().num_made_way, 2);

  Driver later(Config());
  for (const auto& [id, share] : share_of) {
    if (share == 1) later.Add(Of(share, id));
  }
  later.Step();
  for (const auto& [id, share] : share_of) {
    if (share == 2) later.Add(Of(share, id));
  }
  for (int step = 0; step < 30; ++step) later.Step();
  EXPECT_THAT(RunningOf(later, share_of), ElementsAre(Pair(1, 2), Pair(2, 2)));
  EXPECT_EQ(later.scheduler().stats().num_made_way, 2) << "and none of them twice";
}

TEST_F(SchedulerSharesTest, WhoHasFewerIsNextBeforeWhoIsDueEarlier) {
  Driver driver(Config());
  for (uint64_t id = 1; id <= 5; ++id) driver.Add(Of(1, id, 3, id == 1 ? 4 : 50));
  driver.Step();
  EngineRequest late = Of(2, 6);
  late.fair_start = 1000;
  driver.Add(late);
  driver.Step();
  EXPECT_EQ(driver.TokensOf(6), 3);
  EXPECT_EQ(driver.TokensOf(5), 0);
}

// A key that sends one long prompt after the other has had more than those whose answers run.
TEST_F(SchedulerSharesTest, WhoHasHadMoreTokensHasNoClaim) {
  Driver driver(Config());
  for (uint64_t id = 1; id <= 4; ++id) driver.Add(Of(1, id, 3, 30));
  driver.Step();
  driver.Add(Of(2, 5, 48, 1));
  driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 1);
  EXPECT_GT(driver.TokensOf(5), 0);
  while (driver.TokensOf(5) > 0) driver.Step();
  driver.Add(Of(2, 6, 48, 1));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(6), 0);
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 1);
  while (driver.TokensOf(6) == 0) driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 2) << "when the others have had as many";
}

// One that was busy while nobody else was there owes nothing to who comes later.
TEST_F(SchedulerSharesTest, WhatOneHadWhileAloneDoesNotCount) {
  Driver driver(Config());
  for (uint64_t id = 1; id <= 20; ++id) driver.Add(Of(1, id, 40, 20));
  while (driver.scheduler().HasWork()) driver.Step();
  for (uint64_t id = 21; id <= 24; ++id) driver.Add(Of(2, id, 3, 80));
  driver.Step();
  driver.Add(Of(1, 25, 3, 4));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(25), 3);
}

// Nor does it owe more than one longest request to those who were there.
TEST_F(SchedulerSharesTest, DebtsAreBounded) {
  SchedulerConfig config = Config();
  config.limits.max_model_len = 100;
  Driver driver(config);
  driver.scheduler().LimitRunning(3);
  uint64_t id = 0;
  driver.Add(Of(3, ++id, 3, 90));
  for (int i = 0; i < 4; ++i) driver.Add(Of(1, ++id, 60, 10));
  while (driver.scheduler().stats().num_running + driver.scheduler().stats().num_waiting > 1) {
    driver.Step();
  }
  for (int i = 0; i < 3; ++i) driver.Add(Of(2, ++id, 3, 90));
  driver.Step();
  const uint64_t late = ++id;
  driver.Add(Of(1, late, 3, 4));
  int steps = 0;
  while (driver.TokensOf(late) == 0) {
    driver.Step();
    ++steps;
  }
  EXPECT_LE(steps, 100);
}

// The one with the most places has had less: another makes way.
TEST_F(SchedulerSharesTest, WhoLeadsInBothMakesWay) {
  SchedulerConfig config = Config();
  config.limits.max_num_seqs = 5;
  Driver driver(config);
  for (uint64_t id = 1; id <= 3; ++id) driver.Add(Of(1, id, 1, 80));
  driver.Add(Of(2, 4, 40, 60));
  driver.Add(Of(2, 5, 40, 60));
  for (int step = 0; step < 8; ++step) driver.Step();
  driver.Add(Of(3, 6, 30, 1));
  driver.Step();
  EXPECT_GT(driver.TokensOf(6), 0);
  while (driver.TokensOf(6) > 0) driver.Step();
  EXPECT_EQ(driver.TokensOf(3), 1) << "three run of the first again";
  driver.Add(Of(3, 7));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(5), 0);
  EXPECT_GT(driver.TokensOf(7), 0);
}

TEST_F(SchedulerSharesTest, AClaimThatNoRoomCanBeMadeForHoldsUpNoOther) {
  SchedulerConfig config = Config();
  config.limits.num_blocks = 15;
  Driver driver(config);
  driver.scheduler().LimitRunning(2);
  driver.Add(Of(1, 1, 15, 12));
  driver.Add(Of(1, 2, 15, 12));
  for (int step = 0; step < 3; ++step) driver.Step();
  driver.Add(Of(2, 3, 50, 2));
  driver.Add(Of(3, 4, 3, 2));
  driver.Step();
  EXPECT_GT(driver.TokensOf(4), 0);
  EXPECT_EQ(driver.TokensOf(3), 0);
}

TEST_F(SchedulerSharesTest, OneMakesWayForOneAlsoBeyondALowerLimit) {
  Driver driver(Config());
  for (uint64_t id = 1; id <= 4; ++id) driver.Add(Of(1, id));
  driver.Step();
  driver.scheduler().LimitRunning(2);
  driver.Add(Of(2, 5));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(5), 3);
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 1);
  EXPECT_EQ(driver.scheduler().stats().num_running, 4);
}

TEST_F(SchedulerSharesTest, BlocksAreClaimedAsPlacesAre) {
  SchedulerConfig config = Config();
  config.limits.num_blocks = 15;  // three of four blocks and one to go on with
  Driver driver(config);
  for (uint64_t id = 1; id <= 3; ++id) driver.Add(Of(1, id, 15, 6));
  for (int step = 0; step < 3; ++step) driver.Step();
  ASSERT_EQ(driver.scheduler().stats().num_running, 3);
  driver.Add(Of(2, 4, 10, 2));
  driver.Step();
  EXPECT_GT(driver.TokensOf(4), 0);
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 1);
}

// What would need more than the lead of others has to wait, and nobody goes in vain.
TEST_F(SchedulerSharesTest, NobodyGoesWhereThatIsNotEnough) {
  SchedulerConfig config = Config();
  config.limits.num_blocks = 12;
  Driver driver(config);
  driver.Add(Of(1, 1, 15, 12));
  driver.Add(Of(1, 2, 15, 12));
  for (int step = 0; step < 3; ++step) driver.Step();
  ASSERT_EQ(driver.scheduler().stats().num_running, 2);
  driver.Add(Of(2, 3, 36, 2));
  driver.Step();
  EXPECT_EQ(driver.scheduler().stats().num_made_way, 0);
  EXPECT_EQ(driver.scheduler().stats().num_running, 2);
  while (driver.scheduler().HasWork()) driver.Step();
}

TEST_F(SchedulerSharesTest, PriorityKnowsNoShares) {
  SchedulerConfig config = Config();
  config.policy = SchedulingPolicy::kPriority;
  Driver driver(config);
  for (uint64_t id = 1; id <= 4; ++id) driver.Add(Of(1, id));
  driver.Step();
  driver.Add(Of(2, 5));
  driver.Step();
  EXPECT_EQ(driver.TokensOf(5), 0);
}

// Nine that ask for a little over and over again beside one with long answers: these go on, in
// order, and each of the nine costs at most one that makes way.
TEST_F(SchedulerSharesTest, WhoMakesWayGetsOn) {
  Driver driver(Config());
  for (uint64_t id = 1; id <= 8; ++id) driver.Add(Of(100, id, 3, 40));
  uint64_t next_id = 9;
  int64_t num_small = 0;
  std::map<uint64_t, uint64_t> waiting_of;  // by share, its request
  std::vector<uint64_t> finished;
  for (int step = 0; finished.size() < 8; ++step) {
    ASSERT_LT(step, 2000);
    for (uint64_t share = 1; share <= 2; ++share) {
      if (waiting_of.contains(share)) continue;
      waiting_of[share] = next_id;
      driver.Add(Of(share, next_id, 2, 3));
      ++next_id;
      ++num_small;
    }
    for (const TokenOutput& output : driver.Step()) {
      if (output.finish == FinishReason::kNone) continue;
      if (output.request <= 8) {
        finished.push_back(output.request);
      } else {
        std::erase_if(waiting_of, [&](const auto& w) { return w.second == output.request; });
      }
    }
  }
  EXPECT_THAT(finished, ElementsAre(1, 2, 3, 4, 5, 6, 7, 8));
  EXPECT_LE(driver.scheduler().stats().num_made_way, num_small);
}

}  // namespace
}  // namespace phalanx
