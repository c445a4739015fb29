#include "bench/report/run_data.h"

#include <algorithm>
#include <array>

namespace phalanx::report {
namespace {

constexpr std::array<std::string_view, 6> kStageStates = {"passed",  "failed",  "skipped",
                                                          "timeout", "running", "not run"};
constexpr std::array<std::string_view, 3> kTestStates = {"passed", "failed", "skipped"};

}  // namespace

std::string_view Name(StageState state) { return kStageStates[static_cast<size_t>(state)]; }
std::string_view Name(TestState state) { return kTestStates[static_cast<size_t>(state)]; }

StageState StageStateOf(std::string_view name) {
  const auto found = std::ranges::find(kStageStates, name);
  if (found == kStageStates.end()) return StageState::kRunning;
  return static_cast<StageState>(found - kStageStates.begin());
}

std::string RunData::Fact(std::string_view key) const {
  for (const auto& [name, value] : facts) {
    if (name == key) return value;
  }
  return "";
}

const Stage* RunData::FindStage(std::string_view wanted) const {
  const auto found = std::ranges::find(stages, wanted, &Stage::name);
  return found == stages.end() ? nullptr : &*found;
}

const TestProgram* RunData::FindProgram(std::string_view stage) const {
  const auto found = std::ranges::find(programs, stage, &TestProgram::stage);
  return found == programs.end() ? nullptr : &*found;
}

}  // namespace phalanx::report
