#include "bench/report/goals.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/report/text.h"
#include "tests/bench/run_folder.h"

namespace phalanx::report {
namespace {

using ::testing::Each;
using ::testing::Field;
using ::testing::HasSubstr;

Goal GoalOf(const RunFolder& folder, std::string_view name) {
  for (const Goal& goal : EvaluateGoals(folder.Read())) {
    if (goal.name.starts_with(name)) return goal;
  }
  ADD_FAILURE() << "no goal " << name;
  return {};
}

TEST(GoalsTest, AllAreMetByAGoodRun) {
  const RunFolder folder;
  WriteGoodRun(folder);
  for (const Goal& goal : EvaluateGoals(folder.Read())) {
    EXPECT_EQ(goal.state, GoalState::kMet) << goal.name << ": " << goal.found;
  }
}

TEST(GoalsTest, NoneIsMeasuredOnOtherDevices) {
  for (const char* facts : {R"({"device": "cuda-emulated", "gpu": "NVIDIA H200"})",
                            R"({"device": "cuda", "gpu": "L4"})", R"({"gpu": "NVIDIA H200"})",
                            R"({"device": "cuda"})", "{}", "no JSON"}) {
    const RunFolder folder;
    WriteGoodRun(folder);
    folder.Raw("limits.json", "{}");
    folder.Raw("facts.json", facts);
    EXPECT_THAT(EvaluateGoals(folder.Read()), Each(Field(&Goal::state, GoalState::kNotMeasured)))
        << facts;
  }
  EXPECT_THAT(AllGoals(), Each(Field(&Goal::state, GoalState::kNotMeasured)));
}

TEST(GoalsTest, OneEmulatedFileIsEnough) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("ops.json", OpsJson(1, "cuda-emulated"));
  EXPECT_THAT(EvaluateGoals(folder.Read()), Each(Field(&Goal::state, GoalState::kNotMeasured)));
}

TEST(GoalsTest, SlowDecodeIsNotMet) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("decode.jsonl", DecodeLine(239));
  EXPECT_EQ(GoalOf(folder, "Decode, 7B").state, GoalState::kNotMet);
  EXPECT_THAT(GoalOf(folder, "Decode, 7B").found, HasSubstr("239 tokens/s"));
  folder.Raw("decode.jsonl", R"({"model": "7B", "batch": 1, "error": "out of memory"})");
  EXPECT_EQ(GoalOf(folder, "Decode, 7B").state, GoalState::kNotMeasured);
}

TEST(GoalsTest, OtherDecodesDoNotCount) {
  const RunFolder folder;
  WriteGoodRun(folder);
  for (const auto& [from, to] : {std::pair{"none", "int8"},
                                 {"7b", "1.7b"},
                                 {"\"batch\": 1", "\"batch\": 2"},
                                 {"\"ranks\": 1", "\"ranks\": 2"},
                                 {"\"device\": \"cuda\"", "\"device\": \"cpu\""}}) {
    std::string line = DecodeLine(500);
    const size_t at = line.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    line.replace(at, std::string(from).size(), to);
    folder.Raw("decode.jsonl", line);
    EXPECT_EQ(GoalOf(folder, "Decode, 7B").state, GoalState::kNotMeasured) << to;
  }
}

TEST(GoalsTest, OneSlowShapeIsNotMetAndNamed) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("ops.json", OpsJson(1.05));
  const Goal gemv = GoalOf(folder, "GEMV");
  EXPECT_EQ(gemv.state, GoalState::kNotMet);
  EXPECT_THAT(gemv.found, HasSubstr("0 of 4 cases"));
  EXPECT_THAT(gemv.found, HasSubstr("linear 0.5B qkv BF16 rows=1"));
  EXPECT_EQ(GoalOf(folder, "Decode attention").state, GoalState::kMet);
}

TEST(GoalsTest, WrongShapesAreNotMet) {
  const RunFolder folder;
  WriteGoodRun(folder);
  std::string ops = OpsJson();
  const std::string none = R"("failures": [])";
  ops.replace(
      ops.find(none), none.size(),
      R"("failures": [{"op": "attention", "shape": "7B BF16 seqs=9 new=1", "error": "x"}])");
  folder.Raw("ops.json", ops);
  EXPECT_EQ(GoalOf(folder, "Decode attention").state, GoalState::kNotMet);
  EXPECT_EQ(GoalOf(folder, "GEMV").state, GoalState::kMet);
}

TEST(GoalsTest, ShapesOfOneModelAreNotEnough) {
  const RunFolder folder;
  WriteGoodRun(folder);
  std::string ops = OpsJson();
  for (size_t at = 0; (at = ops.find("\"7B", at)) != std::string::npos;) ops.replace(at, 3, "\"3B");
  folder.Raw("ops.json", ops);
  EXPECT_EQ(GoalOf(folder, "GEMV").state, GoalState::kNotMeasured);
}

TEST(GoalsTest, TestsMustHaveRun) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("models.json", R"({"tests": 0, "failures": 0, "testsuites": []})");
  EXPECT_EQ(GoalOf(folder, "Tests").state, GoalState::kNotMeasured);
  folder.Raw("models.json", TestsJson("differs"));
  EXPECT_EQ(GoalOf(folder, "Tests").state, GoalState::kNotMet);
  folder.Raw("models.json", TestsJson());
  folder.Stage("sanitizer", "failed", "race");
  EXPECT_EQ(GoalOf(folder, "Tests").state, GoalState::kNotMet);
}

TEST(GoalsTest, SizesOfModels) {
  EXPECT_TRUE(NamesSize("qwen2.5-7b-instruct", "7B"));
  EXPECT_TRUE(NamesSize("7B", "7B"));
  EXPECT_FALSE(NamesSize("qwen3-1.7B", "7B"));
  EXPECT_FALSE(NamesSize("17B", "7B"));
  EXPECT_FALSE(NamesSize("", "7B"));
}

}  // namespace
}  // namespace phalanx::report
