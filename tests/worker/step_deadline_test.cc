#include "worker/step_deadline.h"

#include <gtest/gtest.h>

namespace phalanx {
namespace {

using std::chrono::milliseconds;

StepPlan PlanOf(size_t rows, int32_t start_position) {
  SequenceWork work;
  work.start_position = start_position;
  work.tokens.assign(rows, 1);
  return {.inits = {}, .work = {work}};
}

TEST(StepDeadlineTest, LongStepsGetMoreThanTheBase) {
  const StepDeadline deadline{
      .base = milliseconds(1000), .seconds_per_row = 0.01, .seconds_per_position = 0.0001};
  EXPECT_EQ(deadline.For({}), milliseconds(1000));
  // 20 * 100 rows * 10 ms, and 20 * 100 rows * 100 positions * 0.1 ms.
  EXPECT_EQ(deadline.For(PlanOf(100, 0)), milliseconds(1000 + 20'000 + 20'000));
  EXPECT_EQ(deadline.For(PlanOf(1, 9'999)), milliseconds(1000 + 200 + 20'000));
}

TEST(StepDeadlineTest, WithoutABaseThereIsNoLimit) {
  const StepDeadline deadline{.base = milliseconds(0), .seconds_per_row = 1};
  EXPECT_EQ(deadline.For(PlanOf(100, 0)), milliseconds(0));
}

TEST(StepDeadlineTest, AssumesWhatAFasterInstructionSetDoes) {
  EXPECT_GT(AssumedCoreRate("amx"), AssumedCoreRate("avx512"));
  EXPECT_GT(AssumedCoreRate("avx512"), AssumedCoreRate("avx2"));
  EXPECT_GT(AssumedCoreRate("avx2"), AssumedCoreRate("portable"));
  EXPECT_GT(AssumedCoreRate("portable"), AssumedCoreRate("emulated"));
  EXPECT_EQ(AssumedRankRate("cpu", "avx2", 6), 6 * AssumedCoreRate("avx2"));
  EXPECT_EQ(AssumedRankRate("cuda-emulated", "emulated", 2), 2 * AssumedCoreRate("emulated"));
  Qwen2Config tiny;
  tiny.hidden_size = 8;
  tiny.intermediate_size = 16;
  tiny.num_layers = 2;
  tiny.num_heads = 2;
  tiny.num_kv_heads = 1;
  tiny.head_dim = 4;
  // Per layer: q and o 8 x 8 each, k and v 8 x 4 each, three 8 x 16; two FLOP per weight.
  EXPECT_EQ(RowFlop(tiny), 2 * 2.0 * (8 * 8 * 2 + 8 * 4 * 2 + 3 * 8 * 16));
  EXPECT_EQ(PositionFlop(tiny), 4.0 * 2 * 2 * 4);
}

TEST(StepDeadlineTest, AGpuIsAsFastBesideFewCpus) {
  EXPECT_EQ(AssumedRankRate("cuda", "sm_90", 1), AssumedRankRate("cuda", "sm_90", 64));
  EXPECT_GT(AssumedRankRate("cuda", "sm_80", 1), AssumedRankRate("cpu", "amx", 64));
}

}  // namespace
}  // namespace phalanx
