#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bench/report/document.h"
#include "bench/report/svg.h"
#include "tests/bench/run_folder.h"

namespace phalanx::report {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ReportTest, SaysVerdictThenLimitsThenFigures) {
  const RunFolder folder;
  WriteGoodRun(folder);
  for (const std::string& text : {folder.Markdown(), folder.Html()}) {
    const size_t verdict = text.find("PASSED: stages: 12 passed, 1 skipped (scaling)");
    ASSERT_NE(verdict, std::string::npos) << text;
    EXPECT_LT(verdict, text.find("580.1"));
    EXPECT_LT(text.find("580.1"), text.find("4,123"));
    EXPECT_LT(text.find("4,123"), text.find("Correctness"));
    EXPECT_LT(text.find("Correctness"), text.find("gate_up"));
    EXPECT_LT(text.find("gate_up"), text.rfind("251"));
    EXPECT_THAT(text, HasSubstr("scaling: skipped: one GPU"));
    EXPECT_THAT(text, HasSubstr("profile: not yet measured: the stage did not run"));
    EXPECT_THAT(text, HasSubstr("not yet measured"));  // graph node
    EXPECT_THAT(text, HasSubstr("cold first token"));
    EXPECT_THAT(text, Not(HasSubstr("mean nothing")));
  }
}

TEST(ReportTest, FailuresComeBeforeEverythingElse) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("kernels.json", TestsJson("row 3: 1.5, expected 2.5"));
  folder.Stage("kernels", "failed", "1 test of 3");
  folder.Raw("kernels.log", "Segmentation fault\n");
  folder.Stage("decode", "timeout", "120 s");
  EXPECT_TRUE(HasFailed(Summarize(folder.Read())));
  const std::string html = folder.Html();
  EXPECT_THAT(html, HasSubstr("<div class=\"alert bad\"><p>FAILED: stages: 10 passed, 1 failed "
                              "(kernels), 1 timed out (decode)"));
  EXPECT_THAT(html, HasSubstr("Segmentation fault"));
  EXPECT_THAT(html, HasSubstr("Stage decode timed out: 120 s"));
  const size_t test = html.find("kernels: S.breaks fails");
  EXPECT_LT(test, html.find("row 3: 1.5, expected 2.5"));
  EXPECT_LT(html.find("row 3: 1.5, expected 2.5"), html.find("580.1"));
  EXPECT_THAT(folder.Markdown(), AllOf(HasSubstr("**kernels: S.breaks fails**"),
                                       HasSubstr("row 3: 1.5, expected 2.5")));
}

TEST(ReportTest, AFailingTestFailsTheRunWhateverItsStageSays) {
  const RunFolder folder;
  WriteGoodRun(folder);
  EXPECT_FALSE(HasFailed(Summarize(folder.Read())));
  folder.Raw("kernels.json", TestsJson("x"));
  EXPECT_TRUE(HasFailed(Summarize(folder.Read())));
}

TEST(ReportTest, EmulatedRunsSayThatTimesMeanNothing) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("facts.json", R"({"device": "cuda-emulated", "gpu": "NVIDIA H200"})");
  folder.Raw("limits.json", "{}");
  for (const std::string& text : {folder.Markdown(), folder.Html()}) {
    const size_t warning = text.find("Times mean nothing here");
    ASSERT_NE(warning, std::string::npos);
    EXPECT_LT(warning, text.find("PASSED"));
    EXPECT_THAT(text, Not(HasSubstr("| met |")));
    EXPECT_THAT(text, Not(HasSubstr(">met<")));
  }
}

TEST(ReportTest, EscapesWhatOthersWrote) {
  const RunFolder folder;
  const std::string evil = R"(<script>alert('x')</script>&|`"*)";
  folder.Stage("hf", "failed", evil);
  folder.Raw("hf.log", "``` <img src=x>\n");
  folder.Raw("facts.json", R"({"gpu": "<script>", "<b>": "a|b"})");
  folder.Raw("profile.txt", "</pre><script>");
  folder.Raw("decode.jsonl", R"({"model": "<script>\"", "batch": 2, "decode_tokens_per_s": 3})");
  folder.Raw("ops.json", R"({"cases": [{"op": "<script>", "shape": "'", "median_us": 1,
                            "fraction_of_limit": 0.5}]})");
  const std::string html = folder.Html();
  EXPECT_THAT(html, Not(HasSubstr("<script")));
  EXPECT_THAT(html, Not(HasSubstr("<img")));
  EXPECT_THAT(html, HasSubstr("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;|`&quot;*"));
  const std::string markdown = folder.Markdown();
  EXPECT_THAT(markdown, HasSubstr(R"(&lt;script>alert('x')&lt;/script>&amp;\|\`"\*)"));
  EXPECT_THAT(markdown, HasSubstr("````text\n``` <img src=x>\n````"));
  EXPECT_THAT(markdown, HasSubstr(R"(| &lt;b> | a\|b |)"));
}

TEST(ReportTest, NothingAtAllIsStillAReport) {
  const RunFolder folder;
  EXPECT_THAT(folder.Html(), HasSubstr("NOTHING MEASURED"));
  folder.Stage("facts", "passed");
  EXPECT_THAT(folder.Html(), HasSubstr("NOTHING MEASURED"));
  EXPECT_THAT(folder.Markdown(), HasSubstr("ops: not yet measured: the stage did not run"));
  EXPECT_FALSE(HasFailed(Summarize(folder.Read())));
}

TEST(ReportTest, InterruptedRunsDoNotPass) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("prefill.stage", "command=x\n");
  EXPECT_THAT(folder.Markdown(), HasSubstr("INTERRUPTED: stages: 11 passed"));
}

TEST(ReportTest, FailedRunsOfTheServiceAreShown) {
  const RunFolder folder;
  folder.Raw("decode.jsonl", R"({"model": "m", "batch": 256, "error": "out of memory"})");
  EXPECT_THAT(folder.Html(), HasSubstr("<td class=\"bad\">out of memory</td>"));
}

TEST(ReportTest, TheWorstOpsComeFirst) {
  const RunFolder folder;
  std::string cases;
  for (int i = 1; i <= 12; ++i) {
    cases += fmt::format(R"({}{{"op": "op{}", "shape": "s", "median_us": {}, "floor_us": 1}})",
                         i == 1 ? "" : ",", i, 1 + i);
  }
  folder.Raw("ops.json", fmt::format(R"({{"cases": [{}]}})", cases));
  const std::string text = folder.Markdown();
  EXPECT_LT(text.find("op12"), text.find("op11"));
  EXPECT_LT(text.find("op11"), text.find("| op3 "));
  EXPECT_LT(text.find("All 12 cases"), text.find("| op2 "));
}

TEST(ReportTest, ScalingIsEfficiencyOverOneRank) {
  const RunFolder folder;
  folder.Raw("scaling.jsonl",
             "{\"model\": \"m\", \"ranks\": 1, \"batch\": 8, \"decode_tokens_per_s\": 100}\n"
             "{\"model\": \"m\", \"ranks\": 4, \"batch\": 8, \"decode_tokens_per_s\": 300}\n");
  EXPECT_THAT(folder.Markdown(), HasSubstr("| m | 4 | 8 | 300 | 75 % |"));
}

TEST(SvgTest, DrawsOddPoints) {
  EXPECT_EQ(RenderSvg(LinePlot{.title = "t", .x_title = "x", .series = {}}), "");
  for (const Scale scale : {Scale::kLinear, Scale::kLog}) {
    const std::string svg = RenderSvg(LinePlot{
        .title = "t",
        .x_title = "x",
        .y_scale = scale,
        .series = {{"one", {{1, 0}}},
                   {"two", {{1, 1e-9}, {1e12, 1e12}, {2, 5e-324}, {1e308, 1}, {3, 1e308}}}}});
    EXPECT_THAT(svg, AllOf(HasSubstr("<svg"), Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
  }
  const std::string point =
      RenderSvg(LinePlot{.title = "t", .x_title = "x", .series = {{"one", {{8, 5}}}}});
  EXPECT_THAT(point, AllOf(HasSubstr("<circle"), Not(HasSubstr("nan")), Not(HasSubstr("inf"))));
  const std::string bars = RenderSvg(BarPlot{"t", {{.label = "<op>", .value = 7}}});
  EXPECT_THAT(bars, HasSubstr("&lt;op&gt;"));
}

}  // namespace
}  // namespace phalanx::report
