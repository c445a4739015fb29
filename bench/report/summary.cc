#include "bench/report/summary.h"

#include <algorithm>

#include "bench/report/figures.h"
#include "bench/report/json_reader.h"
#include "bench/report/read_run.h"
#include "bench/report/text.h"
#include "kernels/base/file.h"

namespace phalanx::report {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int64_t kMaxReportBytes = int64_t{64} << 20;
constexpr const char* kFormat = "phalanx gpu report";

ordered_json Optional(const std::optional<double>& value) {
  return value ? ordered_json(*value) : ordered_json(nullptr);
}

// Calls `read` with the fields of each object in a list.
template <typename Read>
void ForEach(Fields& fields, const char* list, Notes& notes, Read read) {
  size_t index = 0;
  for (const json* object : fields.Objects(list)) {
    Fields one(*object, fields.At(list, index++), notes);
    read(one, *object);
  }
}

TestState TestStateOf(const std::string& name) {
  if (name == Name(TestState::kFailed)) return TestState::kFailed;
  return name == Name(TestState::kPassed) ? TestState::kPassed : TestState::kSkipped;
}

void ReadStages(Fields& fields, Summary& summary) {
  ForEach(fields, "stages", summary.notes, [&](Fields& one, const json& object) {
    Stage stage{.name = one.Text("name"),
                .state = StageStateOf(one.Text("state")),
                .seconds = one.Number("seconds"),
                .reason = one.Text("reason")};
    const auto commands = object.find("commands");
    if (commands != object.end() && commands->is_array()) {
      for (const json& command : *commands) {
        if (command.is_string()) {
          stage.commands.push_back(CleanText(command.get<std::string>(), kMaxMessageChars));
        }
      }
    }
    summary.stages.push_back(std::move(stage));
  });
}

}  // namespace

std::string Summary::Fact(std::string_view key) const {
  for (const auto& [name, value] : facts) {
    if (name == key) return value;
  }
  return "";
}

Summary Summarize(const RunData& run) {
  Summary summary{.run = run.name,
                  .device = run.device,
                  .facts = run.facts,
                  .stages = run.stages,
                  .tests = {},
                  .figures = FiguresOf(run),
                  .goals = EvaluateGoals(run),
                  .notes = run.notes};
  for (const TestProgram& program : run.programs) {
    for (const TestCase& test : program.tests) summary.tests.push_back({program.stage, test});
  }
  if (!run.ops) return summary;
  for (const OpCase& one : run.ops->cases) {
    summary.tests.push_back(
        {"ops", {.name = one.op + " " + one.shape, .state = TestState::kPassed}});
  }
  for (const WrongOp& wrong : run.ops->failures) {
    summary.tests.push_back({"ops",
                             {.name = wrong.op + " " + wrong.shape,
                              .state = TestState::kFailed,
                              .message = wrong.error}});
  }
  return summary;
}

bool HasFailed(const Summary& summary) {
  return std::ranges::any_of(summary.stages,
                             [](const Stage& stage) { return IsFailure(stage.state); }) ||
         std::ranges::any_of(summary.tests, [](const NamedTest& one) {
           return one.test.state == TestState::kFailed;
         });
}

ordered_json ToJson(const Summary& summary) {
  ordered_json report = {{"format", kFormat},
                         {"run", summary.run},
                         {"device", summary.device},
                         {"result", HasFailed(summary) ? "failed" : "passed"},
                         {"facts", ordered_json::object()},
                         {"stages", ordered_json::array()},
                         {"goals", ordered_json::array()},
                         {"figures", ordered_json::array()},
                         {"tests", ordered_json::array()},
                         {"notes", summary.notes}};
  for (const auto& [name, value] : summary.facts) report["facts"][name] = value;
  for (const Stage& stage : summary.stages) {
    report["stages"].push_back({{"name", stage.name},
                                {"state", Name(stage.state)},
                                {"seconds", Optional(stage.seconds)},
                                {"reason", stage.reason},
                                {"commands", stage.commands}});
  }
  for (const Goal& goal : summary.goals) {
    report["goals"].push_back({{"name", goal.name},
                               {"target", goal.target},
                               {"state", Name(goal.state)},
                               {"found", goal.found}});
  }
  for (const Figure& figure : summary.figures) {
    report["figures"].push_back({{"section", figure.section},
                                 {"name", figure.name},
                                 {"value", figure.value},
                                 {"unit", figure.unit},
                                 {"higher_is_better", figure.better == Better::kHigher}});
  }
  for (const auto& [program, test] : summary.tests) {
    report["tests"].push_back({{"program", program},
                               {"name", test.name},
                               {"state", Name(test.state)},
                               {"message", test.message}});
  }
  return report;
}

StatusOr<Summary> ParseSummary(std::string_view text, std::string_view where) {
  PHALANX_ASSIGN_OR_RETURN(const json report, ParseObject(text, where));
  Summary summary;
  Fields fields(report, std::string(where), summary.notes);
  if (fields.Text("format") != kFormat) {
    return InvalidArgumentError("{}: format is {}, allowed: \"{}\", which gpu_report --run writes",
                                where, ShowValue(report.value("format", json())), kFormat);
  }
  summary.run = fields.Text("run");
  summary.device = fields.Text("device");
  if (const json* facts = fields.Object("facts")) {
    Fields one(*facts, fmt::format("{}: facts", where), summary.notes);
    for (const auto& [key, value] : facts->items()) {
      summary.facts.emplace_back(key, one.Text(key.c_str()));
    }
  }
  ReadStages(fields, summary);
  ForEach(fields, "goals", summary.notes, [&](Fields& one, const json&) {
    summary.goals.push_back({.name = one.Text("name"),
                             .target = one.Text("target"),
                             .state = GoalStateOf(one.Text("state")),
                             .found = one.Text("found")});
  });
  ForEach(fields, "figures", summary.notes, [&](Fields& one, const json& object) {
    const std::optional<double> value = one.Number("value");
    if (!value) return;
    summary.figures.push_back({.section = one.Text("section"),
                               .name = one.Text("name"),
                               .value = *value,
                               .unit = one.Text("unit"),
                               .better = object.value("higher_is_better", json()) == json(true)
                                             ? Better::kHigher
                                             : Better::kLower});
  });
  ForEach(fields, "tests", summary.notes, [&](Fields& one, const json&) {
    summary.tests.push_back({.program = one.Text("program"),
                             .test = {.name = one.Text("name"),
                                      .state = TestStateOf(one.Text("state")),
                                      .message = one.TextLines("message")}});
  });
  return summary;
}

StatusOr<Summary> ReadReport(const std::filesystem::path& file) {
  PHALANX_ASSIGN_OR_RETURN(const std::string text, ReadSmallFile(file, kMaxReportBytes));
  return ParseSummary(text, file.string());
}

StatusOr<Summary> ReadSummary(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path / "raw", error)) {
    PHALANX_ASSIGN_OR_RETURN(const RunData run, ReadRun(path));
    return Summarize(run);
  }
  return ReadReport(std::filesystem::is_directory(path, error) ? path / "report.json" : path);
}

}  // namespace phalanx::report
