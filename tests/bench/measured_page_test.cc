#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "bench/report/measured.h"
#include "kernels/base/file.h"
#include "tests/bench/run_folder.h"

namespace phalanx::report {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

namespace fs = std::filesystem;

const fs::path kRoot = PHALANX_SOURCE_DIR;

TEST(MeasuredPageTest, SaysNotYetMeasuredWithoutARun) {
  const std::string page = MeasuredPage(std::nullopt);
  for (const Goal& goal : AllGoals()) {
    EXPECT_THAT(page, HasSubstr("| " + goal.name + " | not yet measured |"));
  }
  for (const char* section : {"Limits", "Ops", "Decode", "Prefill", "Load", "Scaling", "Checks"}) {
    const size_t at = page.find(std::string("## ") + section);
    ASSERT_NE(at, std::string::npos) << section;
    EXPECT_THAT(page.substr(at, page.find("## ", at + 3) - at), HasSubstr("not yet measured"));
  }
  EXPECT_THAT(page, HasSubstr("launch/gpu-check.sh"));
}

TEST(MeasuredPageTest, ShowsTheFiguresOfARun) {
  const RunFolder folder;
  WriteGoodRun(folder);
  const std::string page = MeasuredPage(Summarize(folder.Read()));
  EXPECT_THAT(page, HasSubstr("bench/results/" + folder.path().filename().string()));
  EXPECT_THAT(page, HasSubstr("| read bandwidth | 4,123 | GB/s |"));
  EXPECT_THAT(page, HasSubstr("| GEMV | met |"));
  EXPECT_THAT(page, HasSubstr("not yet measured (skipped: one GPU)"));
}

TEST(MeasuredPageTest, AnEmulatedRunMeasuresNothing) {
  const RunFolder folder;
  WriteGoodRun(folder);
  folder.Raw("facts.json", R"({"device": "cuda-emulated"})");
  const std::string page = MeasuredPage(Summarize(folder.Read()));
  EXPECT_THAT(page, HasSubstr("cuda-emulated: not yet measured on a GPU"));
  EXPECT_THAT(page, Not(HasSubstr("251")));
  EXPECT_THAT(page, Not(HasSubstr("| met |")));
}

// The page in the repository is that of the run which it names, or of none.
TEST(MeasuredPageTest, ThePageInTheRepositoryIsWhatTheToolWrites) {
  constexpr std::string_view kNamesRun = "Made from ";
  const auto page = ReadSmallFile(kRoot / "docs/measured.md", int64_t{16} << 20);
  ASSERT_TRUE(page.ok()) << page.status().message();
  const size_t at = page->find(kNamesRun);
  if (at == std::string::npos) {
    EXPECT_EQ(*page, MeasuredPage(std::nullopt));
    return;
  }
  const size_t begin = at + kNamesRun.size();
  const std::string report = page->substr(begin, page->find(".\n", begin) - begin);
  const auto summary = ReadReport(kRoot / report);
  ASSERT_TRUE(summary.ok()) << summary.status().message();
  EXPECT_EQ(*page, MeasuredPage(*summary));
}

}  // namespace
}  // namespace phalanx::report
