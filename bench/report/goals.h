// What a run on one NVIDIA H200 is meant to reach.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bench/report/run_data.h"

namespace phalanx::report {

enum class GoalState { kNotMeasured, kMet, kNotMet };

std::string_view Name(GoalState state);  // "met", "not met", "not yet measured"
// Of a name; kNotMeasured for any other.
GoalState GoalStateOf(std::string_view name);

struct Goal {
  std::string name;
  std::string target;
  GoalState state = GoalState::kNotMeasured;
  std::string found{};  // the figure that decides, or why there is none
};

// Every goal, none of them measured.
std::vector<Goal> AllGoals();

// Only a run whose facts name an H200 and the device "cuda" measures any, and of it only what ran
// on that device.
std::vector<Goal> EvaluateGoals(const RunData& run);

}  // namespace phalanx::report
