// Folders of runs, written by tests.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "bench/report/run_data.h"
#include "bench/report/summary.h"

namespace phalanx::report {

// A run folder that is removed with its content.
class RunFolder {
 public:
  RunFolder();
  ~RunFolder();
  RunFolder(const RunFolder&) = delete;
  RunFolder& operator=(const RunFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  void Raw(std::string_view name, std::string_view text) const;
  // A record of a stage with this state.
  void Stage(std::string_view name, std::string_view state, std::string_view reason = "") const;
  RunData Read() const;

  std::string Markdown() const;
  std::string Html() const;

 private:
  std::filesystem::path path_;
};

// GoogleTest's JSON of one suite "S" whose test "passes" passes, and whose test "breaks" fails with
// the message where there is one.
std::string TestsJson(std::string_view failure = "");

// What a run on one H200 leaves that reaches every goal.
void WriteGoodRun(const RunFolder& folder);

// A line of decode.jsonl: the 7B model, batch 1, on a device.
std::string DecodeLine(double tokens_per_s, std::string_view device = "cuda");

// ops.json with a GEMV, a decode attention and a linear of 0.5B and 7B each; the times of the GEMVs
// are this much longer than what is asked.
std::string OpsJson(double gemv_slowness = 1, std::string_view device = "cuda");

}  // namespace phalanx::report
