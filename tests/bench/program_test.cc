// The program gpu_report: what it writes, prints and exits with.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdio.h>
#include <sys/wait.h>

#include "kernels/base/file.h"
#include "tests/bench/run_folder.h"

namespace phalanx::report {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int exit_code = 0;
  std::string output{};  // and errors
};

Outcome RunReport(const std::string& arguments) {
  FILE* const pipe =
      popen(fmt::format("{}/gpu_report {} 2>&1", PHALANX_BIN_DIR, arguments).c_str(), "r");
  if (pipe == nullptr) return {.exit_code = -1};
  Outcome outcome;
  char buffer[4096];
  while (const size_t count = fread(buffer, 1, sizeof(buffer), pipe)) {
    outcome.output.append(buffer, count);
  }
  const int status = pclose(pipe);
  outcome.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  return outcome;
}

std::string FileIn(const RunFolder& folder, const char* name) {
  const auto text = ReadSmallFile(folder.path() / name, int64_t{1} << 20);
  EXPECT_TRUE(text.ok()) << text.status().message();
  return text.ok() ? *text : "";
}

TEST(GpuReportTest, WritesTheReportAndThePage) {
  const RunFolder folder;
  WriteGoodRun(folder);
  const std::string path = folder.path().string();
  const Outcome outcome = RunReport(fmt::format("--run {0} --measured {0}/measured.md", path));
  EXPECT_EQ(outcome.exit_code, 0) << outcome.output;
  EXPECT_THAT(FileIn(folder, "report.json"), HasSubstr("\"result\": \"passed\""));
  EXPECT_THAT(FileIn(folder, "report.md"), HasSubstr("PASSED"));
  EXPECT_THAT(FileIn(folder, "report.html"), HasSubstr("</html>"));
  EXPECT_THAT(FileIn(folder, "measured.md"), HasSubstr("| GEMV | met |"));
}

TEST(GpuReportTest, ExitsWithOneWhereSomethingFailed) {
  for (const char* state : {"failed", "timeout"}) {
    const RunFolder folder;
    WriteGoodRun(folder);
    folder.Stage("hf", state);
    EXPECT_EQ(RunReport("--run " + folder.path().string()).exit_code, 1) << state;
    EXPECT_THAT(FileIn(folder, "report.json"), HasSubstr("\"result\": \"failed\""));
  }
}

TEST(GpuReportTest, ComparesFoldersAndReports) {
  const RunFolder before, after;
  WriteGoodRun(before);
  WriteGoodRun(after);
  after.Stage("hf", "failed", "logits differ");
  RunReport("--run " + before.path().string());
  const Outcome worse = RunReport(
      fmt::format("--compare {}/report.json {}", before.path().string(), after.path().string()));
  EXPECT_EQ(worse.exit_code, 1);
  EXPECT_THAT(worse.output, HasSubstr("fails now: stage hf: logits differ"));
  const Outcome better =
      RunReport(fmt::format("--compare {} {}", after.path().string(), before.path().string()));
  EXPECT_EQ(better.exit_code, 0) << better.output;
}

TEST(GpuReportTest, NamesWhatItCannotReadOrWrite) {
  const RunFolder folder;
  for (const char* arguments : {"--run /no/such/place", "--compare /no/such/place /no/such/place",
                                "--measured /no/such/place"}) {
    const Outcome outcome = RunReport(arguments);
    EXPECT_EQ(outcome.exit_code, 2) << arguments;
    EXPECT_THAT(outcome.output, HasSubstr("/no/such/place"));
  }
  EXPECT_EQ(RunReport("").exit_code, 2);
}

}  // namespace
}  // namespace phalanx::report
