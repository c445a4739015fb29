#include "worker/step_cost.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

namespace phalanx {
namespace {

using std::chrono::milliseconds;
using std::chrono::nanoseconds;
using ::testing::AllOf;
using ::testing::Ge;
using ::testing::Le;

// A machine whose steps of n rows take a + b * n, and more work than fits.
class StepCostTest : public ::testing::Test {
 protected:
  void Decode(int32_t num_rows, nanoseconds time) {
    cost_.Add({.num_decodes = num_rows, .num_rows = num_rows, .time = time});
  }
  nanoseconds TimeOf(int32_t num_rows) {
    const double noise = std::normal_distribution<double>(1, noise_)(random_);
    return nanoseconds(std::llround(std::max(0.2, noise) * 1e6 * (step_ms_ + row_ms_ * num_rows)));
  }
  // As many sequences as may run; how many that is in the end.
  int32_t Saturate(int num_steps) {
    for (int i = 0; i < num_steps; ++i) {
      const int32_t num_rows = std::min(cost_.limit(), kMostSeqs);
      Decode(num_rows, TimeOf(num_rows));
    }
    return cost_.limit();
  }

  static constexpr int32_t kMostSeqs = 256;
  double step_ms_ = 6;
  double row_ms_ = 1;
  double noise_ = 0;
  std::mt19937 random_{1};
  StepCost cost_{4};
};

TEST_F(StepCostTest, ATokenTakesFourTimesWhatItTakesAlone) {
  // 4 + 3 * 6 sequences take 6 + 22 ms, one 7.
  EXPECT_THAT(Saturate(500), AllOf(Ge(21), Le(22)));
  row_ms_ = 2;
  EXPECT_THAT(Saturate(20'000), AllOf(Ge(12), Le(14))) << "rows have become dearer";
}

TEST_F(StepCostTest, WhereRowsAreAllThatCostsAsManyRunAsTheSlowdown) {
  step_ms_ = 0;
  EXPECT_EQ(Saturate(500), 4);
}

TEST_F(StepCostTest, RowsThatCostNothingAreNotLimited) {
  row_ms_ = 0;
  EXPECT_GE(Saturate(200), kMostSeqs);
  row_ms_ = 0.005;
  EXPECT_GE(Saturate(200), kMostSeqs);
}

TEST_F(StepCostTest, NoSlowdownIsNoLimit) {
  StepCost cost(0);
  EXPECT_EQ(cost.limit(), StepCost::kNoLimit);
  cost.Add({.num_decodes = 100, .num_rows = 100, .time = milliseconds(1000)});
  EXPECT_EQ(cost.limit(), StepCost::kNoLimit);
}

TEST_F(StepCostTest, NoiseDoesNotMatter) {
  noise_ = 0.3;
  Saturate(300);
  for (int i = 0; i < 100; ++i) EXPECT_THAT(Saturate(10), AllOf(Ge(13), Le(36)));
}

TEST_F(StepCostTest, AStepThatWasHeldUpDoesNotMatter) {
  Saturate(500);
  const int32_t before = cost_.limit();
  Decode(before, std::chrono::seconds(1));
  Decode(1, std::chrono::seconds(1));
  EXPECT_NEAR(cost_.limit(), before, 1);
}

TEST_F(StepCostTest, PromptsMakeTokensDearer) {
  Saturate(500);
  // An answer of 32 tokens for each prompt of 32, whose rows cost half of what tokens cost: a token
  // and its share of prompts take 1.5 ms, so 22 / 1.5 sequences.
  double owed = 0;
  for (int i = 0; i < 20'000; ++i) {
    const int32_t num_rows = cost_.limit();
    Decode(num_rows, TimeOf(num_rows));
    for (owed += num_rows; owed >= 32; owed -= 32) {
      cost_.Add({.num_decodes = num_rows,
                 .num_rows = num_rows + 32,
                 .time = TimeOf(num_rows) + milliseconds(16)});
    }
  }
  EXPECT_THAT(cost_.limit(), AllOf(Ge(14), Le(16)));
}

TEST_F(StepCostTest, LongPromptsLeaveAsManyAsTheSlowdown) {
  Saturate(500);
  for (int i = 0; i < 100; ++i) {
    cost_.Add({.num_decodes = 4, .num_rows = 2000, .time = milliseconds(2000)});
  }
  EXPECT_EQ(cost_.limit(), 4);
}

// Every answer is so short that each step has prefill.
TEST_F(StepCostTest, WhatIsNeverMeasuredIsNotLimitedForLong) {
  for (int i = 0; i < 200; ++i) {
    const int32_t num_decodes = std::min(cost_.limit(), kMostSeqs);
    cost_.Add({.num_decodes = num_decodes, .num_rows = 2 * num_decodes, .time = milliseconds(10)});
  }
  EXPECT_GE(cost_.limit(), kMostSeqs);
}

TEST_F(StepCostTest, AFewStepsAreNoReasonToRunManyMore) {
  row_ms_ = 0;
  EXPECT_LE(Saturate(10), 9) << "nine are tried before more than nine run";
  EXPECT_LE(Saturate(10), 19);
}

// A neighbour takes half of the machine while many run; what one takes alone is not seen again.
TEST_F(StepCostTest, ALimitThatHasBecomeTooLowRecovers) {
  for (int32_t num_rows = 1; num_rows <= 3; ++num_rows) {
    for (int i = 0; i < 10; ++i) Decode(num_rows, TimeOf(num_rows));
  }
  const double step_ms = step_ms_;
  const double row_ms = row_ms_;
  step_ms_ *= 4;
  row_ms_ *= 4;
  EXPECT_LE(Saturate(300), 10);
  EXPECT_GE(Saturate(30'000), 18) << "the neighbour stays";
  step_ms_ = step_ms;
  row_ms_ = row_ms;
  EXPECT_THAT(Saturate(60'000), AllOf(Ge(18), Le(30))) << "and goes";
}

}  // namespace
}  // namespace phalanx
