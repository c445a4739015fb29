#include "client/bench_compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace phalanx {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kBefore[] =
    R"({"model": "m", "num_prompts": 8, "request_rate": 2.0, "completed": 8, "failed": 0,
  "request_throughput": 2.0, "mean_ttft_ms": 50.0, "only_before": 1})";
constexpr char kAfter[] =
    R"({"model": "m", "num_prompts": 8, "request_rate": 4.0, "completed": 8, "failed": 0,
  "request_throughput": 3.0, "mean_ttft_ms": 25, "only_after": 1})";

TEST(BenchCompareTest, FiguresOfBothWithTheirRatio) {
  const auto before = ParseBenchResult("a.json", kBefore);
  const auto after = ParseBenchResult("b.json", kAfter);
  ASSERT_TRUE(before.ok() && after.ok());
  const std::string table = CompareBenchResults(*before, *after);
  EXPECT_THAT(table, HasSubstr("not the same: request_rate was 2.0 and is 4.0\n"));
  EXPECT_THAT(table, Not(HasSubstr("not the same: num_prompts")));
  EXPECT_THAT(table, HasSubstr("request_throughput               2.00         3.00    1.500\n"));
  EXPECT_THAT(table, HasSubstr("mean_ttft_ms                    50.00        25.00    0.500\n"));
  EXPECT_THAT(table, HasSubstr("failed                           0.00         0.00        -\n"));
  EXPECT_THAT(table, Not(HasSubstr("only")));
  EXPECT_THAT(CompareBenchResults(*before, *before), Not(HasSubstr("not the same")));
}

TEST(BenchCompareTest, WhatIsNoResultIsNamed) {
  for (const char* text : {"", "[]", "{", "{\"a\": 1}", "{\"request_throughput\": 1"}) {
    EXPECT_EQ(ParseBenchResult("x.json", text).status().ToString(),
              "INVALID_ARGUMENT: --compare: x.json is no result, allowed: what bench --json wrote")
        << text;
  }
}

}  // namespace
}  // namespace phalanx
