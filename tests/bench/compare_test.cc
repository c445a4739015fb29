#include "bench/report/compare.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "bench/report/read_run.h"
#include "tests/bench/run_folder.h"

namespace phalanx::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

Summary With(std::vector<Figure> figures) {
  Summary summary;
  summary.figures = std::move(figures);
  return summary;
}

Figure Time(std::string name, double value) {
  return {.section = "Ops", .name = std::move(name), .value = value, .unit = "us"};
}

Figure Rate(std::string name, double value) {
  return {.section = "Decode",
          .name = std::move(name),
          .value = value,
          .unit = "tokens/s",
          .better = Better::kHigher};
}

TEST(CompareTest, OrdersByHowMuchFiguresMoved) {
  const Comparison result = Compare(
      With({Time("little", 100), Time("halved", 100), Rate("more", 100), Time("same", 5)}),
      With({Time("little", 102), Time("halved", 50), Rate("more", 150), Time("same", 5)}), 0.03);
  const size_t halved = result.text.find("halved"), more = result.text.find("more");
  ASSERT_NE(halved, std::string::npos);
  EXPECT_LT(halved, more);
  EXPECT_THAT(result.text, HasSubstr("0.500 faster"));
  EXPECT_THAT(result.text, HasSubstr("1.500 faster"));
  EXPECT_THAT(result.text, Not(HasSubstr("little")));
  EXPECT_THAT(result.text, HasSubstr("2 figures moved by more than 3 %, 2 by no more"));
  EXPECT_EQ(result.num_broken, 0);
}

TEST(CompareTest, SaysWhatIsSlowerAndWhatOnlyOneHas) {
  const Comparison result = Compare(With({Time("a", 1), Time("gone", 3), Time("zero", 0)}),
                                    With({Time("a", 2), Rate("new", 3), Time("zero", 1)}), 0.03);
  EXPECT_THAT(result.text, HasSubstr("2.000 slower"));
  EXPECT_THAT(result.text, HasSubstr("only in the old run (1):\n  Ops, gone, us"));
  EXPECT_THAT(result.text, HasSubstr("only in the new run (1):\n  Decode, new, tokens/s"));
  EXPECT_LT(result.text.find("Ops, zero"), result.text.find("Ops, a"));
}

TEST(CompareTest, ThresholdHoldsInBothDirections) {
  const Summary before = With({Time("up", 100), Time("down", 109)});
  const Summary after = With({Time("up", 109), Time("down", 100)});
  EXPECT_THAT(Compare(before, after, 0.1).text, HasSubstr("0 figures moved"));
  EXPECT_THAT(Compare(before, after, 0.08).text, HasSubstr("2 figures moved"));
}

TEST(CompareTest, OtherMachinesAreSaidFirst) {
  Summary before = With({Time("a", 1)});
  Summary after = With({Time("a", 2)});
  before.facts = {{"gpu", "NVIDIA H200"}, {"driver", "580"}};
  after.facts = {{"gpu", "NVIDIA L4"}, {"driver", "590"}};
  const std::string text = Compare(before, after, 0.03).text;
  EXPECT_THAT(text, HasSubstr("gpu was NVIDIA H200 and is NVIDIA L4"));
  EXPECT_LT(text.find("driver was 580 and is 590"), text.find("slower"));
}

TEST(CompareTest, WhatFailsNowIsCounted) {
  const RunFolder before, after;
  WriteGoodRun(before);
  WriteGoodRun(after);
  EXPECT_EQ(Compare(Summarize(before.Read()), Summarize(after.Read()), 0.03).num_broken, 0);
  after.Raw("models.json", TestsJson("logits differ"));
  after.Stage("models", "failed", "1 test");
  after.Stage("scaling", "failed", "it was skipped before");
  const Comparison result = Compare(Summarize(before.Read()), Summarize(after.Read()), 0.03);
  EXPECT_EQ(result.num_broken, 2);
  EXPECT_THAT(result.text, HasSubstr("fails now: stage models: 1 test"));
  EXPECT_THAT(result.text, HasSubstr("fails now: models S.breaks: logits differ"));
  EXPECT_EQ(Compare(Summarize(after.Read()), Summarize(after.Read()), 0.03).num_broken, 0);
}

TEST(CompareTest, AReportSaysWhatItsRunDoes) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Stage("hf", "failed", "differs");
  const Summary summary = Summarize(folder.Read());
  const auto read = ParseSummary(ToJson(summary).dump(), "report.json");
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(ToJson(*read).dump(1), ToJson(summary).dump(1));
  EXPECT_TRUE(HasFailed(*read));
}

TEST(CompareTest, RefusesWhatIsNoReport) {
  const RunFolder folder;
  const auto missing = ReadSummary(folder.path() / "gone");
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.status().message(), HasSubstr((folder.path() / "gone").string()));
  for (const char* text : {"", "{", "[]", "{}", R"({"format": 3})", "\xff"}) {
    EXPECT_FALSE(ParseSummary(text, "report.json").ok()) << text;
  }
  std::filesystem::remove_all(folder.path() / "raw");
  EXPECT_FALSE(ReadSummary(folder.path()).ok());
  std::ofstream(folder.path() / "report.json") << ToJson(With({Time("a", 1)})).dump();
  const auto read = ReadSummary(folder.path());
  ASSERT_TRUE(read.ok()) << read.status().message();
  EXPECT_EQ(read->figures.size(), 1);
}

}  // namespace
}  // namespace phalanx::report
