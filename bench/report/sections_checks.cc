#include <fmt/format.h>
#include <fmt/ranges.h>

#include "bench/report/sections.h"
#include "bench/report/text.h"

namespace phalanx::report {
namespace {

constexpr size_t kMaxListed = 200;

void AddTestLists(const TestProgram& program, Blocks& out) {
  for (const TestState state : {TestState::kFailed, TestState::kSkipped}) {
    Table table{.columns = {{fmt::format("{}: {}", program.stage, Name(state)), Align::kLeft},
                            {"", Align::kLeft}},
                .rows = {}};
    size_t count = 0;
    for (const TestCase& test : program.tests) {
      if (test.state != state || ++count > kMaxListed) continue;
      table.rows.push_back({{test.name, state == TestState::kFailed ? Tone::kBad : Tone::kPlain},
                            {CleanText(test.message, kMaxNameChars)}});
    }
    if (count > kMaxListed) {
      table.rows.push_back({{fmt::format("and {} more", count - kMaxListed)}, {""}});
    }
    if (table.rows.empty()) continue;
    if (state == TestState::kSkipped) {
      table.fold = fmt::format("{}: {} skipped tests", program.stage, count);
    }
    out.emplace_back(std::move(table));
  }
}

Cell CountCell(size_t count, Tone tone) {
  return {fmt::format("{}", count), count > 0 ? tone : Tone::kPlain};
}

// State, and what else is known of it, of a stage that only passes or fails.
std::vector<Cell> PlainRow(const Stage& stage) {
  return {{stage.name}, StateCell(stage.state), {"-"}, {"-"}, {"-"}, {stage.reason}};
}

}  // namespace

void AddCorrectness(const RunData& run, Blocks& out) {
  out.emplace_back(Heading{"Correctness"});
  Table table{.columns = {{"Checks", Align::kLeft},
                          {"State", Align::kLeft},
                          {"Passed"},
                          {"Failed"},
                          {"Skipped"},
                          {"", Align::kLeft}},
              .rows = {}};
  for (const std::string_view name :
       {"host", "kernels", "models", "determinism", "hf", "sanitizer"}) {
    const Stage* found = run.FindStage(name);
    const Stage stage = found == nullptr ? Stage{.name = std::string(name)} : *found;
    std::vector<Cell> row = PlainRow(stage);
    if (const TestProgram* program = run.FindProgram(name)) {
      size_t counts[3] = {};
      for (const TestCase& test : program->tests) ++counts[static_cast<size_t>(test.state)];
      row[2] = CountCell(counts[0], Tone::kGood);
      row[3] = CountCell(counts[1], Tone::kBad);
      row[4] = CountCell(counts[2], Tone::kPlain);
      if (counts[0] + counts[1] == 0) row[5] = {"no test ran", Tone::kWarn};
    }
    if (row[5].text.empty() && stage.state == StageState::kNotRun) {
      row[5] = {"not yet measured", Tone::kMuted};
    }
    table.rows.push_back(std::move(row));
  }
  if (run.ops) {
    const size_t num_wrong = run.ops->failures.size();
    table.rows.push_back(
        {{"ops, before they are timed"},
         {num_wrong == 0 ? "passed" : "failed", num_wrong == 0 ? Tone::kGood : Tone::kBad},
         CountCell(run.ops->cases.size(), Tone::kGood),
         CountCell(num_wrong, Tone::kBad),
         {"-"},
         {""}});
  }
  out.emplace_back(std::move(table));
  for (const TestProgram& program : run.programs) AddTestLists(program, out);
}

void AddStages(const RunData& run, Blocks& out) {
  out.emplace_back(Heading{"Stages"});
  Table table{.columns = {{"Stage", Align::kLeft},
                          {"State", Align::kLeft},
                          {"Seconds"},
                          {"Reason", Align::kLeft},
                          {"Command", Align::kLeft}},
              .rows = {}};
  for (const Stage& stage : run.stages) {
    table.rows.push_back({{stage.name},
                          StateCell(stage.state),
                          {ShowNumber(stage.seconds)},
                          {stage.reason},
                          {fmt::format("{}", fmt::join(stage.commands, "; "))}});
  }
  out.emplace_back(std::move(table));
}

}  // namespace phalanx::report
