// gpu_report --run DIR [--measured FILE]   writes DIR/report.json, report.md and report.html
// gpu_report --measured FILE               writes the page without a run: "not yet measured"
// gpu_report --compare OLD NEW             two runs side by side
//
// Exit codes: 0; 1 where a stage or test failed, or, comparing, fails that passed before; 2 where
// a file or folder cannot be read or written.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>

#include "bench/report/compare.h"
#include "bench/report/document.h"
#include "bench/report/measured.h"
#include "bench/report/read_run.h"
#include "bench/report/sections.h"
#include "bench/report/summary.h"

namespace phalanx::report {
namespace {

namespace fs = std::filesystem;

struct Options {
  std::string run;
  std::string measured;
  std::vector<std::string> compare;
  double threshold_percent = 3;
};

Status WriteFile(const fs::path& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.close();
  if (!file) return InvalidArgumentError("{}: cannot be written", path.string());
  return OkStatus();
}

// Whether all is right.
StatusOr<bool> WriteReport(const Options& options) {
  PHALANX_ASSIGN_OR_RETURN(const RunData run, ReadRun(options.run));
  const Summary summary = Summarize(run);
  const Document document = MakeDocument(run, summary);
  const fs::path folder = options.run;
  using nlohmann::ordered_json;
  const std::string json =
      ToJson(summary).dump(1, ' ', false, ordered_json::error_handler_t::replace);
  PHALANX_RETURN_IF_ERROR(WriteFile(folder / "report.json", json + "\n"));
  PHALANX_RETURN_IF_ERROR(WriteFile(folder / "report.md", RenderMarkdown(document)));
  PHALANX_RETURN_IF_ERROR(WriteFile(folder / "report.html", RenderHtml(document)));
  if (!options.measured.empty()) {
    PHALANX_RETURN_IF_ERROR(WriteFile(options.measured, MeasuredPage(summary)));
  }
  return !HasFailed(summary);
}

StatusOr<bool> PrintComparison(const Options& options) {
  PHALANX_ASSIGN_OR_RETURN(const Summary before, ReadSummary(options.compare[0]));
  PHALANX_ASSIGN_OR_RETURN(const Summary after, ReadSummary(options.compare[1]));
  const Comparison result = Compare(before, after, options.threshold_percent / 100);
  fmt::print("{}", result.text);
  return result.num_broken == 0;
}

StatusOr<bool> Run(const Options& options) {
  if (!options.compare.empty()) return PrintComparison(options);
  if (!options.run.empty()) return WriteReport(options);
  if (options.measured.empty()) {
    return InvalidArgumentError(
        "nothing to do, allowed: --run DIR, --compare OLD NEW, --measured FILE");
  }
  PHALANX_RETURN_IF_ERROR(WriteFile(options.measured, MeasuredPage(std::nullopt)));
  return true;
}

int Main(int argc, char** argv) {
  Options options;
  CLI::App app("The report of a run of launch/gpu-check.sh", "gpu_report");
  app.add_option("--run", options.run, "folder of the run; the report is written into it");
  app.add_option("--measured", options.measured, "writes the page docs/measured.md to this file");
  app.add_option("--compare", options.compare, "two runs, or their report.json: OLD NEW")
      ->expected(2)
      ->excludes("--run")
      ->excludes("--measured");
  app.add_option("--threshold", options.threshold_percent,
                 "percent that a figure must move by to be listed")
      ->check(CLI::Range(0.0, 1000.0))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  const StatusOr<bool> is_right = Run(options);
  if (!is_right.ok()) {
    fmt::print(stderr, "gpu_report: {}\n", is_right.status().message());
    return 2;
  }
  return *is_right ? 0 : 1;
}

}  // namespace
}  // namespace phalanx::report

int main(int argc, char** argv) { return phalanx::report::Main(argc, argv); }
