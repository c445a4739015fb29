// What a report says in a form that programs read: report.json.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

#include "bench/report/goals.h"
#include "bench/report/run_data.h"
#include "kernels/base/status.h"

namespace phalanx::report {

enum class Better { kLower, kHigher };

struct Figure {
  std::string section;
  std::string name;  // unlike every other of its section
  double value = 0;
  std::string unit{};  // empty of a fraction
  Better better = Better::kLower;
};

struct NamedTest {
  std::string program;  // a stage; "ops" of the checks before ops are timed
  TestCase test;
};

struct Summary {
  std::string run;
  std::string device;
  std::vector<std::pair<std::string, std::string>> facts;
  std::vector<Stage> stages;
  std::vector<NamedTest> tests;
  std::vector<Figure> figures;
  std::vector<Goal> goals;
  std::vector<std::string> notes;

  std::string Fact(std::string_view key) const;
};

Summary Summarize(const RunData& run);

// Whether a stage failed or took too long, or a test or an op's check failed.
bool HasFailed(const Summary& summary);

nlohmann::ordered_json ToJson(const Summary& summary);

// INVALID_ARGUMENT naming `where` if it is no report; fields of a wrong kind are left out.
StatusOr<Summary> ParseSummary(std::string_view text, std::string_view where);

// Of a report.json.
StatusOr<Summary> ReadReport(const std::filesystem::path& file);

// Of a report.json, or of a run: what its raw files say, or where it has none, its report.json.
StatusOr<Summary> ReadSummary(const std::filesystem::path& path);

}  // namespace phalanx::report
