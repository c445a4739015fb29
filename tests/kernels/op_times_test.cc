// The table of what ops took.
#include "kernels/base/op_times.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phalanx {
namespace {

TEST(OpTimesTest, LayersOfOneWeightAreOneOp) {
  EXPECT_EQ(OpName("add", ""), "add");
  EXPECT_EQ(OpName("linear", "model.layers.17.mlp.down_proj.weight"),
            "linear model.layers.*.mlp.down_proj.weight");
  EXPECT_EQ(OpName("linear", "lm_head.weight"), "linear lm_head.weight");
  EXPECT_EQ(OpName("linear", "layers.17"), "linear layers.17");
}

TEST(OpTimesTest, TheLongestComesFirst) {
  OpTimes times;
  times.Add("short", 0.25);
  times.Add("long", 0.5);
  times.Add("short", 0.125);
  times.Add("long", 0.5);
  EXPECT_THAT(times.table(), ::testing::ElementsAre(::testing::FieldsAre("long", 2, 1.0),
                                                    ::testing::FieldsAre("short", 2, 0.375)));
}

TEST(OpTimesTest, SharesAreOfStepsWhereTheyWereTimed) {
  const std::vector<OpTime> ops = {{"linear", 4, 0.003}, {"add", 2, 0.001}};
  EXPECT_THAT(
      FormatOpTimes(ops),
      ::testing::ElementsAre("linear         4 calls       3.000 ms      750.00 us each  75.0 %",
                             "add            2 calls       1.000 ms      500.00 us each  25.0 %"));
  std::vector<OpTime> with_steps = {{"step", 1, 0.006}};
  with_steps.insert(with_steps.end(), ops.begin(), ops.end());
  EXPECT_THAT(
      FormatOpTimes(with_steps),
      ::testing::ElementsAre("step           1 calls       6.000 ms     6000.00 us each 100.0 %",
                             "linear         4 calls       3.000 ms      750.00 us each  50.0 %",
                             "add            2 calls       1.000 ms      500.00 us each  16.7 %"));
  EXPECT_TRUE(FormatOpTimes({}).empty());
}

TEST(OpTimesTest, NothingIsTimedWhereNobodyAsked) {
  { const ScopedOpTime timed(nullptr, "op"); }
  OpTimes times;
  { const ScopedOpTime timed(&times, "op", "w"); }
  ASSERT_EQ(times.table().size(), 1u);
  EXPECT_EQ(times.table()[0].name, "op w");
  EXPECT_EQ(times.table()[0].calls, 1);
  EXPECT_GE(times.table()[0].seconds, 0);
}

}  // namespace
}  // namespace phalanx
