#include "client/bench_report.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cmath>

namespace phalanx {
namespace {

TEST(BenchReportTest, SummaryOfKnownValues) {
  const Summary summary = Summarize({4, 1, 3, 2});
  EXPECT_DOUBLE_EQ(summary.mean, 2.5);
  EXPECT_DOUBLE_EQ(summary.median, 2.5);
  EXPECT_DOUBLE_EQ(summary.std, std::sqrt(1.25));
  EXPECT_NEAR(summary.p99, 3.97, 1e-12);
  EXPECT_EQ(Summarize({}).mean, 0);
}

TEST(BenchReportTest, TimesOfAStream) {
  using std::chrono::milliseconds;
  StreamedAnswer answer;
  answer.sent = StreamedAnswer::Clock::time_point{};
  for (const int ms : {10, 20, 40}) answer.arrivals.push_back(answer.sent + milliseconds(ms));
  v1::Choice& choice = *answer.response.add_choices();
  for (int i = 0; i < 3; ++i) choice.add_token_ids(i);
  answer.response.mutable_usage()->set_prompt_tokens(5);
  StreamedAnswer failed;
  failed.status = UnavailableError("gone");

  const auto report = MakeBenchReport({answer, failed}, 2.0, {.ttft_ms = 15, .tpot_ms = 15});
  EXPECT_EQ(report["completed"], 1);
  EXPECT_EQ(report["failed"], 1);
  EXPECT_DOUBLE_EQ(report["request_throughput"], 0.5);
  EXPECT_DOUBLE_EQ(report["request_goodput"], 0.5);
  EXPECT_DOUBLE_EQ(report["output_throughput"], 1.5);
  EXPECT_DOUBLE_EQ(report["mean_ttft_ms"], 10);
  EXPECT_DOUBLE_EQ(report["mean_tpot_ms"], 15);
  EXPECT_DOUBLE_EQ(report["median_itl_ms"], 15);
  EXPECT_DOUBLE_EQ(report["p99_e2el_ms"], 40);
  EXPECT_DOUBLE_EQ(MakeBenchReport({answer}, 2.0, {.ttft_ms = 9})["request_goodput"], 0);
}

}  // namespace
}  // namespace phalanx
