#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/report/json_reader.h"
#include "bench/report/read_run.h"
#include "bench/report/text.h"
#include "tests/bench/run_folder.h"

namespace phalanx::report {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(ReadRunTest, NamesAFolderThatIsNotThere) {
  const auto run = ReadRun("/no/such/run");
  ASSERT_FALSE(run.ok());
  EXPECT_THAT(run.status().message(), HasSubstr("/no/such/run"));
}

TEST(ReadRunTest, AnEmptyRunHasOnlyStagesThatDidNotRun) {
  const RunFolder folder;
  const RunData run = folder.Read();
  EXPECT_THAT(run.stages, SizeIs(14));
  for (const Stage& stage : run.stages) EXPECT_EQ(stage.state, StageState::kNotRun);
  EXPECT_THAT(run.notes, IsEmpty());
  std::filesystem::remove_all(folder.path() / "raw");
  EXPECT_THAT(folder.Read().notes, Contains(HasSubstr("raw: no such folder")));
}

TEST(ReadRunTest, Stages) {
  const RunFolder folder;
  folder.Raw("ops.stage",
             "command=bin/bench_ops --op all\ncommand=x=y\nseconds=12.5\nstate=failed\n"
             "reason=wrong\n");
  folder.Raw("ops.log", "first\nlast line\n");
  folder.Raw("load.stage", "command=interrupted\n");
  folder.Raw("extra.stage", "state=odd\nseconds=-3\nfoo\n");
  const RunData run = folder.Read();
  const Stage& ops = *run.FindStage("ops");
  EXPECT_EQ(ops.state, StageState::kFailed);
  EXPECT_EQ(ops.seconds, 12.5);
  EXPECT_THAT(ops.commands, ::testing::ElementsAre("bin/bench_ops --op all", "x=y"));
  EXPECT_THAT(ops.log_end, HasSubstr("last line"));
  EXPECT_EQ(run.FindStage("load")->state, StageState::kRunning);
  EXPECT_EQ(run.FindStage("extra")->state, StageState::kRunning);
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/extra.stage:1: is state=odd")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/extra.stage:2: is seconds=-3")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/extra.stage:3: is foo")));
}

TEST(ReadRunTest, TheRuntimeIsAFact) {
  const RunFolder folder;
  EXPECT_EQ(folder.Read().Fact("cuda_runtime"), "");
  folder.Raw("limits.json", R"({"device": "cuda", "runtime_cuda": 13010})");
  EXPECT_EQ(folder.Read().Fact("cuda_runtime"), "13.1");
}

TEST(ReadRunTest, CutOffJsonIsANote) {
  const RunFolder folder;
  folder.Raw("ops.json", R"({"device": "cuda", "cases": [{"op": "lin)");
  folder.Raw("kernels.json", "");
  folder.Raw("facts.json", "[1]");
  folder.Raw("limits.json", std::string(100000, '['));
  const RunData run = folder.Read();
  EXPECT_FALSE(run.ops.has_value());
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/ops.json: not JSON: cut off after 40 bytes")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/kernels.json: not JSON")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/facts.json: is [1]")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/limits.json: nested deeper")));
}

TEST(ReadRunTest, AHalfWrittenLastLineKeepsTheOthers) {
  const RunFolder folder;
  folder.Raw("decode.jsonl", R"({"model": "a/b/", "batch": 1, "decode_tokens_per_s": 5}

{"model": "c", "err)");
  const RunData run = folder.Read();
  ASSERT_THAT(run.decode, SizeIs(1));
  EXPECT_EQ(run.decode[0].model, "b");
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/decode.jsonl:3: not JSON")));
}

TEST(ReadRunTest, NumbersThatAreNoneAreAbsentAndNoted) {
  const RunFolder folder;
  folder.Raw("limits.json", R"({"read_gb_per_s": -1, "copy_gb_per_s": "fast", "launch_us": null,
                               "tensor_tflop_per_s": [], "empty_kernel_us": true})");
  folder.Raw("load.json", R"({"cold_first_token_s": NaN})");
  folder.Raw("scaling.jsonl", R"({"model": "m", "batch": 1e999})");
  folder.Raw("ops.json", R"({"cases": [{"op": "a", "median_us": 0}, {"op": "b"}, 7,
                            {"op": "c", "median_us": 2, "gb_per_s": -0.5}]})");
  const RunData run = folder.Read();
  EXPECT_FALSE(run.limits.read_gb_per_s || run.limits.copy_gb_per_s || run.limits.launch_us ||
               run.limits.tensor_tflop_per_s || run.limits.empty_kernel_us);
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/limits.json: read_gb_per_s: is -1, allowed: a")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/load.json: not JSON")));
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/scaling.jsonl:1: a number is 1e999")));
  ASSERT_THAT(run.ops->cases, SizeIs(1));
  EXPECT_FALSE(run.ops->cases[0].gb_per_s);
  EXPECT_THAT(run.notes, Contains(HasSubstr("raw/ops.json: cases[2]: gb_per_s: is -0.5")));
}

TEST(ReadRunTest, NotesAndTextsAreBounded) {
  const RunFolder folder;
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "no JSON\n";
  folder.Raw("decode.jsonl", lines);
  folder.Raw("hf.stage", "state=failed\nreason=" + std::string(300'000, 'x') + "\n");
  folder.Raw("ops.json",
             R"({"cases": [{"median_us": 1, "op": ")" + std::string(99'999, 'o') + R"("}]})");
  const RunData run = folder.Read();
  EXPECT_LT(run.notes.size(), 200);
  EXPECT_LT(run.FindStage("hf")->reason.size(), 3000);
  EXPECT_LT(run.ops->cases[0].op.size(), 300);
  EXPECT_LT(folder.Html().size(), 200'000);
}

TEST(ReadRunTest, Tests) {
  const RunFolder folder;
  folder.Raw("kernels.json", TestsJson("bad \xff bytes"));
  folder.Raw("models.json", R"({"failures": 2, "testsuites": []})");
  const RunData run = folder.Read();
  const TestProgram& program = *run.FindProgram("kernels");
  ASSERT_THAT(program.tests, SizeIs(3));
  EXPECT_EQ(program.tests[0].state, TestState::kPassed);
  EXPECT_EQ(program.tests[1].state, TestState::kSkipped);
  EXPECT_EQ(program.tests[1].message, "no second GPU");
  EXPECT_EQ(program.tests[2].name, "S.breaks");
  EXPECT_EQ(program.tests[2].state, TestState::kFailed);
  EXPECT_THAT(program.tests[2].message, HasSubstr("bad"));
  ASSERT_THAT(run.FindProgram("models")->tests, SizeIs(1));
  EXPECT_EQ(run.FindProgram("models")->tests[0].state, TestState::kFailed);
}

TEST(ReadRunTest, FiguresOfOneNameAreToldApart) {
  const RunFolder folder;
  folder.Raw("decode.jsonl",
             "{\"model\": \"m\", \"batch\": 1, \"decode_tokens_per_s\": 1}\n"
             "{\"model\": \"m\", \"batch\": 1, \"decode_tokens_per_s\": 2}\n");
  const Summary summary = Summarize(folder.Read());
  ASSERT_THAT(summary.figures, SizeIs(2));
  EXPECT_NE(summary.figures[0].name, summary.figures[1].name);
}

TEST(TextTest, CleansAndCuts) {
  EXPECT_EQ(CleanText("a\x01\n\xC3\xA9", 100), "a  \xC3\xA9");
  EXPECT_EQ(CleanText("a\nb", 100, Lines::kKept), "a\nb");
  EXPECT_EQ(CleanText("\xC3", 100), "\xEF\xBF\xBD");
  EXPECT_EQ(CleanText("\xED\xA0\x80", 100), "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(CleanText("ab\xC3\xA9", 3), "ab... (2 bytes more)");
}

TEST(TextTest, Numbers) {
  EXPECT_EQ(ShowNumber(0.0), "0");
  EXPECT_EQ(ShowNumber(0.01234), "0.0123");
  EXPECT_EQ(ShowNumber(1.234), "1.23");
  EXPECT_EQ(ShowNumber(99.96), "100");
  EXPECT_EQ(ShowNumber(1234567.0), "1,234,567");
  EXPECT_EQ(ShowNumber(std::numeric_limits<double>::quiet_NaN()), "-");
  EXPECT_EQ(ShowNumber(std::nullopt), "-");
  EXPECT_EQ(ShowPercent(0.8567), "86 %");
  EXPECT_EQ(ShowPercent(0.05), "5.0 %");
  EXPECT_EQ(ShowPercent(1e307), "-");
  EXPECT_EQ(ShowBytes(1536), "1.5 KiB");
  EXPECT_EQ(ShapeNumber("7B BF16 rows=16 in=2", "rows"), 16);
  EXPECT_EQ(ShapeNumber("brows=16", "rows"), std::nullopt);
}

}  // namespace
}  // namespace phalanx::report
